"""What happened, in order of time: the log that every tracker writes its events into.

Decides the order of events and which keys the detail of each kind has. Does not know how an event is
recognised; that is the tracker's that reports it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from analyzer.tables.timeline_tables import EVENT_KINDS, EVENTS

EVENT_DETAIL_KEYS: dict[str, dict[str, str]] = {
    "login": {
        "isid": "ISID of the login, 12 hexadecimal digits.",
        "tsih": "TSIH the target gave.",
        "cid": "CID of the connection.",
        "is_leading": "Whether it began the session (TSIH 0 in the request).",
        "session_type": "normal or discovery.",
        "started_ns": "First login request; the event itself stands at the final response.",
        "round_trips": "Login requests it took.",
        "auth_method": "Authentication method agreed on.",
    },
    "login-failed": {
        "isid": "ISID of the login.",
        "tsih_requested": "TSIH in the request.",
        "cid": "CID in the request.",
        "status_class": "Status class of the response, null where none came.",
        "status_detail": "Status detail of the response, null where none came.",
        "status": "What class and detail say.",
        "started_ns": "First login request.",
    },
    "session-reinstated": {
        "old_session_index": "The session that ended with this login.",
        "isid": "ISID of both.",
        "open_tasks": "Commands of the old session without a response at that moment.",
    },
    "connection-reinstated": {
        "old_connection_index": "The connection whose place was taken.",
        "cid": "CID of both.",
        "is_old_still_open": "Whether the old TCP connection had neither FIN nor RST.",
    },
    "logout": {
        "reason": "What the request asks for.",
        "cid": "CID the request names; null where the whole session is meant.",
        "response": "Answer of the target, null where none was seen.",
        "response_ns": "When it came, null where none was seen.",
        "time2wait_s": "Time2Wait of the answer.",
        "time2retain_s": "Time2Retain of the answer.",
        "closed_connections": "Connections that ended with it.",
    },
    "connection-lost": {
        "cause": "fin, reset, timeout or replaced.",
        "by": "Side that ended it: initiator, target, or null for neither.",
        "last_from_target_ns": "Last PDU of the target on it, null where none was seen.",
        "last_from_initiator_ns": "Last PDU of the initiator on it, null where none was seen.",
        "open_tasks": "Commands allegiant to it without a response at that moment.",
    },
    "task-management": {
        "function": "What the request asks for.",
        "lun": "Logical unit number of the request.",
        "referenced_task_tag": "ITT of the task it names, null where it names none.",
        "referenced_cmd_sn": "RefCmdSN.",
        "response": "Answer of the target, null where none was seen. Some targets send codes with other "
        "meanings: judge by the later traffic of the task.",
        "response_code": "The code of that answer.",
        "response_ns": "When it came.",
        "latency_ns": "From request to answer.",
        "aborted_tasks": "Commands that ended by it.",
    },
    "task-reassigned": {
        "from_connection_index": "Connection that held the allegiance before.",
        "to_connection_index": "Connection on which the target went on with the task.",
        "by": "task-reassign where that function was asked for, else connection-reinstatement.",
    },
    "task-retried": {
        "from_connection_index": "Connection of the attempt before.",
        "to_connection_index": "Connection of this attempt.",
        "cmd_sn": "CmdSN, the same in both.",
    },
    "async-message": {
        "event": "What the target announces.",
        "code": "AsyncEvent.",
        "vcode": "AsyncVCode.",
        "parameters": "Parameter1, Parameter2 and Parameter3.",
    },
    "reject": {
        "reason": "Why the target rejects.",
        "code": "Reason code.",
        "rejected_opcode": "Name of the rejected PDU, null where its header was not kept.",
        "rejected_task_tag": "ITT of the rejected PDU, null likewise.",
    },
    "snack": {
        "type": "What is asked for again.",
        "begin_run": "BegRun.",
        "run_length": "RunLength; 0 means all that follow.",
    },
    "nop-timeout": {
        "sent_ns": "NOP-Out that was never answered.",
        "waited_ns": "From that NOP-Out to the end of the connection.",
        "is_inferred": "True where neither was recorded and the initiator's timers add up to it.",
    },
    "unit-attention": {
        "asc": "Additional sense code.",
        "ascq": "Its qualifier.",
        "meaning": "What they say.",
        "lun": "Logical unit number.",
        "cause": "What in the capture most likely brought it about, null where nothing there did.",
        "cause_at_ns": "When that was.",
        "cause_session_index": "Session that did it.",
    },
    "reservation": {
        "operation": "Operation as T10 names it.",
        "service_action": "Service action of PERSISTENT RESERVE OUT, null for RESERVE and RELEASE.",
        "type": "Type of the reservation that was asked for, null where there is none.",
        "status": "SCSI status of the command, null where none was seen.",
        "lun": "Logical unit number.",
        "key": "Reservation key of the sender, hexadecimal; null where not recorded.",
        "service_action_key": "Service action reservation key, hexadecimal; null where not recorded.",
        "effect": "What came of it.",
        "holder_session_index": "Session whose I_T nexus holds it now, null for none or not known.",
        "holder_type": "Type of the reservation that is held now, null for none.",
        "registered_session_indexes": "Sessions whose I_T nexuses are registered now, as far as was seen.",
    },
    "reservation-conflict": {
        "operation": "Operation that was refused.",
        "lun": "Logical unit number.",
        "holder_session_index": "Session whose I_T nexus held the reservation, null where not known.",
        "holder_type": "Type of that reservation, null where not known.",
    },
    "window-closed": {
        "cause": "command-order where commands lay for a lower CmdSN most of the time, else target.",
        "max_cmd_sn": "MaxCmdSN that was used up.",
        "opened_ns": "When the target opened the window again, null where it was not seen to.",
        "closed_for_ns": "How long it stayed closed, null where it was not seen to open again.",
    },
    "stall": {
        "until_ns": "When commands went on.",
        "duration_ns": "How long it lasted.",
        "open_tasks": "Commands that were held.",
        "cause": "What they waited for, as in incidents.cause.",
        "timer": "Timer that held them, as in incidents.hold_timer.",
        "setting_s": "Its likely setting, null where there is none.",
        "blocking_task_index": "The command that the others waited for, null where there is none.",
    },
    "digest-error": {
        "digest": "header or data.",
        "opcode": "Name of the PDU.",
        "from_target": "Whether the target sent it.",
    },
    "capture-gap": {
        "lost_bytes": "TCP bytes that were not recorded.",
        "from_target": "Direction.",
        "framing_kept": "Whether no PDU header was lost with them.",
    },
}
"""The keys of ``events.detail`` for each kind, with a sentence each. Numbers are in the unit of the name."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the events table before it has its number."""

    at_ns: int
    kind: str
    packet: int | None
    session_index: int | None
    connection_index: int | None
    task_index: int | None
    detail: dict[str, Any]


