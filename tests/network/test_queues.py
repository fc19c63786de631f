"""What waits below TCP at a host is seen: all that passes between data and its acknowledgement."""

from __future__ import annotations

from dataclasses import replace

import pytest

import analyzer
from tests.captures import (
    INITIATOR,
    START_NS,
    TARGET,
    Conversation,
    Dialogue,
    command,
    data_in,
    data_out,
    login_request,
    login_response,
    nop_in,
    packets_of,
    pcap,
    text,
)

FULL = 1448
LENGTH = 20 * FULL
LOGIN = Dialogue(
    (
        (INITIATOR, login_request(text(InitiatorName="iqn.i", TargetName="iqn.t"))),
        (TARGET, login_response(b"")),
    )
)
COLUMNS = {INITIATOR: "queue_to_target_bytes", TARGET: "queue_from_target_bytes"}


def full_link(sender, ahead, *, is_sent_again=False, is_ended=False):
    """A login, and much data of ``sender``; in its midst the other side says something.

    ``ahead`` segments that were in the sender's queue by then pass without acknowledging it.
    """
    conversation = Conversation()
    segments = list(LOGIN.segments(conversation))
    asks = (
        command(1, 1, stat_sn=2, read=LENGTH)
        if sender == TARGET
        else command(1, 1, stat_sn=2, written=LENGTH)
    )
    segments += conversation.send(INITIATOR, asks.wire())
    long = data_in(1, bytes(LENGTH), stat_sn=2, cmd_sn=2) if sender == TARGET else data_out(1, bytes(LENGTH))
    data = conversation.send(sender, long.wire())
    short = nop_in(2, 2) if sender == INITIATOR else command(2, 2, stat_sn=2, read=512)
    (said,) = conversation.send(1 - sender, short.wire())
    said = replace(said, acknowledgement=data[5].sequence)
    behind = conversation.number(1 - sender)
    again = [said] if is_sent_again else []
    segments += [*data[:5], said, *data[5 : 5 + ahead // 2], *again, *data[5 + ahead // 2 : 5 + ahead]]
    if is_ended:
        segments += [*data[5 + ahead :], conversation.end(sender)]
    else:
        segments += [replace(one, acknowledgement=behind) for one in data[5 + ahead :]]
    segments.append(conversation.acknowledge(1 - sender))
    return pcap(packets_of(conversation, segments, START_NS))


def seen(place, capture):
    """The connection of a capture."""
    place.write_bytes(capture)
    return analyzer.analyze(place).connections.iloc[0]


@pytest.mark.parametrize("ahead", [0, 1, 7, 14])
@pytest.mark.parametrize("sender", [INITIATOR, TARGET])
def test_what_passes_before_an_acknowledgement_was_in_the_queue(tmp_path, sender, ahead):
    connection = seen(tmp_path / "seen.pcap", full_link(sender, ahead))
    assert connection[COLUMNS[sender]] == ahead * FULL
    # The other side sent next to nothing while data of this one was on its way.
    assert connection[COLUMNS[1 - sender]] <= 48


def test_what_was_sent_again_says_nothing(tmp_path):
    """Which of two copies an acknowledgement is for cannot be told (Karn's rule, RFC 6298 section 3)."""
    connection = seen(tmp_path / "seen.pcap", full_link(TARGET, 14, is_sent_again=True))
    assert connection["queue_from_target_bytes"] < 14 * FULL


@pytest.mark.parametrize("sender", [INITIATOR, TARGET])
def test_an_end_of_the_connection_that_acknowledges_is_no_queue(tmp_path, sender):
    """A FIN behind data acknowledges what came; the sequence number of its end is no length."""
    capture = full_link(sender, 3, is_ended=True)
    assert seen(tmp_path / "seen.pcap", capture)[COLUMNS[sender]] == 20 * FULL + 48 - 5 * FULL


def test_without_acknowledgements_nothing_is_seen(tmp_path):
    """A capture of one direction."""
    conversation = Conversation()
    segments = LOGIN.segments(conversation)
    segments += conversation.send(INITIATOR, command(1, 1, stat_sn=2, read=512).wire())
    mine = [one for one in segments if one.side == INITIATOR]
    connection = seen(tmp_path / "seen.pcap", pcap(packets_of(conversation, mine, START_NS)))
    assert connection[list(COLUMNS.values())].isna().all()
