"""What a capture shows of the clocks of its files: pairs of a cause in one and its effect in another.

Decides which PDUs are cause and effect, whatever the clocks say: an answer is never seen before what it
answers. What TCP shows is found while decoding (``decoders.clock_bounds``). Rules: RFC 7143 sections 4.2.2.1
(ExpCmdSN acknowledges only what was sent), 6.3.1 (a login names the TSIH that was given) and 11.2.1.8 (a task
tag is free again after its response). What follows for the clocks is not decided here.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from analyzer.decoders.clock_bounds import ClockBound, bounds_of
from analyzer.decoders.decoded import QUALITY_WHOLE, DecodedCapture
from analyzer.iscsi.headers import (
    DATA_IN_STATUS_BIT,
    FROM_INITIATOR,
    FROM_TARGET,
    OPCODE_MASK,
    view,
)
from analyzer.iscsi.opcodes import Opcode
from analyzer.timeline.assumed_sessions import CommandSequence, group_sequences
from analyzer.timeline.logins import Login, track_logins
from analyzer.timeline.membership import numbered_requests

Int64s = npt.NDArray[np.int64]
Opcodes = npt.NDArray[np.uint8]

_HALF = 1 << 31
_FIRST_TARGET_OPCODE = 0x20


def clock_bounds(decoded: DecodedCapture) -> list[ClockBound]:
    """All bounds between any two files of a capture, those of TCP included."""
    return [*decoded.clock_bounds, *_bounds_of_sessions(decoded)]


def _bounds_of_sessions(decoded: DecodedCapture) -> list[ClockBound]:
    found: list[ClockBound] = []
    pdus = decoded.pdus
    if len(np.unique(pdus.file_index)) < 2:
        return found
    opcodes = np.ascontiguousarray(pdus.headers[:, 0] & OPCODE_MASK)
    whole = pdus.quality == QUALITY_WHOLE
    logins = track_logins(decoded, opcodes)
    numbered = numbered_requests(decoded, opcodes)
    numbered = numbered[whole[numbered]]
    for members in _sessions(decoded, numbered, logins):
        own_logins = [login for login in logins if login.connection_index in members]
        found += _bounds_of_logins(decoded, opcodes, own_logins)
        of_session = np.isin(pdus.connection_index, members) & whole
        if len(np.unique(pdus.file_index[of_session])) < 2:
            continue
        requests = numbered[of_session[numbered]]
        answers = np.flatnonzero(of_session & (opcodes >= _FIRST_TARGET_OPCODE))
        if len(requests) and len(answers):
            found += _bounds_of_numbers(decoded, requests, answers)
            commands = requests[opcodes[requests] == Opcode.SCSI_COMMAND]
            found += _bounds_of_task_tags(decoded, commands, answers)
    return found


def _sessions(decoded: DecodedCapture, requests: Int64s, logins: list[Login]) -> list[list[int]]:
    """The connections of each session, found without a look at the time.

    Sessions whose handle was given twice are left out: their numbers begin again.
    """
    by_name: dict[tuple[str, str, int], list[Login]] = defaultdict(list)
    for login in logins:
        if login.is_complete and login.tsih is not None:
            by_name[login.offered.get("InitiatorName", ""), login.isid, login.tsih].append(login)
    sessions = [
        [login.connection_index for login in of_name]
        for of_name in by_name.values()
        if sum(login.is_leading for login in of_name) < 2
    ]
    known = {login.connection_index for login in logins}
    carriers = decoded.pdus.connection_index[requests]
    loose = [number for number in np.unique(carriers).tolist() if number not in known]
    numbers = view(decoded.pdus.headers[requests], FROM_INITIATOR)["cmd_sn"].astype(np.uint32)
    sequences = [CommandSequence.of(numbers[carriers == number], 0, 0) for number in loose]
    assumed: dict[int, list[int]] = defaultdict(list)
    for number, group in zip(loose, group_sequences([], sequences), strict=True):
        assumed[group].append(number)
    return sessions + list(assumed.values())


def _bounds_of_logins(decoded: DecodedCapture, opcodes: Opcodes, logins: list[Login]) -> list[ClockBound]:
    """A further connection names the TSIH that the first was given; of such there is one pair."""
    found: list[ClockBound] = []
    pdus = decoded.pdus
    is_login = np.isin(opcodes, (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE))
    for leading in [login for login in logins if login.is_leading]:
        given = np.flatnonzero(is_login & (pdus.connection_index == leading.connection_index))
        for login in [login for login in logins if login.tsih_requested]:
            named = np.flatnonzero(is_login & (pdus.connection_index == login.connection_index))
            cause, effect = int(pdus.file_index[given[-1]]), int(pdus.file_index[named[0]])
            elapsed_ns = np.array([login.started_ns - leading.last_ns], np.int64)
            found += bounds_of(cause, effect, elapsed_ns, "TSIHs named", witnesses=1)
    return found


def _bounds_of_numbers(decoded: DecodedCapture, requests: Int64s, answers: Int64s) -> list[ClockBound]:
    """ExpCmdSN goes beyond no CmdSN that was not sent; of a number sent twice either sending may be meant."""
    found: list[ClockBound] = []
    pdus = decoded.pdus
    sent = view(pdus.headers[requests], FROM_INITIATOR)["cmd_sn"].astype(np.int64)
    expected = view(pdus.headers[answers], FROM_TARGET)["exp_cmd_sn"].astype(np.int64)
    sent, expected = (_relative(numbers, int(sent[0])) for numbers in (sent, expected))
    _, where, times_sent = np.unique(sent, return_inverse=True, return_counts=True)
    once = times_sent[where] == 1
    for effect in np.unique(pdus.file_index[answers]).tolist():
        own = answers[pdus.file_index[answers] == effect]
        numbers = expected[pdus.file_index[answers] == effect]
        rising = np.argsort(numbers, kind="stable")
        # The first time at which each number or a higher one was expected.
        first_ns = np.minimum.accumulate(pdus.time_ns[own[rising]][::-1])[::-1]
        for cause in np.unique(pdus.file_index[requests]).tolist():
            is_cause = once & (pdus.file_index[requests] == cause)
            at = np.searchsorted(numbers[rising], sent[is_cause], side="right")
            is_seen = at < len(own)
            elapsed_ns = first_ns[at[is_seen]] - pdus.time_ns[requests[is_cause][is_seen]]
            found += bounds_of(cause, effect, elapsed_ns, "CmdSNs acknowledged")
    return found


def _bounds_of_task_tags(decoded: DecodedCapture, commands: Int64s, answers: Int64s) -> list[ClockBound]:
    """A task tag is used again only after the response to the command that had it."""
    found: list[ClockBound] = []
    pdus = decoded.pdus
    if not len(commands):
        return found
    fields = view(pdus.headers[commands], FROM_INITIATOR)
    tag = fields["initiator_task_tag"].astype(np.int64)
    number = _relative(fields["cmd_sn"].astype(np.int64), int(fields["cmd_sn"][0]))
    opcode, flags = pdus.headers[answers, 0] & OPCODE_MASK, pdus.headers[answers, 1]
    is_response = (opcode == Opcode.SCSI_RESPONSE) | (
        (opcode == Opcode.DATA_IN) & (flags & DATA_IN_STATUS_BIT != 0)
    )
    responses = answers[is_response]
    # On its connection, the response with the tag that comes next is that of the command.
    response_of = _next_with_tag(decoded, commands, tag, responses)
    order = np.lexsort((number, tag))
    earlier, later = order[:-1], order[1:]
    is_reuse = (tag[earlier] == tag[later]) & (number[earlier] < number[later]) & (response_of[earlier] >= 0)
    causes, effects = response_of[earlier[is_reuse]], commands[later[is_reuse]]
    elapsed_ns = pdus.time_ns[effects] - pdus.time_ns[causes]
    for cause in np.unique(pdus.file_index[causes]).tolist():
        for effect in np.unique(pdus.file_index[effects]).tolist():
            is_pair = (pdus.file_index[causes] == cause) & (pdus.file_index[effects] == effect)
            found += bounds_of(cause, effect, elapsed_ns[is_pair], "task tags used again")
    return found


def _next_with_tag(decoded: DecodedCapture, commands: Int64s, tag: Int64s, responses: Int64s) -> Int64s:
    """The response to each command: the next PDU with its tag on its connection; -1 where that is none."""
    pdus = decoded.pdus
    rows = np.concatenate([commands, responses])
    answered = view(pdus.headers[responses], FROM_TARGET)["initiator_task_tag"].astype(np.int64)
    tags = np.concatenate([tag, answered])
    order = np.lexsort((rows, pdus.file_index[rows], tags, pdus.connection_index[rows]))
    place, behind = order[:-1], order[1:]
    is_pair = (
        (place < len(commands))
        & (behind >= len(commands))
        & (tags[place] == tags[behind])
        & (pdus.connection_index[rows[place]] == pdus.connection_index[rows[behind]])
        & (pdus.file_index[rows[place]] == pdus.file_index[rows[behind]])
    )
    found = np.full(len(commands), -1, np.int64)
    found[place[is_pair]] = rows[behind[is_pair]]
    return found


def _relative(numbers: Int64s, base: int) -> Int64s:
    """Serial numbers as their signed distance from ``base``."""
    relative: Int64s = ((numbers - base + _HALF) & (2 * _HALF - 1)) - _HALF
    return relative
