"""Each rule broken once in a conversation, and nothing else; real captures with what is truly wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analyzer.diagnostics import CATALOGUE
from analyzer.iscsi.text_keys import wrong_answers
from analyzer.tables.folder import Timeline
from analyzer.timeline.analysis import analyze
from analyzer.timeline.build import build
from analyzer.timeline.lint_walk import RULE_COUNT
from analyzer.timeline.protocol_lint import RULES
from tests.conversations import Conversation, read_10, write_10
from tests.real import TRACES, capture_path

SIZE = 8 * 512
LINTED = (*RULES.values(), "task-management-response-wrong", "key-answer-wrong", "key-out-of-place")


def breaches(timeline: Timeline) -> dict[str, int]:
    """Diagnostics of the lint by code, with their counts."""
    counted: Counter[str] = Counter()
    for row in timeline.arrow["diagnostics"].to_pylist():
        if row["code"] in LINTED:
            counted[row["code"]] += row["count"]
    return dict(counted)


def session(**keys: str) -> tuple[Conversation, int]:
    said = Conversation()
    connection = said.connect()
    said.login(connection, **keys)
    return said, connection


def change(said: Conversation, byte: int, value: int, width: int = 4) -> None:
    """Change a field of the PDU that was said last."""
    pdu = said.pdus[-1]
    content = value.to_bytes(width, "big")
    pdu.header = pdu.header[:byte] + content + pdu.header[byte + width :]


def test_every_rule_is_in_the_catalogue_with_its_section() -> None:
    assert sorted(RULES) == list(range(RULE_COUNT))
    for code in RULES.values():
        assert "RFC 7143 section" in CATALOGUE[code].meaning


def test_a_faultless_conversation_has_no_breach() -> None:
    said, connection = session(InitialR2T="No", FirstBurstLength="65536")
    said.command(connection, 1, 1, read_10(0, 8))
    said.data_in(connection, 1, SIZE // 2)
    said.data_in(connection, 1, SIZE // 2, offset=SIZE // 2, status=0)
    said.command(connection, 2, 2, write_10(0, 32), data=SIZE)
    said.data_out(connection, 2, SIZE)
    said.r2t(connection, 2, 2 * SIZE)
    said.data_out(connection, 2, SIZE, transfer_tag=5, is_final=False)
    said.data_out(connection, 2, SIZE, transfer_tag=5)
    said.response(connection, 2)
    said.nop_out(connection, 9)
    said.nop_in(connection, 9)
    assert breaches(said.timeline()) == {}


@pytest.mark.parametrize(
    ("data_sns", "r2t_sns", "expected"),
    [
        ((1, 3), (0, 2), {}),  # one count for both (RFC 7143 section 4.2.2.4)
        ((0, 1), (0, 1), {"data-sn-gap": 2}),
        ((1, 4), (0, 2), {"data-sn-gap": 1}),
    ],
)
def test_data_and_r2ts_of_a_bidirectional_command_share_one_count(
    data_sns: tuple[int, int], r2t_sns: tuple[int, int], expected: dict[str, int]
) -> None:
    said, connection = session()
    said.command(connection, 1, 1, bytes([0x53, 0, 0, 0, 0, 0, 0, 0, 16, 0]), expected=2 * SIZE)
    change(said, 1, 0xE1, 1)  # final, read, write, simple
    for data_sn, r2t_sn in zip(data_sns, r2t_sns, strict=True):
        said.r2t(connection, 1, SIZE, transfer_tag=5 + r2t_sn)
        change(said, 36, r2t_sn)
        said.data_out(connection, 1, SIZE, transfer_tag=5 + r2t_sn)
        said.data_in(connection, 1, SIZE)
        change(said, 36, data_sn)
    said.response(connection, 1)
    assert breaches(said.timeline()) == expected


def test_a_lost_status_is_a_gap() -> None:
    said, connection = session()
    for tag in (1, 2):
        said.command(connection, tag, tag, read_10(0, 8))
        said.data_in(connection, tag, SIZE, status=0)
    change(said, 24, 9)
    assert breaches(said.timeline()) == {"stat-sn-gap": 1}


def test_data_and_r2t_numbers_count_one_by_one() -> None:
    said, connection = session()
    said.command(connection, 1, 1, read_10(0, 8))
    said.data_in(connection, 1, SIZE, status=0)
    change(said, 36, 3)
    assert breaches(said.timeline()) == {"data-sn-gap": 1}
    said, connection = session()
    said.command(connection, 1, 1, write_10(0, 8))
    said.r2t(connection, 1, SIZE)
    change(said, 36, 1)
    said.data_out(connection, 1, SIZE, transfer_tag=5)
    said.response(connection, 1)
    assert breaches(said.timeline()) == {"r2t-sn-gap": 1}


def test_limits_of_segments_and_bursts() -> None:
    said, connection = session(MaxRecvDataSegmentLength="4096", MaxBurstLength="4096")
    said.command(connection, 1, 1, read_10(0, 32))
    said.data_in(connection, 1, 8192, status=0)
    said.command(connection, 2, 2, write_10(0, 32))
    said.r2t(connection, 2, 8192)
    assert breaches(said.timeline()) == {"segment-too-long": 1, "burst-too-long": 2}


def test_data_that_was_not_asked_for() -> None:
    said, connection = session(ImmediateData="No", InitialR2T="Yes")
    said.command(connection, 1, 1, write_10(0, 8), data=512)
    said.data_out(connection, 1, 512)
    said.response(connection, 1)
    assert breaches(said.timeline()) == {"immediate-data-not-allowed": 1, "unsolicited-data-not-allowed": 1}


def test_the_first_burst_has_an_end() -> None:
    said, connection = session(InitialR2T="No", FirstBurstLength="1024")
    said.command(connection, 1, 1, write_10(0, 8), data=512)
    said.data_out(connection, 1, 1024)
    said.response(connection, 1)
    assert breaches(said.timeline()) == {"first-burst-too-long": 1}


def test_transfer_tags_and_what_they_ask_for() -> None:
    said, connection = session(MaxOutstandingR2T="1")
    said.command(connection, 1, 1, write_10(0, 32))
    said.r2t(connection, 1, 512, transfer_tag=7)
    said.r2t(connection, 1, 512, transfer_tag=8)
    said.data_out(connection, 1, 512, transfer_tag=9)
    said.data_out(connection, 1, 1024, transfer_tag=7)
    said.data_out(connection, 1, 512, transfer_tag=8)
    said.response(connection, 1)
    assert breaches(said.timeline()) == {"too-many-r2ts": 1, "transfer-tag-unknown": 1, "data-beyond-r2t": 1}


def test_status_and_response_codes_in_their_places() -> None:
    said, connection = session()
    said.command(connection, 1, 1, read_10(0, 8))
    said.data_in(connection, 1, SIZE, status=2)
    said.command(connection, 2, 2, read_10(0, 8))
    said.response(connection, 2)
    change(said, 2, 0x55, width=1)
    assert breaches(said.timeline()) == {"status-out-of-place": 1, "response-code-reserved": 1}


def test_a_task_management_answer_that_has_no_place() -> None:
    said, connection = session()
    said.task_management(connection, 60, 5)
    said.task_management_response(connection, 60, 4)
    assert breaches(said.timeline()) == {"task-management-response-wrong": 1}


def test_a_moved_task_may_number_from_anywhere() -> None:
    """LIO starts R2TSN at 0 again; others go on."""
    said, first = session()
    second = said.connect(target="10.0.1.9")
    said.login(second, tsih=1, cid=1)
    said.command(first, 1, 1, read_10(0, 16))
    said.data_in(first, 1, SIZE)
    said.close(first, reset=True)
    said.task_management(second, 50, 8, of=1)
    said.task_management_response(second, 50, 0)
    said.data_in(second, 1, SIZE, status=0)
    change(said, 36, 5)
    assert breaches(said.timeline()) == {}


def test_a_connection_with_losses_is_not_judged() -> None:
    said, connection = session()
    said.command(connection, 1, 1, read_10(0, 8))
    said.data_in(connection, 1, SIZE, status=0)
    change(said, 36, 3)

    assert breaches(build(said.decoded(lost_bytes=np.array([1448], np.int64)))) == {}


@pytest.mark.parametrize(
    ("offer", "answer", "is_right"),
    [
        (("MaxBurstLength", "65536"), "65536", True),
        (("MaxBurstLength", "65536"), "131072", False),
        (("DefaultTime2Wait", "2"), "0", False),
        (("DefaultTime2Wait", "2"), "5", True),
        (("InitialR2T", "Yes"), "No", False),
        (("InitialR2T", "No"), "Yes", True),
        (("ImmediateData", "No"), "Yes", False),
        (("HeaderDigest", "None"), "CRC32C", False),
        (("HeaderDigest", "CRC32C,None"), "None", True),
        (("MaxBurstLength", "65536"), "Reject", True),
        (("MaxRecvDataSegmentLength", "65536"), "8192", True),
    ],
)
def test_answers_follow_from_offers(offer: tuple[str, str], answer: str, is_right: bool) -> None:
    found = wrong_answers((offer,), ((offer[0], answer),), is_leading=True)
    assert (found == ()) is is_right


def test_keys_of_the_session_belong_on_its_first_connection() -> None:
    assert wrong_answers((), (("MaxConnections", "4"),), is_leading=True) == ()
    ((code, detail),) = wrong_answers((), (("MaxConnections", "4"), ("InitialR2T", "No")), is_leading=False)
    assert (code, detail) == ("key-out-of-place", "MaxConnections=4, InitialR2T=No")


# MaxBurstLength=16384 was agreed; tgt sends 32 KiB and asks for 64 KiB in one burst.
TRULY_WRONG = {
    "mcs-2conn-rr-r2t-tgt": {"burst-too-long"},
    "mcs-kill-write-r2t-tgt": {"burst-too-long"},
    "mcs-kill-erl2-reassign-lio": {"task-management-response-wrong"},
}


@pytest.mark.parametrize(
    "capture",
    sorted({path for path in (TRACES / "mcs").glob("*.pcap*") if "snap" not in path.name}),
    ids=lambda path: path.name.split(".pcap")[0],
)
def test_real_captures_have_no_breach_but_the_true_ones(capture: Path) -> None:
    name = capture.name.split(".pcap")[0]
    found = set(breaches(analyze(capture))) - {"key-out-of-place"}
    assert found == TRULY_WRONG.get(name, set())


@pytest.mark.parametrize(
    "name", ["mpio-rr", "fo-linkdown-st", "gso", "pr", "tmf-lunreset", "mpio-rr-snap128"]
)
def test_a_kernel_initiator_and_lio_break_no_rule(name: str) -> None:
    assert breaches(analyze(*sorted((TRACES / "mpio").glob(f"{name}.link*.pcap*")))) == {}


def test_a_true_breach_is_what_its_pdus_say() -> None:
    """The R2T that is counted asks for more than MaxBurstLength."""
    timeline = analyze(capture_path("mcs-2conn-rr-r2t-tgt"))
    agreed = timeline.sessions.max_burst_bytes.iloc[0]
    asked = timeline.pdus.desired_bytes.max()
    assert (agreed, asked) == (16384, 65536)
