"""Events of reservations, their conflicts, and unit attentions with what most likely caused them.

Decides which commands, resets and logins the trackers of reservations and of unit attentions hear of, and
how their findings read as events. The rules are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import DecodedCapture
from analyzer.iscsi.headers import DATA_OUT, OPCODE_MASK, view
from analyzer.iscsi.opcodes import TASK_MANAGEMENT_FUNCTIONS, Opcode, name_of
from analyzer.scsi.operations import (
    MODE_SELECT_6,
    MODE_SELECT_10,
    OPERATION_NAMES,
    PERSISTENT_RESERVATION_TYPES,
    PERSISTENT_RESERVE_OUT_ACTIONS,
)
from analyzer.scsi.sense import UNIT_ATTENTION, additional_sense_name
from analyzer.scsi.status import GOOD, RESERVATION_CONFLICT, status_name
from analyzer.scsi.transport_ids import initiator_port
from analyzer.timeline import task_tracker as field
from analyzer.timeline.events import EventLog
from analyzer.timeline.failed_attempts import port_numbers, target_numbers
from analyzer.timeline.membership import Identities
from analyzer.timeline.reservations import (
    CLEAR,
    PREEMPT_AND_ABORT,
    RELEASE,
    RESERVING,
    LostNexus,
    ReservationCommand,
    ReservationStep,
    follow_reservations,
)
from analyzer.timeline.task_management import CLEAR_TASK_SET, REACHING_OTHERS, WHOLE_TARGET, TaskManagement
from analyzer.timeline.task_table import TaskColumns
from analyzer.timeline.unit_attentions import (
    CLEARED,
    MODE_CHANGED,
    NEXUS_LOST,
    PREEMPTED,
    RELEASED,
    RESETS,
    Cause,
    CauseFinder,
)

Int64s = npt.NDArray[np.int64]

_NOTABLE = np.array(RESERVING, np.uint8)
_MODE_SELECTS = np.array((MODE_SELECT_6, MODE_SELECT_10), np.uint8)


@dataclass(frozen=True, slots=True)
class _Nexuses:
    """Which sessions are with which target, and which are one I_T nexus after the other."""

    target: Int64s
    port: Int64s
    sessions_of: dict[int, set[int]]
    """By port."""

    identity: dict[tuple[str, str, int], int]
    """The port of an initiator name, an ISID and a target."""

    def port_named(self, transport_id: bytes, target: int) -> int | None:
        """The I_T nexus of an initiator port with a target; None where not exactly one was recorded."""
        named = initiator_port(transport_id)
        if named is None:
            return None
        ports = {
            port
            for (name, isid, of_target), port in self.identity.items()
            if name == named.name and of_target == target and named.isid in (None, isid)
        }
        return ports.pop() if len(ports) == 1 else None

    def latest_session(self, port: int, firsts: list[int], at_ns: int) -> int:
        """The session in which an I_T nexus lived at a time, or the one before it."""
        own = np.flatnonzero(self.port == port).tolist()
        begun = [session for session in own if firsts[session] <= at_ns]
        return int(begun[-1] if begun else own[0])


def emit_reservations_and_attentions(
    decoded: DecodedCapture,
    identities: Identities,
    tasks: TaskColumns,
    functions: list[TaskManagement],
    pdu_task: npt.NDArray[np.int32],
    events: EventLog,
) -> None:
    """Reservations, reservation conflicts and unit attentions, each at the response of its command."""
    is_attention = tasks.sense.has_sense & (tasks.sense.sense_key == UNIT_ATTENTION)
    is_conflict = tasks.is_answered & (tasks.status == RESERVATION_CONFLICT)
    is_reserving = np.isin(tasks.cdb[:, 0], _NOTABLE)
    if not (is_attention | is_conflict | is_reserving).any():
        return
    ports = port_numbers(decoded, identities)
    sessions_of: dict[int, set[int]] = {}
    for session, port in enumerate(ports.tolist()):
        sessions_of.setdefault(port, set()).add(session)
    targets = target_numbers(decoded, identities)
    identity = {
        (session.any_login.offered.get("InitiatorName") or "", session.any_login.isid, target): port
        for session, target, port in zip(identities.sessions, targets.tolist(), ports.tolist(), strict=True)
        if session.any_login is not None
    }
    nexuses = _Nexuses(targets, ports, sessions_of, identity)
    firsts = [session.connections[0].opened_ns for session in identities.sessions]
    parameters = _Parameters(decoded, pdu_task)
    members = np.flatnonzero(is_conflict | is_reserving)
    steps = _steps(parameters, identities, tasks, functions, nexuses, members)
    for step in steps:
        _emit_step(decoded, tasks, nexuses, firsts, step, events)
    attentions = np.flatnonzero(is_attention).tolist()
    if attentions:
        finder = CauseFinder(_causes(identities, tasks, functions, nexuses, steps))
        for task in attentions:
            _emit_attention(decoded, tasks, nexuses, finder, task, events)


class _Parameters:
    """Parameter data of commands, from the command PDU and the Data-Outs that were kept."""

    def __init__(self, decoded: DecodedCapture, pdu_task: npt.NDArray[np.int32]) -> None:
        pdus = decoded.pdus
        self._pdus = pdus
        headers = view(pdus.headers, DATA_OUT)
        is_kept = (headers["opcode_byte"] & OPCODE_MASK == Opcode.DATA_OUT) & (pdus.segment_bytes > 0)
        self._kept: dict[int, dict[int, int]] = {}
        for pdu in np.flatnonzero(is_kept & (pdu_task >= 0)).tolist():
            places = self._kept.setdefault(int(pdu_task[pdu]), {})
            places[int(headers["buffer_offset"][pdu])] = pdu

    def of(self, task: int, command_pdu: int) -> bytes:
        """As far as they were recorded without a gap."""
        content = self._pdus.segment(command_pdu)
        for offset, pdu in sorted(self._kept.get(task, {}).items()):
            if offset == len(content):
                content += self._pdus.segment(pdu)
        return content


def _steps(
    parameters: _Parameters,
    identities: Identities,
    tasks: TaskColumns,
    functions: list[TaskManagement],
    nexuses: _Nexuses,
    members: Int64s,
) -> list[ReservationStep]:
    """What came of each command that changes or meets a reservation, logical unit by logical unit."""
    units: dict[tuple[int, int], list[ReservationCommand]] = {}
    for task in members.tolist():
        session = int(tasks.matrix[task, field.SESSION])
        is_answered = bool(tasks.is_answered[task])
        command = ReservationCommand(
            task,
            int(tasks.response_ns[task] if is_answered else tasks.command_ns[task]),
            int(nexuses.port[session]),
            tasks.cdb[task].tobytes(),
            int(tasks.status[task]) if is_answered else None,
            parameters.of(task, int(tasks.matrix[task, field.COMMAND_PDU])),
        )
        units.setdefault((int(nexuses.target[session]), int(tasks.lun[task])), []).append(command)
    return [
        step
        for (target, lun), commands in units.items()
        for step in follow_reservations(
            commands,
            _losses(identities, functions, nexuses, target, lun),
            partial(nexuses.port_named, target=target),
        )
    ]


def _losses(
    identities: Identities, functions: list[TaskManagement], nexuses: _Nexuses, target: int, lun: int
) -> list[LostNexus]:
    losses = []
    for number, session in enumerate(identities.sessions):
        ends = [connection.closed_ns for connection in session.connections]
        if nexuses.target[number] == target and all(end is not None for end in ends):
            losses.append(LostNexus(max(end for end in ends if end is not None), int(nexuses.port[number])))
    for function in functions:
        session_of = int(identities.session_of_connection[function.connection_index])
        is_reset = function.is_done and function.function in REACHING_OTHERS and session_of >= 0
        reaches = function.function in WHOLE_TARGET or function.lun == lun
        if is_reset and reaches and nexuses.target[session_of] == target and function.response_ns is not None:
            losses.append(LostNexus(function.response_ns, None))
    return losses


def _emit_step(
    decoded: DecodedCapture,
    tasks: TaskColumns,
    nexuses: _Nexuses,
    firsts: list[int],
    step: ReservationStep,
    events: EventLog,
) -> None:
    command = step.command

    def session_of(port: int) -> int:
        return nexuses.latest_session(port, firsts, command.at_ns)

    holder = None if step.holder is None else session_of(step.holder)
    operation = OPERATION_NAMES[int(tasks.operations.operation[command.task])]
    lun = int(tasks.lun[command.task])
    place = _place(decoded, tasks, command.task)
    if command.status == RESERVATION_CONFLICT:
        refused = {
            "operation": operation,
            "lun": lun,
            "holder_session_index": holder,
            "holder_type": step.type,
        }
        events.emit("reservation-conflict", command.at_ns, refused, **place)
    if not command.is_reserving:
        return
    is_persistent = command.is_persistent
    action = name_of(PERSISTENT_RESERVE_OUT_ACTIONS, command.action) if is_persistent else None
    kind = PERSISTENT_RESERVATION_TYPES.get(command.cdb[2] & 0x0F) if is_persistent else None
    detail = {
        "operation": operation,
        "service_action": action,
        "type": kind,
        "status": None if command.status is None else status_name(command.status),
        "lun": lun,
        "key": command.key.hex() if is_persistent and command.key is not None else None,
        "service_action_key": command.action_key.hex()
        if is_persistent and command.action_key is not None
        else None,
        "effect": step.effect,
        "holder_session_index": holder,
        "holder_type": step.type,
        "registered_session_indexes": sorted(session_of(port) for port in step.registered),
    }
    events.emit("reservation", command.at_ns, detail, **place)


def _emit_attention(
    decoded: DecodedCapture,
    tasks: TaskColumns,
    nexuses: _Nexuses,
    finder: CauseFinder,
    task: int,
    events: EventLog,
) -> None:
    session = int(tasks.matrix[task, field.SESSION])
    asc, ascq = int(tasks.sense.asc[task]), int(tasks.sense.ascq[task])
    lun, at_ns = int(tasks.lun[task]), int(tasks.response_ns[task])
    own = nexuses.sessions_of[int(nexuses.port[session])]
    cause = finder.explain((asc, ascq), at_ns, int(nexuses.target[session]), lun, own)
    detail = {
        "asc": asc,
        "ascq": ascq,
        "meaning": additional_sense_name(asc, ascq),
        "lun": lun,
        "cause": None if cause is None else cause.words,
        "cause_at_ns": None if cause is None else cause.at_ns,
        "cause_session_index": None if cause is None else cause.session,
    }
    events.emit("unit-attention", at_ns, detail, **_place(decoded, tasks, task))


def _causes(
    identities: Identities,
    tasks: TaskColumns,
    functions: list[TaskManagement],
    nexuses: _Nexuses,
    steps: list[ReservationStep],
) -> list[Cause]:
    """All that the capture shows and that can bring unit attentions about."""
    causes = []
    for number, session in enumerate(identities.sessions):
        if session.leading is not None:
            codes = tuple(dict.fromkeys((*RESETS, *NEXUS_LOST)))
            begun_ns, target = session.leading.last_ns, int(nexuses.target[number])
            words = "login: the session is new to the unit"
            causes.append(Cause(begun_ns, target, None, number, codes, words, True, reaches_others=False))
    for function in functions:
        session_of = int(identities.session_of_connection[function.connection_index])
        is_known = function.function in (*REACHING_OTHERS, CLEAR_TASK_SET)
        if session_of < 0 or not function.is_done or not is_known:
            continue
        is_clearing = function.function == CLEAR_TASK_SET
        lun = None if function.function in WHOLE_TARGET else function.lun
        words = name_of(TASK_MANAGEMENT_FUNCTIONS, function.function)
        codes = CLEARED if is_clearing else RESETS
        target = int(nexuses.target[session_of])
        causes.append(Cause(function.at_ns, target, lun, session_of, codes, words, not is_clearing))
    for step in steps:
        causes += _causes_of_step(tasks, nexuses, step)
    changed = np.flatnonzero(
        np.isin(tasks.cdb[:, 0], _MODE_SELECTS) & tasks.is_answered & (tasks.status == GOOD)
    )
    for task in changed.tolist():
        session_of = int(tasks.matrix[task, field.SESSION])
        place = (int(nexuses.target[session_of]), int(tasks.lun[task]), session_of)
        causes.append(Cause(int(tasks.response_ns[task]), *place, MODE_CHANGED, "MODE SELECT", False))
    return causes


def _causes_of_step(tasks: TaskColumns, nexuses: _Nexuses, step: ReservationStep) -> list[Cause]:
    command = step.command
    session = int(tasks.matrix[command.task, field.SESSION])
    if not command.is_persistent or command.status != GOOD:
        return []
    words = name_of(PERSISTENT_RESERVE_OUT_ACTIONS, command.action)
    codes: tuple[tuple[int, int], ...] = ()
    if step.preempted or command.action == CLEAR:
        codes += PREEMPTED
    if command.action == PREEMPT_AND_ABORT:
        codes += CLEARED
    if command.action == RELEASE or "released" in step.effect:
        codes += RELEASED
    if not codes:
        return []
    lun, target = int(tasks.lun[command.task]), int(nexuses.target[session])
    begun_ns = int(tasks.command_ns[command.task])
    return [Cause(begun_ns, target, lun, session, codes, f"PERSISTENT RESERVE OUT {words}", False)]


def _place(decoded: DecodedCapture, tasks: TaskColumns, task: int) -> dict[str, int]:
    """Where the response of a task, or else its command, stands."""
    shown_by = field.RESPONSE_PDU if tasks.is_answered[task] else field.COMMAND_PDU
    return {
        "packet": int(decoded.pdus.packet[tasks.matrix[task, shown_by]]),
        "session_index": int(tasks.matrix[task, field.SESSION]),
        "connection_index": int(tasks.matrix[task, field.CONNECTION]),
        "task_index": task,
    }
