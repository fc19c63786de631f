"""``analyzer capture``: record with dumpcap, show what goes on meanwhile, and analyze what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analyzer.errors import UnusableInputError

DEFAULT_PORTS = (3260, 860)

Interfaces = Annotated[
    list[str],
    typer.Option(
        "-i", "--interface", metavar="IFACE", help="Interface to record; may be repeated.", show_default=False
    ),
]
Portals = Annotated[
    list[str] | None,
    typer.Option("--portal", metavar="HOST[:PORT]", help="Record this portal only; may be repeated."),
]
Ports = Annotated[
    list[int] | None,
    typer.Option(
        "--port",
        metavar="N",
        min=1,
        max=65535,
        help="Record this TCP port of any host; may be repeated. Without any: 3260, 860.",
    ),
]
CaptureFilter = Annotated[
    str | None,
    typer.Option("--filter", metavar="TEXT", help="A capture filter in pcap-filter language instead."),
]
SnapLength = Annotated[
    str,
    typer.Option(
        metavar="BYTES|auto|0",
        help="Cut packets to so many bytes; auto: to what keeps every PDU header of a sample.",
    ),
]
Ring = Annotated[
    str | None,
    typer.Option(metavar="FILES:MB", help="Keep the last so many files of so many megabytes only."),
]
Duration = Annotated[float | None, typer.Option(min=0.1, metavar="SECONDS", help="Stop after so long.")]
Packets = Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after so many packets.")]
Recording = Annotated[
    Path | None, typer.Option("-w", "--write", metavar="CAPTURE", help="Record into this pcapng file.")
]
TimelineFolder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="TIMELINE", help="Write the timeline folder here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def capture(
    interface: Interfaces,
    portal: Portals = None,
    port: Ports = None,
    capture_filter: CaptureFilter = None,
    snaplen: SnapLength = "0",
    ring: Ring = None,
    duration: Duration = None,
    packets: Packets = None,
    write: Recording = None,
    output: TimelineFolder = None,
    as_json: AsJson = False,
) -> None:
    """Record live, with a counter on the terminal, and analyze the recording.

    Ends after --duration, --packets or Ctrl-C. Needs dumpcap and the right to record.
    """
    from analyzer.capture.recorder import RecordingOptions, portal_filter
    from analyzer.commands.analyze import as_document, show
    from analyzer.commands.recording import record, record_with_sample
    from analyzer.commands.shown import output_console, print_json
    from analyzer.commands.sources import read_captures
    from analyzer.comparison.recording import recorded_measures

    snap_length = _snap_length(snaplen)
    ring_files, ring_megabytes = _ring(ring)
    wanted = port or ([] if portal else list(DEFAULT_PORTS))
    options = RecordingOptions(
        interfaces=tuple(interface),
        capture_filter=capture_filter or portal_filter(portal or [], wanted),
        snap_length=snap_length or 0,
        duration_s=duration,
        packets=packets,
        ring_files=ring_files,
        ring_file_megabytes=ring_megabytes,
    )
    place = _recording_place(write)
    ports = [*(port or []), *_ports_of(portal or [])]
    files = (
        record(options, place, ports)
        if snap_length is not None
        else record_with_sample(options, place, ports)
    )
    timeline = read_captures([str(path) for path in files], "native", ports)
    if output is not None:
        timeline.write(output)
    recorded = recorded_measures(timeline)
    if as_json:
        print_json(as_document(timeline, recorded))
        return
    show(output_console(), timeline, recorded)
    output_console().print(f"Recorded into {', '.join(str(path) for path in files)}", soft_wrap=True)
    if output is not None:
        output_console().print(f"Timeline written to {output}")


def _snap_length(text: str) -> int | None:
    """Bytes to keep of a packet, 0 for all; None where a sample is to tell."""
    if text == "auto":
        return None
    if not text.isdecimal() or not (int(text) == 0 or 64 <= int(text) <= 262_144):
        raise UnusableInputError("is no snap length; 64 to 262144, 0 for whole packets, or auto", source=text)
    return int(text)


def _ring(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    files, colon, megabytes = text.partition(":")
    if (
        not colon
        or not files.isdecimal()
        or not megabytes.isdecimal()
        or int(files) < 2
        or int(megabytes) < 1
    ):
        raise UnusableInputError("is no ring; FILES:MB with two files or more is one", source=text)
    return int(files), int(megabytes)


def _ports_of(portals: list[str]) -> list[int]:
    tails = [portal.rpartition(":")[2] for portal in portals if "]" in portal or portal.count(":") == 1]
    return [int(tail) for tail in tails if tail.isdecimal()]


def _recording_place(write: Path | None) -> Path:
    from datetime import UTC, datetime

    place = write or Path(f"capture-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.pcapng")
    if not place.parent.is_dir():
        raise UnusableInputError("no such folder", source=str(place.parent))
    return place
