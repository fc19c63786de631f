"""Incidents: every lost connection, reset or stall as one story, from first sign to last completion.

Decides which losses belong together, when and how the initiator knew, what held the commands and until
when. The fate of each command is that of ``fates``, the names of timers those of ``timers``, stalls are
found by ``stalls``. Nothing here reads PDUs beyond who spoke last and when NOP-Outs went out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import PduColumns
from analyzer.timeline import timers
from analyzer.timeline.fates import ABORTED_FATE, LOST, REASSIGNED, Fate
from analyzer.timeline.sessions import FIN, REPLACED, RESET, TIMEOUT

Int64s = npt.NDArray[np.int64]

TOGETHER_NS = 1_000_000_000
"""Connections of several sessions that were lost within this time were lost together."""
SAME_SESSION_NS = 3_000_000_000
"""A target that drops a whole session does so up to this long after it lost one connection of it."""

_SHORTEST_HOLD_NS = 10_000_000
"""Commands repeated sooner than this were not held."""


@dataclass(slots=True)
class Loss:
    """One connection that was lost."""

    connection: int
    session: int
    nexus: int
    end: str
    ended_by: str | None
    closed_ns: int
    last_from_target_ns: int | None
    last_from_initiator_ns: int | None
    nop_sent_ns: int | None = None
    """A NOP-Out that was never answered."""
    is_end_seen: bool = True
    """False where it was inferred from commands repeated elsewhere."""
    taken_over_ns: int | None = None
    """When the login began that took its place."""

    @property
    def failed_ns(self) -> int:
        """The RST or FIN itself; of a silence, the last PDU of the side that fell silent first."""
        if self.end in (RESET, FIN):
            return self.closed_ns
        spoken = [at for at in (self.last_from_target_ns, self.last_from_initiator_ns) if at is not None]
        return min([*spoken, self.closed_ns])


@dataclass(slots=True)
class Step:
    """One thing that happened in an incident."""

    at_ns: int
    what: str
    detail: str


@dataclass(slots=True)
class Incident:
    """One incident while it is put together; the fields are those of the incidents table."""

    kind: str
    cause: str
    session: int
    connection: int | None
    nexus: int
    failed_ns: int
    ended_ns: int
    sessions: set[int] = field(default_factory=set)
    connections: list[int] = field(default_factory=list)
    last_from_target_ns: int | None = None
    last_from_initiator_ns: int | None = None
    detected_ns: int | None = None
    detected_by: str | None = None
    is_detection_seen: bool = False
    hold_from_ns: int | None = None
    hold_to_ns: int | None = None
    hold_timer: str = "none"
    hold_setting_s: float | None = None
    noop_interval_s: float | None = None
    noop_timeout_s: float | None = None
    cleanup_ns: int | None = None
    held_until_ns: int = 0
    """Of a stall: when completions went on."""
    gap_ns: int = 0
    fates: list[Fate] = field(default_factory=list)
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    summary: str = ""

    def count(self, fate: str, *, is_same_path: bool | None = None) -> int:
        """Commands with that fate, and on that path where one is given."""
        return sum(
            one.fate == fate and (is_same_path is None or one.is_same_path is is_same_path)
            for one in self.fates
        )

    @property
    def first_retry_ns(self) -> int | None:
        """First command sent again or asked to be reassigned, at the failure at the earliest."""
        times = (max(one.again_ns, self.failed_ns) for one in self.fates if one.again_ns is not None)
        return min(times, default=None)

    @property
    def completions_ns(self) -> list[int]:
        """Completions of held commands."""
        return sorted(one.completed_ns for one in self.fates if one.completed_ns is not None)

    @property
    def stall_ns(self) -> int | None:
        """The longest time from first sending a held command to its completion."""
        spans = [one.completed_ns - one.issued_ns for one in self.fates if one.completed_ns is not None]
        return max(spans, default=None)


def idle_before_pings(pdus: PduColumns, pings: Iterable[int]) -> list[int]:
    """How long nothing had come from the target when each NOP-Out (PDU numbers) was sent, in ns."""
    idle = []
    for ping in pings:
        connection = pdus.connection_index[ping]
        # Pings are few and what came last lies near: look back in growing steps.
        reach = 64
        while True:
            begin = max(0, ping - reach)
            is_heard = pdus.from_target[begin:ping] & (pdus.connection_index[begin:ping] == connection)
            heard = np.flatnonzero(is_heard)
            if len(heard):
                idle.append(int(pdus.time_ns[ping] - pdus.time_last_ns[begin + heard[-1]]))
            if len(heard) or begin == 0:
                break
            reach *= 8
    return idle


def group_losses(losses: list[Loss]) -> list[list[Loss]]:
    """Losses that are one incident, each group in order of time."""
    groups: list[list[Loss]] = []
    latest: dict[int, list[list[Loss]]] = {}
    for loss in sorted(losses, key=lambda one: (one.failed_ns, one.connection)):
        for group in reversed(latest.get(loss.nexus, [])[-8:]):
            if any(_belong_together(other, loss) for other in group):
                group.append(loss)
                break
        else:
            groups.append([loss])
            latest.setdefault(loss.nexus, []).append(groups[-1])
    return groups


def _belong_together(one: Loss, other: Loss) -> bool:
    if one.session == other.session:
        return abs(other.closed_ns - one.closed_ns) <= SAME_SESSION_NS
    return (
        abs(other.failed_ns - one.failed_ns) <= TOGETHER_NS
        and abs(other.closed_ns - one.closed_ns) <= TOGETHER_NS
    )


def begin_incident(group: list[Loss]) -> Incident:
    """An incident from the losses that are one, with how and when the initiator knew."""
    first = group[0]
    causes = {RESET: "reset", FIN: "fin", REPLACED: "silence" if _was_silent(first) else "replaced"}
    cause = causes.get(first.end, "silence")
    incident = Incident(
        "connection-loss",
        cause,
        first.session,
        first.connection,
        first.nexus,
        first.failed_ns,
        first.closed_ns,
    )
    incident.connections = [loss.connection for loss in group]
    incident.sessions = {loss.session for loss in group}
    incident.last_from_target_ns = first.last_from_target_ns
    incident.last_from_initiator_ns = first.last_from_initiator_ns
    incident.detected_ns, incident.detected_by = first.closed_ns, _detection(first)
    incident.is_detection_seen = first.is_end_seen
    if first.end == REPLACED and first.taken_over_ns is not None:
        incident.detected_ns = first.taken_over_ns
    if first.nop_sent_ns is not None and first.is_end_seen:
        waited_s = (first.closed_ns - first.nop_sent_ns) / timers.SECOND_NS
        incident.noop_timeout_s = round(waited_s, 3)
    incident.ended_ns = max(loss.closed_ns for loss in group)
    return incident


def _was_silent(loss: Loss) -> bool:
    return loss.closed_ns - loss.failed_ns >= TOGETHER_NS // 10


def _detection(loss: Loss) -> str:
    if loss.end == TIMEOUT:
        return "nop-timeout" if loss.nop_sent_ns is not None or not loss.is_end_seen else "logout"
    return {RESET: "reset", FIN: "fin"}.get(loss.end, "login")


def infer_detection(incident: Incident, interval_s: int | None) -> None:
    """Date the end of a silence from the first repetition elsewhere, where the timers add up to it.

    The initiator heard nothing for the NOP-Out interval, asked, waited for the timeout, and then held the
    commands for the recovery timer; only the sum of the three shows on another path.
    """
    retry_ns, heard_ns = incident.first_retry_ns, incident.last_from_target_ns
    incident.noop_interval_s = interval_s
    if incident.is_detection_seen or retry_ns is None or heard_ns is None:
        return
    division = timers.divide_silence(retry_ns - heard_ns, interval_s)
    if division is None:
        incident.detected_ns, incident.detected_by = retry_ns, "retry"
        return
    incident.detected_ns, incident.detected_by = heard_ns + division.detected_after_ns, "nop-timeout"
    incident.noop_interval_s, incident.noop_timeout_s = division.interval_s, division.timeout_s
    incident.hold_setting_s = division.recovery_s


def name_hold(incident: Incident, time2wait_s: int | None, logged_in_ns: int | None) -> None:
    """Say what held the commands from detection to their first repetition.

    ``logged_in_ns`` is when the first login of the recovery on a lost path was done, if there was one.
    """
    start_ns, retry_ns = incident.detected_ns, incident.first_retry_ns
    if start_ns is None or retry_ns is None or retry_ns - start_ns < _SHORTEST_HOLD_NS:
        return
    incident.hold_from_ns, incident.hold_to_ns = start_ns, retry_ns
    held_ns = retry_ns - start_ns
    other_path = any(one.again_ns == retry_ns and one.is_same_path is False for one in incident.fates)
    waits_for_login = logged_in_ns is not None and logged_in_ns <= retry_ns
    if incident.hold_setting_s is not None:
        incident.hold_timer = "recovery-timer"
    elif incident.count(REASSIGNED) and time2wait_s and timers.is_timer(held_ns, time2wait_s):
        incident.hold_timer, incident.hold_setting_s = "time2wait", time2wait_s
    elif waits_for_login and not other_path:
        incident.hold_timer = "login"
    elif (setting := timers.recovery_setting_s(held_ns)) is not None and other_path:
        incident.hold_timer, incident.hold_setting_s = "recovery-timer", setting


def summarize(incident: Incident) -> str:
    """The incident in one sentence."""
    parts = [_BEGINNINGS.get(incident.cause, incident.cause).format(c=incident.connection)]
    if len(incident.connections) > 1:
        parts[0] += f" (with {len(incident.connections) - 1} more)"
    if incident.detected_ns is not None and incident.detected_ns - incident.failed_ns >= _SHORTEST_HOLD_NS:
        how = "" if incident.is_detection_seen else ", inferred"
        waited = _seconds(incident.detected_ns - incident.failed_ns)
        parts.append(f"noticed after {waited} ({incident.detected_by}{how})")
    if incident.hold_from_ns is not None and incident.hold_to_ns is not None:
        setting = f" of {incident.hold_setting_s:g} s" if incident.hold_setting_s else ""
        held = _seconds(incident.hold_to_ns - incident.hold_from_ns)
        name = (
            "" if incident.hold_timer == "none" else f" by the {_TIMER_WORDS[incident.hold_timer]}{setting}"
        )
        parts.append(f"I/O held {held}{name}")
    parts.append(_fate_words(incident))
    if incident.stall_ns is not None and incident.fates:
        parts.append(f"slowest held command {_seconds(incident.stall_ns)}")
    return "; ".join(part for part in parts if part) + "."


_BEGINNINGS = {
    "silence": "connection {c} fell silent",
    "reset": "connection {c} was reset",
    "fin": "connection {c} was closed without a logout",
    "replaced": "connection {c} was replaced by a new login",
    "logout": "connection {c} was logged out for recovery",
    "task-management": "commands were ended by task management",
    "command-order": "commands waited for a lower CmdSN",
    "command-window": "the command window was closed",
    "unsent-data": "the target waited for data it had asked for",
    "target": "the target did not answer",
}
_TIMER_WORDS = {
    "recovery-timer": "recovery timer",
    "time2wait": "Time2Wait",
    "login": "wait for a login",
    "task-management": "wait for task management",
}


def _fate_words(incident: Incident) -> str:
    if not incident.fates:
        return "no command was held"
    again = [one for one in incident.fates if one.again_ns is not None and one.fate != REASSIGNED]
    counts = (
        ("reassigned", incident.count(REASSIGNED)),
        ("repeated on the same path", sum(one.is_same_path is True for one in again)),
        ("repeated on another path", sum(one.is_same_path is False for one in again)),
        ("aborted", incident.count(ABORTED_FATE)),
        ("answered late", incident.count("answered")),
        ("lost", incident.count(LOST)),
    )
    said = ", ".join(f"{count} {what}" for what, count in counts if count)
    return f"{len(incident.fates)} commands held: {said}"


def _seconds(nanoseconds: int) -> str:
    if nanoseconds >= timers.SECOND_NS:
        return f"{nanoseconds / 1e9:.2f} s"
    return f"{nanoseconds / 1e6:.3g} ms"
