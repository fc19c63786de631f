"""The catalogue of everything that can be said about imperfect input, and the log that collects it.

A diagnostic is a fact about a capture, a protocol exchange or a limit of this analyzer. It has
a code, never stops the work, and is counted rather than repeated. The catalogue is the only
place where codes, severities and remedies are written; ``docs/diagnostics.md`` is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much of the result is in doubt."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Source(StrEnum):
    """Whose doing it is: the recording, the peers that spoke, or this analyzer."""

    CAPTURE = "capture"
    PROTOCOL = "protocol"
    ANALYZER = "analyzer"


@dataclass(frozen=True, slots=True)
class DiagnosticKind:
    """One entry of the catalogue. ``meaning`` and ``remedy`` are whole sentences."""

    code: str
    severity: Severity
    source: Source
    meaning: str
    remedy: str


@dataclass(slots=True)
class Diagnostic:
    """All that was seen of one kind at one place: first occurrence and count."""

    kind: DiagnosticKind
    detail: str
    count: int = 1
    file_index: int | None = None
    packet: int | None = None
    connection_index: int | None = None
    at_ns: int | None = None


@dataclass(slots=True)
class DiagnosticLog:
    """Collects diagnostics; the same kind, detail, file and connection is counted, not repeated."""

    entries: dict[tuple[str, str, int | None, int | None], Diagnostic] = field(default_factory=dict)

    def emit(
        self,
        code: str,
        detail: str = "",
        *,
        count: int = 1,
        file_index: int | None = None,
        packet: int | None = None,
        connection_index: int | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Add ``count`` occurrences of ``code``. Raises KeyError for a code not in the catalogue."""
        kind = CATALOGUE[code]
        key = (code, detail, file_index, connection_index)
        known = self.entries.get(key)
        if known is not None:
            known.count += count
            return
        self.entries[key] = Diagnostic(kind, detail, count, file_index, packet, connection_index, at_ns)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def has_errors(self) -> bool:
        """Whether anything of severity error was logged."""
        return any(entry.kind.severity is Severity.ERROR for entry in self.entries.values())


