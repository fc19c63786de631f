"""Breaches of the protocol as diagnostics: numbering, limits, tags, response codes, negotiated keys.

Decides which connections can be judged at all and what each rule is called; the walk over the PDUs is that
of ``lint_walk``. Each diagnostic names the section of RFC 7143 in the catalogue.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.decoders.decoded import QUALITY_WHOLE, DecodedCapture
from analyzer.diagnostics import DiagnosticLog
from analyzer.iscsi.opcodes import TASK_MANAGEMENT_FUNCTIONS, TASK_MANAGEMENT_RESPONSES, Opcode, name_of
from analyzer.iscsi.text_keys import wrong_answers
from analyzer.timeline import lint_walk
from analyzer.timeline.lint_walk import empty_state, walk
from analyzer.timeline.membership import Identities
from analyzer.timeline.session_table import max_recv_bytes, negotiated_number, negotiated_yes
from analyzer.timeline.task_management import TASK_REASSIGN, TaskManagement
from analyzer.timeline.task_tracker import TrackedTasks

Opcodes = npt.NDArray[np.uint8]

RULES: dict[int, str] = {
    lint_walk.STAT_SN_GAP: "stat-sn-gap",
    lint_walk.DATA_SN_GAP: "data-sn-gap",
    lint_walk.R2T_SN_GAP: "r2t-sn-gap",
    lint_walk.SEGMENT_TOO_LONG: "segment-too-long",
    lint_walk.BURST_TOO_LONG: "burst-too-long",
    lint_walk.FIRST_BURST_TOO_LONG: "first-burst-too-long",
    lint_walk.IMMEDIATE_NOT_ALLOWED: "immediate-data-not-allowed",
    lint_walk.UNSOLICITED_NOT_ALLOWED: "unsolicited-data-not-allowed",
    lint_walk.TRANSFER_TAG_UNKNOWN: "transfer-tag-unknown",
    lint_walk.MORE_THAN_ASKED: "data-beyond-r2t",
    lint_walk.TOO_MANY_R2TS: "too-many-r2ts",
    lint_walk.STATUS_OUT_OF_PLACE: "status-out-of-place",
    lint_walk.RESPONSE_CODE_RESERVED: "response-code-reserved",
}
"""Code of the diagnostic of each rule."""

# Responses that RFC 7143 section 11.6.1 gives to TASK REASSIGN alone.
_REASSIGN_RESPONSES = (3, 4)
_FUNCTION_COMPLETE = 0


def lint(
    decoded: DecodedCapture,
    opcodes: Opcodes,
    lengths: npt.NDArray[np.int32],
    identities: Identities,
    tracked: TrackedTasks,
    functions: list[TaskManagement],
    lossy: list[int],
    diagnostics: DiagnosticLog,
) -> None:
    """Log every breach, counted by rule and connection; ``lossy`` connections are not judged."""
    pdus = decoded.pdus
    count = len(identities.connections)
    counts = np.zeros((lint_walk.RULE_COUNT, count), np.int64)
    first = np.full((lint_walk.RULE_COUNT, count), -1, np.int64)
    r2ts = int(np.count_nonzero(opcodes == Opcode.R2T))
    walk(
        opcodes,
        np.ascontiguousarray(pdus.headers),
        pdus.connection_index,
        tracked.pdu_task,
        tracked.moved_from,
        lengths,
        _agreements(decoded, identities, lossy),
        *empty_state(count, len(tracked.matrix), r2ts, decoded.scratch),
        counts,
        first,
    )
    for rule, connection in zip(*(axis.tolist() for axis in np.nonzero(counts)), strict=True):
        pdu = int(first[rule, connection])
        diagnostics.emit(
            RULES[rule],
            count=int(counts[rule, connection]),
            packet=int(pdus.packet[pdu]),
            file_index=int(pdus.file_index[pdu]),
            connection_index=connection,
            at_ns=int(pdus.time_ns[pdu]),
        )
    _lint_functions(functions, identities, tracked, diagnostics)
    _lint_keys(identities, diagnostics)


def _agreements(decoded: DecodedCapture, identities: Identities, lossy: list[int]) -> npt.NDArray[np.int64]:
    """The table that ``lint_walk.walk`` takes."""
    pdus, columns = decoded.pdus, decoded.connections
    is_judged = (columns.lost_bytes == 0) & (identities.session_of_connection >= 0)
    is_judged[lossy] = False
    is_judged[pdus.connection_index[pdus.quality != QUALITY_WHOLE]] = False
    by_session: dict[int, tuple[int, ...]] = {}
    rows = []
    for connection, session in zip(
        identities.connections, identities.session_of_connection.tolist(), strict=True
    ):
        if session >= 0 and session not in by_session:
            known = identities.sessions[session]
            values = (
                negotiated_number(known, "MaxBurstLength"),
                negotiated_number(known, "FirstBurstLength"),
                negotiated_yes(known, "InitialR2T"),
                negotiated_yes(known, "ImmediateData"),
                negotiated_number(known, "MaxOutstandingR2T"),
            )
            by_session[session] = tuple(-1 if value is None else int(value) for value in values)
        limits = (max_recv_bytes(connection.login, "offered"), max_recv_bytes(connection.login, "answered"))
        own = by_session.get(session, (-1,) * 5)
        rows.append((*own, *(-1 if limit is None else limit for limit in limits)))
    limits_of = np.array(rows, np.int64).reshape(len(rows), lint_walk.AGREEMENT_COUNT - 1)
    return np.concatenate([is_judged[:, None].astype(np.int64), limits_of], axis=1)


def _lint_functions(
    functions: list[TaskManagement], identities: Identities, tracked: TrackedTasks, diagnostics: DiagnosticLog
) -> None:
    """Responses that the later traffic of the task, or the function asked for, contradicts."""
    went_on = set(tracked.pdu_task[np.flatnonzero(tracked.moved_from >= 0)].tolist())
    for function in functions:
        if function.response is None or identities.session_of_connection[function.connection_index] < 0:
            continue
        asked = name_of(TASK_MANAGEMENT_FUNCTIONS, function.function)
        said = name_of(TASK_MANAGEMENT_RESPONSES, function.response)
        if function.function == TASK_REASSIGN:
            is_wrong = (int(tracked.pdu_task[function.pdu]) in went_on) != (
                function.response == _FUNCTION_COMPLETE
            )
            task = int(tracked.pdu_task[function.pdu])
            is_wrong &= task >= 0 and function.response in (_FUNCTION_COMPLETE, 255)
        else:
            is_wrong = function.response in _REASSIGN_RESPONSES
        if is_wrong:
            diagnostics.emit(
                "task-management-response-wrong",
                f"{asked}: {said}",
                packet=function.packet,
                connection_index=function.connection_index,
                at_ns=function.at_ns,
            )


def _lint_keys(identities: Identities, diagnostics: DiagnosticLog) -> None:
    """Answers that the offer does not allow, and keys said where they have no place."""
    for login in identities.logins:
        if not login.is_recorded_whole:
            continue
        place = {"packet": login.packet, "connection_index": login.connection_index, "at_ns": login.last_ns}
        for code, detail in wrong_answers(
            tuple(login.offered.items()), tuple(login.answered.items()), login.is_leading
        ):
            diagnostics.emit(code, detail, **place)
