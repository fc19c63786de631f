"""What the initiator writes down about a run: the truth beside the capture, and the rows of the results.

Presentation only. Sessions, commands with all their attempts, and events, in the form that
``docs/lab.md`` describes; times are epoch seconds of this host's clock, as in the capture.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from analyzer.scsi.operations import OPERATIONS
from benchmarks.lab.initiator.opening import INITIATOR_NAME
from benchmarks.lab.initiator.recovery import Record
from benchmarks.lab.initiator.run import Run
from benchmarks.lab.initiator.session import Session
from benchmarks.lab.initiator.tasks import INITIAL, RETRY, Attempt, Command
from benchmarks.lab.target import LUN, TARGET_NAME

FORMAT = "lab-truth-1"
Json = dict[str, Any]

_OPERATION_NAMES = {row.code: row.name for row in reversed(OPERATIONS) if row.service_action is None}


def truth_of(run: Run) -> Json:
    """The whole truth, without what only the lab knows of capture and target."""
    commands = sorted(
        (command for command in [*run.own_commands, *run.commands] if command.attempts),
        key=lambda command: command.attempts[0].queued_at,
    )
    written = [_command(command) for command in commands]
    summary = {
        "commands": len(written),
        "by_opcode": dict(Counter(row["opcode_name"] for row in written)),
        "completed": sum(row["outcome"] == "completed" for row in written),
        "retried": sum(row["retried"] for row in written),
        "reassigned": 0,
        "events": len(run.events),
    }
    sessions = [_session(session, run) for session in run.sessions]
    return {
        "format": FORMAT,
        "meta": {"target_name": TARGET_NAME, "lun": LUN, "clock": "time.time() of the initiator"},
        "summary": summary,
        "sessions": sessions,
        "commands": written,
        "events": sorted(run.events, key=lambda event: event["t"]),
    }


def _session(session: Session, run: Run) -> Json:
    return {
        "label": session.label,
        "isid": session.isid.hex(),
        "tsih": session.tsih,
        "tsih_history": [],
        "initiator": INITIATOR_NAME,
        "target": TARGET_NAME,
        "policy": run.configuration.policy,
        "params": session.keys,
        "connections": [connection.record for connection in session.connections],
        "window_log": session.window_log,
        "surprises": session.surprises,
    }


def _command(command: Command) -> Json:
    first, last = command.attempts[0], command.last
    direction = "read" if command.is_read else "write" if command.is_write else "none"
    return {
        "index": command.index,
        "isid": first.session.isid.hex(),
        "tsih": first.session.tsih,
        "session": first.session.label,
        "cid": first.connection.cid,
        "itt": first.task_tag,
        "cmdsn": first.cmd_sn,
        "final_cid": last.connection.cid,
        "final_itt": last.task_tag,
        "final_cmdsn": last.cmd_sn,
        "lun": LUN,
        "opcode": command.cdb[0],
        "opcode_name": _OPERATION_NAMES[command.cdb[0]],
        "cdb": command.cdb.hex(),
        "lba": command.lba,
        "blocks": command.blocks,
        "direction": direction,
        "immediate": False,
        "attr": "simple",
        "ordered": False,
        "edtl": command.length_bytes,
        "immediate_data_bytes": command.immediate_bytes,
        "unsolicited_bytes": command.unsolicited_bytes,
        "t_submit": command.submitted_at,
        "t_send": first.sent_at,
        "t_complete": command.completed_at,
        "status": command.status,
        "response": command.response,
        "statsn": command.stat_sn,
        "phase_collapsed": command.is_phase_collapsed,
        "r2ts": command.r2ts,
        "data_in_pdus": command.data_ins,
        "data_out_pdus": command.data_outs,
        "rx_bytes": command.received_bytes,
        "resid_flag": command.residual_flag,
        "resid": command.residual_bytes,
        "sense": command.sense.hex(),
        "outcome": "unfinished" if command.completed_at is None else "completed",
        "retried": len(command.attempts) > 1,
        "reassigned": False,
        "moves": [_move(old, new) for old, new in itertools.pairwise(command.attempts)],
        "attempts": [_attempt(attempt) for attempt in command.attempts],
    }


def _move(old: Attempt, new: Attempt) -> Json:
    return {
        "kind": new.kind,
        "from_cid": old.connection.cid,
        "to_cid": new.connection.cid,
        "t": new.queued_at,
        "from_itt": old.task_tag,
        "to_itt": new.task_tag,
        "from_cmdsn": old.cmd_sn,
        "to_cmdsn": new.cmd_sn,
        "from_was_sent": old.sent_at is not None,
    }


def _attempt(attempt: Attempt) -> Json:
    written = {
        "kind": attempt.kind,
        "session": attempt.session.label,
        "isid": attempt.session.isid.hex(),
        "tsih": attempt.session.tsih,
        "cid": attempt.connection.cid,
        "itt": attempt.task_tag,
        "cmdsn": attempt.cmd_sn,
        "t_queued": attempt.queued_at,
        "t_send": attempt.sent_at,
        "exp_statsn": attempt.exp_stat_sn,
    }
    return written | ({} if attempt.completed_at is None else {"t_complete": attempt.completed_at})


def facts_of(run: Run) -> Json:
    """What the results are made of besides the truth: rows of commands, recoveries, agreed keys."""
    return {
        "t_first_submit": run.began_at,
        "cpu_s": run.cpu_s,
        "failure": run.failure,
        "check_conditions": run.check_conditions,
        "own_commands": len(run.own_commands),
        "negotiated": run.sessions[0].keys,
        "window": (run.sessions[0].max_cmd_sn - run.sessions[0].exp_cmd_sn + 1) & 0xFFFFFFFF,
        "retransmissions": run.retransmissions,
        "rows": [_row(command, run.began_at) for command in run.commands],
        "recoveries": [_recovery(record, run) for record in run.recoveries],
    }


def _row(command: Command, began_at: float) -> Json:
    has_attempt = bool(command.attempts)
    completed_at = command.completed_at
    return {
        "index": command.index,
        "lba": command.lba,
        "bytes": command.length_bytes,
        "dir": "R" if command.is_read else "W",
        "path": command.first_path,
        "cmdsn": command.attempts[0].cmd_sn if has_attempt else None,
        "submit_us": round((command.submitted_at - began_at) * 1e6) if command.submitted_at else None,
        "complete_us": None if completed_at is None else round((completed_at - began_at) * 1e6),
        "attempts": len(command.attempts),
        "final_path": command.last.connection.path if has_attempt else None,
        "final_cmdsn": command.last.cmd_sn if has_attempt else None,
        "status": command.status,
    }


def _recovery(record: Record, run: Run) -> Json:
    resent = [attempt for c in run.commands for attempt in c.attempts if attempt.kind != INITIAL]
    return {
        "method": record.method,
        "t_fault": record.fault_at,
        "affected": sorted(c.index for c in record.affected if c.index is not None),
        "outstanding_on_survivor": record.outstanding_on_survivors,
        "retry_same_cmdsn": sum(attempt.kind == RETRY for attempt in resent),
        "reissued": record.reissued,
        "aborted_on_survivor": sorted(c.index for c in record.aborted_on_survivors if c.index is not None),
        "tmf_response": record.reset_response,
        "tmf_s": record.reset_s,
        "t_recovery_sent": record.recovered_at,
    }
