"""Failed attempts: which tasks did not do their work, so that a later command may have repeated it.

Decides what counts as a failure, and which sessions are one initiator with one target. The matching of
failures with later commands is that of ``reissues``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import FROM_INITIATOR, FROM_TARGET, view
from analyzer.scsi.sense import ABORTED_COMMAND, UNIT_ATTENTION
from analyzer.scsi.status import CHECK_CONDITION, RETRIED_STATUSES
from analyzer.serial_numbers import HALF, MASK
from analyzer.timeline import task_tracker as field
from analyzer.timeline.membership import Identities
from analyzer.timeline.reissues import SHORTEST_SILENCE_NS, Attempts
from analyzer.timeline.sessions import LOGOUT, Connection
from analyzer.timeline.task_ends import CAPTURE_ENDED, RESPONDED, TaskEnds
from analyzer.timeline.task_table import TaskColumns

Int64s = npt.NDArray[np.int64]


def attempts_of(
    decoded: DecodedCapture, identities: Identities, tasks: TaskColumns, ends: TaskEnds
) -> Attempts:
    """Content and failure of every task, for ``link_reissues``.

    A task failed when it ended without a response, when it was refused for a passing reason, or when its
    connection was lost before the initiator had acknowledged the status.
    """
    failed_ns = np.where((ends.end != RESPONDED) & (ends.end != CAPTURE_ENDED), ends.ended_ns, -1)
    # On a connection that fell silent, what the recording left open had failed before it ended.
    heard_ns = np.array(
        [connection.last_from_target_ns or 0 for connection in identities.connections], np.int64
    )
    is_silent = heard_ns[tasks.matrix[:, field.CONNECTION]] < tasks.command_ns + SHORTEST_SILENCE_NS
    is_silent &= (ends.end == CAPTURE_ENDED) & (tasks.matrix[:, field.REUSED_NS] < 0)
    failed_ns[is_silent] = ends.ended_ns[is_silent]
    is_refused = np.isin(tasks.status, np.array(RETRIED_STATUSES, np.uint8))
    is_transient = np.isin(tasks.sense.sense_key, np.array([UNIT_ATTENTION, ABORTED_COMMAND], np.uint8))
    is_refused |= (tasks.status == CHECK_CONDITION) & tasks.sense.has_sense & is_transient
    is_unanswered = failed_ns >= 0
    failed_ns = np.where(tasks.is_answered & is_refused, tasks.response_ns, failed_ns)
    closed_ns = np.array([_lost_ns(connection) for connection in identities.connections], np.int64)
    unused = _unused_answers(decoded, tasks, closed_ns >= 0)
    failed_ns[unused] = closed_ns[tasks.response_connection[unused]]
    is_unanswered[unused] = True
    has_work = (tasks.expected_bytes > 0) | tasks.operations.has_lba
    failed_ns[~has_work] = -1
    content = decoded.scratch.empty((len(tasks), 48), np.uint8)
    nexus = nexus_numbers(decoded, identities)
    for step in decoded.scratch.steps(len(tasks)):
        content[step, 0:4] = nexus[tasks.matrix[step, field.SESSION]].astype(">u4")[:, None].view(np.uint8)
        content[step, 4:12] = tasks.lun[step].astype(">u8")[:, None].view(np.uint8)
        content[step, 12:28] = tasks.cdb[step]
        content[step, 28:32] = tasks.expected_bytes[step].astype(">u4")[:, None].view(np.uint8)
        content[step, 32:48] = 0
    content[tasks.long_cdbs.rows, 32:48] = tasks.long_cdbs.cdbs[:, 16:]
    return Attempts(
        content.view("V48")[:, 0],
        tasks.command_ns,
        failed_ns,
        is_unanswered,
        tasks.matrix[:, field.CONNECTION],
    )


def _lost_ns(connection: Connection) -> int:
    """When a connection was lost, -1 for one that was not."""
    return -1 if connection.closed_ns is None or connection.end == LOGOUT else connection.closed_ns


def _unused_answers(decoded: DecodedCapture, tasks: TaskColumns, is_lost: npt.NDArray[np.bool_]) -> Int64s:
    """Tasks answered on a lost connection whose status the initiator never acknowledged: perhaps unused.

    ``is_lost`` has one entry per connection. The last PDU that the initiator sent on a connection tells by
    its ExpStatSN what it had (RFC 7143 section 4.2.2.2).
    """
    pdus = decoded.pdus
    sent = np.flatnonzero(~pdus.from_target)
    last_sent = np.full(len(is_lost), -1, np.int64)
    # In order of time, so the last write of each connection stands.
    last_sent[pdus.connection_index[sent]] = sent
    answered = np.flatnonzero(tasks.is_answered)
    answered = answered[is_lost[tasks.response_connection[answered]]]
    carrier = tasks.response_connection[answered]
    answer = tasks.matrix[answered, field.RESPONSE_PDU]
    stat_sn = view(np.ascontiguousarray(pdus.headers[answer]), FROM_TARGET)["stat_sn"].astype(np.int64)
    last = np.ascontiguousarray(pdus.headers[last_sent[carrier]])
    exp_stat_sn = view(last, FROM_INITIATOR)["exp_stat_sn"].astype(np.int64)
    ahead = (exp_stat_sn - stat_sn) & MASK
    is_acknowledged = (last_sent[carrier] >= 0) & (ahead > 0) & (ahead < HALF)
    return answered[~is_acknowledged]


def target_numbers(decoded: DecodedCapture, identities: Identities) -> Int64s:
    """A number per session that is equal for sessions with the same target."""
    numbers: dict[str, int] = {}
    answer = []
    for session in identities.sessions:
        name = session.any_login.offered.get("TargetName") if session.any_login else None
        # Without a login the portal's address stands for the target.
        first = session.connections[0].connection_index
        key = name or decoded.connections.target_address[first]
        answer.append(numbers.setdefault(key, len(numbers)))
    return np.array(answer, np.int64)


def nexus_numbers(decoded: DecodedCapture, identities: Identities) -> Int64s:
    """A number per session that is equal for sessions of one initiator with one target."""
    targets = target_numbers(decoded, identities)
    numbers: dict[tuple[str, int], int] = {}
    answer = []
    for number, session in enumerate(identities.sessions):
        name = session.any_login.offered.get("InitiatorName") if session.any_login else None
        first = session.connections[0].connection_index
        key = (name or decoded.connections.initiator_address[first], int(targets[number]))
        answer.append(numbers.setdefault(key, len(numbers)))
    return np.array(answer, np.int64)


def port_numbers(decoded: DecodedCapture, identities: Identities) -> Int64s:
    """A number per session that is equal for sessions that are one I_T nexus, one after the other.

    Such sessions have initiator name, ISID and target in common (RFC 7143 section 4.4.3.1).
    """
    targets = target_numbers(decoded, identities)
    numbers: dict[tuple[str, str, int], int] = {}
    answer = []
    for number, session in enumerate(identities.sessions):
        login = session.any_login
        # Without a login each session is taken for a nexus of its own.
        key = (f"session {number}", "", int(targets[number]))
        if login is not None:
            key = (login.offered.get("InitiatorName") or "", login.isid, int(targets[number]))
        answer.append(numbers.setdefault(key, len(numbers)))
    return np.array(answer, np.int64)
