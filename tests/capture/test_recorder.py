"""How a recording is asked for: portals become capture filters, and what cannot be recorded is said."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from analyzer.capture.growing import GrowingSource
from analyzer.capture.reader import CaptureReader
from analyzer.capture.recorder import Recorder, RecordingOptions, portal_filter
from analyzer.diagnostics import DiagnosticLog
from analyzer.errors import UnusableInputError
from tests.captures import Conversation, dialogue, packets_of, pcapng


@pytest.mark.parametrize(
    ("portals", "ports", "expected"),
    [
        ([], [], "tcp"),
        ([], [3260, 860], "(tcp port 3260) or (tcp port 860)"),
        (["10.0.0.1:3260"], [], "(host 10.0.0.1 and tcp port 3260)"),
        (["array-a.example"], [], "(host array-a.example and tcp)"),
        (
            ["[2001:db8::1]:3261", "2001:db8::2"],
            [],
            "(host 2001:db8::1 and tcp port 3261) or (host 2001:db8::2 and tcp)",
        ),
    ],
)
def test_portals_become_a_filter(portals: list[str], ports: list[int], expected: str) -> None:
    """Every form of a portal, and ports beside them."""
    assert portal_filter(portals, ports) == expected


@pytest.mark.parametrize("portal", ["", "a b", "host:0", "host:70000", "host; reboot", "host:x"])
def test_what_is_no_portal_is_refused(portal: str) -> None:
    """Nothing but a host and a port reaches the filter."""
    with pytest.raises(UnusableInputError, match="is no portal"):
        portal_filter([portal], [])


@pytest.mark.tools
@pytest.mark.parametrize(
    ("interface", "capture_filter", "reason"),
    [("no-such-interface", "tcp", "no device named"), ("lo", "port port", "Invalid capture filter")],
)
def test_dumpcap_s_own_reason_is_told(
    tmp_path: Path, interface: str, capture_filter: str, reason: str
) -> None:
    """An interface that is not there and a filter that is none."""
    with pytest.raises(UnusableInputError, match=reason):
        Recorder(RecordingOptions((interface,), capture_filter), tmp_path / "x.pcapng")


def test_a_growing_file_is_read_as_it_grows(tmp_path: Path) -> None:
    """Written in pieces that cut records anywhere, it gives the packets of the whole file."""
    said = dialogue(4)
    content = pcapng(packets_of(Conversation(), said.segments(Conversation(), (97,))))
    path = tmp_path / "growing.pcapng"
    path.write_bytes(b"")
    pieces = [content[at : at + 311] for at in range(0, len(content), 311)]

    def write_more() -> bool:
        if not pieces:
            return False
        with path.open("ab") as file:
            file.write(pieces.pop(0))
        return True

    diagnostics = DiagnosticLog()
    reader = CaptureReader(GrowingSource(path, write_more), 0, diagnostics)
    growing = [batch.packets["captured"][: batch.packet_count].tolist() for batch in reader.batches()]
    reader.source.close()
    whole = CaptureReader(path, 0, diagnostics)
    expected = [batch.packets["captured"][: batch.packet_count].tolist() for batch in whole.batches()]
    whole.source.close()
    assert len(growing) > len(expected)
    assert list(chain(*growing)) == list(chain(*expected))
    assert not len(diagnostics)