_KINDS = (
    # --- the recording -----------------------------------------------------------------------
    DiagnosticKind(
        "capture-cut",
        Severity.WARNING,
        Source.CAPTURE,
        "The file ends inside a packet record; everything before it was read.",
        "Copy the file again, or stop the recording properly before copying.",
    ),
    DiagnosticKind(
        "capture-damaged",
        Severity.ERROR,
        Source.CAPTURE,
        "A record of the file has impossible lengths; what follows it could not be read.",
        "Try to repair the file (pcapfix, or editcap), or copy it again.",
    ),
    DiagnosticKind(
        "tshark-failed",
        Severity.ERROR,
        Source.CAPTURE,
        "Wireshark, asked for a second opinion, ended before the file did; what it read until then counts.",
        "Open the file in Wireshark, which may say more, or try another version of it.",
    ),
    DiagnosticKind(
        "packets-dropped-by-recorder",
        Severity.WARNING,
        Source.CAPTURE,
        "The recorder says that it dropped packets.",
        "Record with a larger buffer (dumpcap -B), a snap length, or on a faster disk.",
    ),
    DiagnosticKind(
        "snaplen-cut",
        Severity.WARNING,
        Source.CAPTURE,
        "Packets were cut by the snap length; payload beyond it, and headers inside it, were not recorded.",
        "Record with a snap length that holds every PDU header, or without one.",
    ),
    DiagnosticKind(
        "link-type-unknown",
        Severity.ERROR,
        Source.CAPTURE,
        "Packets of a link type that this analyzer does not read were left out.",
        "Record on the Ethernet interface, or convert the capture.",
    ),
    DiagnosticKind(
        "ip-fragment",
        Severity.WARNING,
        Source.CAPTURE,
        "IP fragments were left out; the TCP bytes in them count as lost.",
        "Mend the path MTU so that TCP segments are not fragmented.",
    ),
    DiagnosticKind(
        "tcp-header-cut",
        Severity.WARNING,
        Source.CAPTURE,
        "Packets end inside their IP or TCP header, or these are malformed; they were left out.",
        "Record with a longer snap length.",
    ),
    DiagnosticKind(
        "capture-lost-bytes",
        Severity.WARNING,
        Source.CAPTURE,
        "TCP bytes are missing that the receiver acknowledged: the recorder lost them, the network did not.",
        "Record nearer to the host, with a larger buffer or a header-only snap length; a gap in the first "
        "milliseconds comes from setting the capture filter under load.",
    ),
    DiagnosticKind(
        "resynchronised",
        Severity.WARNING,
        Source.CAPTURE,
        "PDU framing was lost and found again on a plausible header; the PDUs between are unknown.",
        "Record without loss; PDUs after this place are sound.",
    ),
    DiagnosticKind(
        "pdu-header-lost",
        Severity.WARNING,
        Source.CAPTURE,
        "PDU headers fell into bytes that were not recorded.",
        "Record with a longer snap length, or without loss.",
    ),
    DiagnosticKind(
        "pdu-incomplete",
        Severity.INFO,
        Source.CAPTURE,
        "The connection or the recording ended inside a PDU; such a PDU answers nothing and brings no data.",
        "Nothing, where a connection was lost; else record until the last answer has come.",
    ),
    DiagnosticKind(
        "pdu-inferred",
        Severity.INFO,
        Source.CAPTURE,
        "PDUs whose header the snap length cut off were inferred from what surrounds them; their times and "
        "acknowledging numbers are those of the PDU before.",
        "Record with a longer snap length to have them as sent (analyzer capture --snaplen auto).",
    ),
    DiagnosticKind(
        "mirror-duplicates",
        Severity.INFO,
        Source.CAPTURE,
        "Packets stand in the recording twice, by a port mirror or files that overlap; each counted once.",
        "Mirror one direction of each port, or leave it: nothing is lost by it.",
    ),
    DiagnosticKind(
        "one-direction-only",
        Severity.ERROR,
        Source.CAPTURE,
        "Only one direction of a connection was recorded; latencies cannot be known.",
        "Mirror both directions of the port.",
    ),
    DiagnosticKind(
        "no-iscsi",
        Severity.ERROR,
        Source.CAPTURE,
        "No iSCSI was found in the capture.",
        "Check the recorded interface and filter, or name the port with --port.",
    ),
    DiagnosticKind(
        "capture-starts-late",
        Severity.INFO,
        Source.CAPTURE,
        "The connection was already open when the recording began; its login was not seen.",
        "Start recording before the initiator logs in to have the negotiated values.",
    ),
    DiagnosticKind(
        "clock-offset-assumed",
        Severity.WARNING,
        Source.CAPTURE,
        "By this file's clock effects came before their causes in other files; its times were moved, "
        "relative to the first file, so that they come after.",
        "Set the clocks of the recorders alike (NTP or PTP); order waits across files are no surer than the "
        "bounds.",
    ),
    DiagnosticKind(
        "clock-unsteady",
        Severity.WARNING,
        Source.CAPTURE,
        "No single offset lets every cause in one file come before its effect in another: a clock drifted or "
        "was set during the recording.",
        "Set the clocks of the recorders alike (NTP or PTP), or analyze shorter stretches.",
    ),
    DiagnosticKind(
        "clock-unrelated",
        Severity.INFO,
        Source.CAPTURE,
        "This file shares no connection and no session with the others; whether their clocks agree cannot be "
        "seen, and they are taken as equal.",
        "Record all links with one clock to compare times between them.",
    ),
    # --- the peers ---------------------------------------------------------------------------
    DiagnosticKind(
        "header-digest-error",
        Severity.ERROR,
        Source.PROTOCOL,
        "A PDU header does not match its CRC32C digest.",
        "Suspect the network path or its offload engines.",
    ),
    DiagnosticKind(
        "data-digest-error",
        Severity.ERROR,
        Source.PROTOCOL,
        "A data segment does not match its CRC32C digest.",
        "Suspect the network path or its offload engines.",
    ),
    DiagnosticKind(
        "login-refused",
        Severity.WARNING,
        Source.PROTOCOL,
        "A login was answered with a status other than success.",
        "See the status class and detail in the event.",
    ),
    DiagnosticKind(
        "cmd-sn-duplicate",
        Severity.WARNING,
        Source.PROTOCOL,
        "Two different commands of one session carried the same CmdSN (RFC 7143 section 4.2.2.1).",
        "Suspect the initiator's numbering after a recovery.",
    ),
    DiagnosticKind(
        "cmd-sn-hole",
        Severity.WARNING,
        Source.PROTOCOL,
        "CmdSNs of a session were never sent on any connection (RFC 7143 section 4.2.2.1); a target that "
        "keeps order waits for them.",
        "See the recovery around them, or record all connections of the session.",
    ),
    DiagnosticKind(
        "cmd-sn-backwards",
        Severity.WARNING,
        Source.PROTOCOL,
        "A command was sent behind one with a higher CmdSN on its connection (RFC 7143 section 4.2.2.1).",
        "Suspect the initiator's sending order.",
    ),
    DiagnosticKind(
        "cmd-sn-outside-window",
        Severity.WARNING,
        Source.PROTOCOL,
        "A command was sent outside the window of ExpCmdSN and MaxCmdSN; a target ignores it silently.",
        "Check the queue depth settings of the initiator.",
    ),
    DiagnosticKind(
        "response-without-command",
        Severity.INFO,
        Source.PROTOCOL,
        "A response, data or R2T PDU names a task tag of which no command was seen.",
        "The command was sent before the recording began, or was lost by the recorder.",
    ),
    DiagnosticKind(
        "command-unanswered",
        Severity.WARNING,
        Source.PROTOCOL,
        "A command was still without a response when its connection, its session or the recording ended.",
        "See the task's end, and the events around it.",
    ),
    DiagnosticKind(
        "stat-sn-gap",
        Severity.WARNING,
        Source.PROTOCOL,
        "StatSN did not go on from the response before it on the connection (RFC 7143 section 4.2.2.2).",
        "A status was lost or sent twice: suspect the target, or the recorder.",
    ),
    DiagnosticKind(
        "data-sn-gap",
        Severity.WARNING,
        Source.PROTOCOL,
        "DataSN did not count the data PDUs of a sequence one by one (RFC 7143 sections 11.7.5 and 11.8.2).",
        "Suspect the sender of the data; an initiator may drop the connection over it.",
    ),
    DiagnosticKind(
        "r2t-sn-gap",
        Severity.WARNING,
        Source.PROTOCOL,
        "R2TSN did not count the R2Ts of a command one by one (RFC 7143 section 11.8.3).",
        "Suspect the target.",
    ),
    DiagnosticKind(
        "segment-too-long",
        Severity.WARNING,
        Source.PROTOCOL,
        "A data segment is longer than the receiver's MaxRecvDataSegmentLength (RFC 7143 section 13.12).",
        "Suspect the sender; the receiver may drop the connection over it.",
    ),
    DiagnosticKind(
        "burst-too-long",
        Severity.WARNING,
        Source.PROTOCOL,
        "A Data-In sequence or an R2T is longer than MaxBurstLength (RFC 7143 section 13.13).",
        "Suspect the target.",
    ),
    DiagnosticKind(
        "first-burst-too-long",
        Severity.WARNING,
        Source.PROTOCOL,
        "More than FirstBurstLength was sent without an R2T (RFC 7143 section 13.14).",
        "Suspect the initiator; targets answer with CHECK CONDITION 0C/0C.",
    ),
    DiagnosticKind(
        "immediate-data-not-allowed",
        Severity.WARNING,
        Source.PROTOCOL,
        "A command carried data although ImmediateData=No was agreed (RFC 7143 section 13.11).",
        "Suspect the initiator.",
    ),
    DiagnosticKind(
        "unsolicited-data-not-allowed",
        Severity.WARNING,
        Source.PROTOCOL,
        "Data-Out came without an R2T although InitialR2T=Yes was agreed (RFC 7143 section 13.10).",
        "Suspect the initiator.",
    ),
    DiagnosticKind(
        "transfer-tag-unknown",
        Severity.WARNING,
        Source.PROTOCOL,
        "Data-Out carries a Target Transfer Tag that no R2T of its command gave (RFC 7143 section 11.7.4).",
        "Suspect the initiator.",
    ),
    DiagnosticKind(
        "data-beyond-r2t",
        Severity.WARNING,
        Source.PROTOCOL,
        "More data was sent for an R2T than it asked for (RFC 7143 section 11.8).",
        "Suspect the initiator.",
    ),
    DiagnosticKind(
        "too-many-r2ts",
        Severity.WARNING,
        Source.PROTOCOL,
        "More R2Ts of one command were open than MaxOutstandingR2T allows (RFC 7143 section 13.17).",
        "Suspect the target.",
    ),
    DiagnosticKind(
        "status-out-of-place",
        Severity.WARNING,
        Source.PROTOCOL,
        "A Data-In carries the status of a command that ended with an exception, which needs a SCSI Response "
        "(RFC 7143 section 11.7.3).",
        "Suspect the target.",
    ),
    DiagnosticKind(
        "response-code-reserved",
        Severity.WARNING,
        Source.PROTOCOL,
        "A SCSI Response carries a reserved response code (RFC 7143 section 11.4.3).",
        "Suspect the target.",
    ),
    DiagnosticKind(
        "task-management-response-wrong",
        Severity.WARNING,
        Source.PROTOCOL,
        "A task management response has no place behind its function, or the later traffic of the task "
        "contradicts it (RFC 7143 section 11.6.1).",
        "Judge by what the target did next, as this analyzer does.",
    ),
    DiagnosticKind(
        "key-answer-wrong",
        Severity.WARNING,
        Source.PROTOCOL,
        "A login key was answered with a value that the offer does not allow (RFC 7143 section 6.2).",
        "Both sides may now believe in different values; suspect the target.",
    ),
    DiagnosticKind(
        "key-out-of-place",
        Severity.INFO,
        Source.PROTOCOL,
        "A key of the whole session was said on a connection that is not its first (RFC 7143 section 13).",
        "Harmless where the value is that of the session.",
    ),
    # --- this analyzer -----------------------------------------------------------------------
    DiagnosticKind(
        "membership-assumed",
        Severity.INFO,
        Source.ANALYZER,
        "Which session a connection belongs to was inferred, since its login was not recorded.",
        "Start recording before the initiator logs in.",
    ),
    DiagnosticKind(
        "digest-assumed",
        Severity.INFO,
        Source.ANALYZER,
        "Whether digests are in use was inferred from the PDUs, since the login was not recorded.",
        "Start recording before the initiator logs in.",
    ),
    DiagnosticKind(
        "parameter-assumed",
        Severity.INFO,
        Source.ANALYZER,
        "A negotiated value was not recorded; the default of RFC 7143 section 13 stands in for it.",
        "Start recording before the initiator logs in.",
    ),
    DiagnosticKind(
        "reorder-window-exceeded",
        Severity.WARNING,
        Source.ANALYZER,
        "More out-of-order TCP bytes waited than are kept; the missing ones were given up as lost.",
        "Record without loss, or report this capture.",
    ),
    DiagnosticKind(
        "too-many-connections",
        Severity.ERROR,
        Source.ANALYZER,
        "More TCP connections were open at once than are tracked; the rest were left out.",
        "Filter the capture to the iSCSI portals.",
    ),
)

CATALOGUE: dict[str, DiagnosticKind] = {kind.code: kind for kind in _KINDS}
assert len(CATALOGUE) == len(_KINDS), "a diagnostic code stands twice in the catalogue"