@dataclass(slots=True)
class EventLog:
    """Collects events from the trackers; any order."""

    events: list[Event] = field(default_factory=list)

    def emit(
        self,
        kind: str,
        at_ns: int,
        detail: dict[str, Any],
        *,
        packet: int | None = None,
        session_index: int | None = None,
        connection_index: int | None = None,
        task_index: int | None = None,
    ) -> None:
        """Add one event. The keys of ``detail`` must be those declared for the kind."""
        declared = EVENT_DETAIL_KEYS[kind]
        assert detail.keys() == declared.keys(), (kind, sorted(detail.keys() ^ declared.keys()))
        self.events.append(Event(at_ns, kind, packet, session_index, connection_index, task_index, detail))

    def table(self) -> pa.Table:
        """The events table, in order of time; events of one instant in the order of ``EVENT_KINDS``."""
        rank = {kind: number for number, kind in enumerate(EVENT_KINDS)}
        rows = sorted(self.events, key=lambda event: (event.at_ns, rank[event.kind]))
        return EVENTS.build(
            {
                "event_index": np.arange(len(rows), dtype=np.int32),
                "at_ns": [row.at_ns for row in rows],
                "packet": [row.packet for row in rows],
                "session_index": [row.session_index for row in rows],
                "connection_index": [row.connection_index for row in rows],
                "task_index": [row.task_index for row in rows],
                "kind": [row.kind for row in rows],
                "detail": [json.dumps(row.detail, ensure_ascii=False) for row in rows],
            }
        )
