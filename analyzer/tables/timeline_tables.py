"""The tables of a timeline: what the capture holds, rebuilt across sessions and connections.

Times are integer nanoseconds since the Unix epoch on the (merged) clock of the capture, so a
difference of two of them is a duration. Indexes name the row of the table they are called after.
"""

from __future__ import annotations

from analyzer.tables.schema import NULL_NOT_APPLICABLE, NULL_NOT_SEEN, Column, Table

NULL_LOGIN_NOT_SEEN = "the login was not recorded"

CAPTURES = Table(
    "captures",
    "one capture file",
    (
        Column("file_index", "int32", "Number of the file in the order it was given."),
        Column("name", "text", "File name as given."),
        Column(
            "format",
            "category",
            "Container format.",
            values=("pcap", "pcapng"),
        ),
        Column("compression", "category", "How the file was compressed.", values=("none", "gzip", "zstd")),
        Column("size_bytes", "int64", "Bytes read from the file.", unit="bytes", null="read from a pipe"),
        Column("sha256", "text", "Digest of the file.", null="read from a pipe, or larger than 256 MiB"),
        Column("packets", "int64", "Packets in the file.", unit="packets"),
        Column("tcp_packets", "int64", "Packets that carried TCP.", unit="packets"),
        Column("cut_packets", "int64", "Packets cut by the snap length.", unit="packets"),
        Column("first_ns", "int64", "Time of the earliest packet.", unit="ns", null="no packet"),
        Column("last_ns", "int64", "Time of the latest packet.", unit="ns", null="no packet"),
        Column("clock_offset_ns", "int64", "Added to this file's times to merge it.", unit="ns"),
    ),
)

SESSIONS = Table(
    "sessions",
    "one iSCSI session: an I_T nexus with its lifetime (RFC 7143 section 4.4)",
    (
        Column("session_index", "int32", "Number of the session, in order of first appearance."),
        Column("initiator_name", "text", "InitiatorName of the login.", null=NULL_LOGIN_NOT_SEEN),
        Column("target_name", "text", "TargetName of the login.", null=NULL_LOGIN_NOT_SEEN),
        Column("isid", "text", "ISID as 12 hexadecimal digits.", null=NULL_LOGIN_NOT_SEEN),
        Column("tsih", "uint16", "TSIH the target gave; opaque.", null=NULL_LOGIN_NOT_SEEN),
        Column("target_portal_group_tag", "uint16", "TargetPortalGroupTag.", null=NULL_NOT_SEEN),
        Column(
            "session_type",
            "category",
            "Normal or discovery.",
            null=NULL_LOGIN_NOT_SEEN,
            values=("normal", "discovery"),
        ),
        Column("max_connections", "uint16", "Negotiated MaxConnections.", null=NULL_LOGIN_NOT_SEEN),
        Column("error_recovery_level", "uint8", "Negotiated ErrorRecoveryLevel.", null=NULL_LOGIN_NOT_SEEN),
        Column("max_burst_bytes", "int64", "MaxBurstLength.", unit="bytes", null=NULL_LOGIN_NOT_SEEN),
        Column("first_burst_bytes", "int64", "FirstBurstLength.", unit="bytes", null=NULL_LOGIN_NOT_SEEN),
        Column("initial_r2t", "bool", "InitialR2T.", null=NULL_LOGIN_NOT_SEEN),
        Column("immediate_data", "bool", "ImmediateData.", null=NULL_LOGIN_NOT_SEEN),
        Column("max_outstanding_r2t", "uint16", "MaxOutstandingR2T.", null=NULL_LOGIN_NOT_SEEN),
        Column("time2wait_s", "int32", "DefaultTime2Wait.", unit="s", null=NULL_LOGIN_NOT_SEEN),
        Column("time2retain_s", "int32", "DefaultTime2Retain.", unit="s", null=NULL_LOGIN_NOT_SEEN),
        Column("login_seen", "bool", "Whether the leading login was recorded whole."),
        Column("first_ns", "int64", "First PDU of the session.", unit="ns"),
        Column("last_ns", "int64", "Last PDU of the session.", unit="ns"),
        Column(
            "arrival_inversions",
            "int64",
            "Commands that were whole at the target's side of the wire only after one with a higher CmdSN.",
        ),
        Column("cmd_sn_holes", "int64", "CmdSNs between its first and last that no request carried."),
        Column(
            "stand_stills",
            "int64",
            "Stretches in which commands lay at the target because a lower CmdSN had not arrived.",
        ),
        Column("stood_still_ns", "int64", "All these stretches together.", unit="ns"),
        Column("longest_stand_still_ns", "int64", "The longest of them.", unit="ns"),
        Column("window_closures", "int64", "Times the highest CmdSN sent had reached MaxCmdSN."),
        Column(
            "window_closed_ns", "int64", "For how long in all, where it was seen to open again.", unit="ns"
        ),
        Column(
            "parameters",
            "text",
            "All keys that were negotiated or declared, as a JSON object of key to "
            '{"value", "origin"}; origin is negotiated, declared or default. CHAP values are never stored.',
        ),
    ),
)

CONNECTION_ENDS = ("logout", "fin", "reset", "timeout", "replaced", "capture-ended")

CONNECTIONS = Table(
    "connections",
    "one TCP connection that spoke iSCSI",
    (
        Column("connection_index", "int32", "Number of the connection, in order of first appearance."),
        Column("session_index", "int32", "Session it belongs to.", null="its login was refused or not done"),
        Column("cid", "uint16", "CID of the login.", null=NULL_LOGIN_NOT_SEEN),
        Column("initiator_address", "text", "IP address of the initiator."),
        Column("initiator_port", "uint16", "TCP port of the initiator."),
        Column("target_address", "text", "IP address of the target portal."),
        Column("target_port", "uint16", "TCP port of the target portal."),
        Column("header_digest", "bool", "Whether HeaderDigest=CRC32C is in use."),
        Column("data_digest", "bool", "Whether DataDigest=CRC32C is in use."),
        Column(
            "initiator_max_recv_bytes",
            "int64",
            "MaxRecvDataSegmentLength the initiator declared: the limit of Data-In.",
            unit="bytes",
            null=NULL_LOGIN_NOT_SEEN,
        ),
        Column(
            "target_max_recv_bytes",
            "int64",
            "MaxRecvDataSegmentLength the target declared: the limit of immediate data and Data-Out.",
            unit="bytes",
            null=NULL_LOGIN_NOT_SEEN,
        ),
        Column("login_seen", "bool", "Whether the login of this connection was recorded whole."),
        Column("opened_ns", "int64", "First packet of the connection.", unit="ns"),
        Column("closed_ns", "int64", "What ended it.", unit="ns", null="open when the recording ended"),
        Column("end", "category", "How it ended.", values=CONNECTION_ENDS),
        Column("packets", "int64", "TCP packets of the connection.", unit="packets"),
        Column("retransmitted_segments", "int64", "Segments sent again by TCP.", unit="segments"),
        Column("lost_bytes", "int64", "Bytes the recorder missed, both directions.", unit="bytes"),
        Column(
            "rtt_ns_min",
            "int64",
            "Smallest round trip seen at the place of recording: TCP handshake, else data and its "
            "acknowledgement, both directions added.",
            unit="ns",
            null=NULL_NOT_SEEN,
        ),
        Column(
            "target_side_rtt_ns_min",
            "int64",
            "Part of a round trip beyond the recorder: the shortest time from a SYN to its SYN-ACK, or from "
            "data of the initiator to the target's acknowledgement.",
            unit="ns",
            null=NULL_NOT_SEEN,
        ),
        Column(
            "initiator_side_rtt_ns_min",
            "int64",
            "The same towards the initiator: from a SYN-ACK, or data of the target, to what acknowledges it.",
            unit="ns",
            null=NULL_NOT_SEEN,
        ),
        Column(
            "queue_to_target_bytes",
            "int64",
            "Most bytes towards the target that passed between data of the target and its acknowledgement: "
            "what waited for the link at the initiator, below TCP.",
            unit="bytes",
            null=NULL_NOT_SEEN,
        ),
        Column(
            "queue_from_target_bytes",
            "int64",
            "The same from the target: what passed between data of the initiator and its acknowledgement.",
            unit="bytes",
            null=NULL_NOT_SEEN,
        ),
        Column(
            "largest_segment_bytes",
            "int64",
            "Largest TCP payload of one recorded packet.",
            unit="bytes",
        ),
    ),
)

PDU_QUALITIES = ("whole", "resynchronised", "inferred")

PDUS = Table(
    "pdus",
    "one PDU, in order of time",
    (
        Column("pdu_index", "int64", "Number of the PDU in order of time."),
        Column("time_ns", "int64", "Time of the packet with its first byte.", unit="ns"),
        Column(
            "time_last_ns",
            "int64",
            "When it was whole: the packet with its last byte, or a later one that brought bytes missing "
            "before that; for a PDU that never was whole, the last packet seen of it.",
            unit="ns",
        ),
        Column("file_index", "int32", "Capture file with its first byte."),
        Column("packet", "int64", "Packet with its first byte, counted from 1 as Wireshark does."),
        Column("connection_index", "int32", "Connection that carried it."),
        Column("from_target", "bool", "Direction."),
        Column("opcode", "uint8", "Low six bits of byte 0 (RFC 7143 section 11.2.1.2)."),
        Column("is_immediate", "bool", "The I bit of a request."),
        Column("is_final", "bool", "The F bit."),
        Column("flags", "uint8", "Byte 1 whole."),
        Column("lun", "uint64", "Logical unit number.", null="this PDU has none"),
        Column("initiator_task_tag", "uint32", "ITT.", null="the reserved tag 0xffffffff"),
        Column("target_transfer_tag", "uint32", "TTT.", null="the reserved tag, or a PDU without"),
        Column("cmd_sn", "uint32", "CmdSN.", null="this PDU has none"),
        Column("stat_sn", "uint32", "StatSN.", null="this PDU has none"),
        Column("exp_cmd_sn", "uint32", "ExpCmdSN.", null="this PDU has none"),
        Column("max_cmd_sn", "uint32", "MaxCmdSN.", null="this PDU has none"),
        Column("exp_stat_sn", "uint32", "ExpStatSN.", null="this PDU has none"),
        Column("data_sn", "uint32", "DataSN, or R2TSN of an R2T.", null="this PDU has none"),
        Column("buffer_offset", "uint32", "Buffer Offset.", unit="bytes", null="this PDU has none"),
        Column(
            "desired_bytes",
            "uint32",
            "Desired Data Transfer Length of an R2T.",
            unit="bytes",
            null="this PDU is no R2T",
        ),
        Column("data_length", "int32", "DataSegmentLength.", unit="bytes"),
        Column("header_digest_ok", "bool", "Header CRC32C matches.", null="no digest, or not all recorded"),
        Column("data_digest_ok", "bool", "Data CRC32C matches.", null="no digest, or not all recorded"),
        Column("is_complete", "bool", "False where the connection or the recording ended inside it."),
        Column("quality", "category", "How sure the framing is of it.", values=PDU_QUALITIES),
        Column("task_index", "int32", "Task it belongs to.", null="none, or not known"),
    ),
)

TASK_ATTRIBUTE_NAMES = ("untagged", "simple", "ordered", "head-of-queue", "aca")
TASK_ENDS = ("responded", "aborted", "connection-lost", "session-lost", "capture-ended")
DIRECTIONS = ("read", "write", "none", "bidirectional")

_UNANSWERED = "no response was seen"
_NO_DATA = "no data was moved"
_NO_SENSE = "no sense data"

TASKS = Table(
    "tasks",
    "one SCSI command as the target knows it: session, ITT and CmdSN. A retry with the same CmdSN or a "
    "reassignment is the same task; a re-issue under a new CmdSN is a new one",
    (
        Column("task_index", "int32", "Number of the task, in order of its command."),
        Column("session_index", "int32", "Session of the command."),
        Column("connection_index", "int32", "Connection that carried the command first."),
        Column("response_connection_index", "int32", "Connection of the response.", null=_UNANSWERED),
        Column("initiator_task_tag", "uint32", "ITT."),
        Column("cmd_sn", "uint32", "CmdSN."),
        Column("lun", "uint64", "Logical unit number."),
        Column("is_immediate", "bool", "Sent as an immediate command."),
        Column("attribute", "category", "Task attribute.", values=TASK_ATTRIBUTE_NAMES),
        Column("operation", "category", "Operation as T10 names it, for example READ(10)."),
        Column("cdb", "text", "Command descriptor block in hexadecimal.", null="cut by the snap length"),
        Column("lba", "uint64", "First logical block.", unit="blocks", null="the operation has none"),
        Column("blocks", "uint64", "Transfer length.", unit="blocks", null="the operation has none"),
        Column("direction", "category", "Direction of data.", values=DIRECTIONS),
        Column("expected_bytes", "int64", "Expected Data Transfer Length.", unit="bytes"),
        Column("immediate_bytes", "int64", "Immediate data in the command PDU.", unit="bytes"),
        Column("unsolicited_bytes", "int64", "Unsolicited Data-Out behind the command.", unit="bytes"),
        Column("transferred_bytes", "int64", "Data bytes seen in the direction of the task.", unit="bytes"),
        Column(
            "residual_bytes",
            "int64",
            "Residual count; negative for an overflow.",
            unit="bytes",
            null=_UNANSWERED,
        ),
        Column("command_ns", "int64", "First byte of the command PDU.", unit="ns"),
        Column("command_last_ns", "int64", "Last byte of the command PDU and its immediate data.", unit="ns"),
        Column("command_packet", "int64", "Packet of the command."),
        Column("first_r2t_ns", "int64", "First R2T.", unit="ns", null="no R2T"),
        Column("first_data_ns", "int64", "First byte of data behind the command.", unit="ns", null=_NO_DATA),
        Column("last_data_ns", "int64", "Last byte of data.", unit="ns", null=_NO_DATA),
        Column("response_ns", "int64", "Last byte of the PDU with the status.", unit="ns", null=_UNANSWERED),
        Column("response_packet", "int64", "Packet of the response.", null=_UNANSWERED),
        Column("latency_ns", "int64", "From command_ns to response_ns.", unit="ns", null=_UNANSWERED),
        Column(
            "order_wait_ns",
            "int64",
            "How long it lay at the target for lower CmdSNs of its session: the latest complete arrival "
            "among them minus its own arrival, if positive; zero for immediate commands.",
            unit="ns",
        ),
        Column("outstanding", "int32", "Other tasks of all sessions in flight when it was issued."),
        Column("r2t_count", "int32", "R2Ts."),
        Column("data_in_count", "int32", "Data-In PDUs."),
        Column("data_out_count", "int32", "Data-Out PDUs."),
        Column("status", "uint8", "SCSI status.", null=_UNANSWERED),
        Column("response", "uint8", "iSCSI response code.", null=_UNANSWERED),
        Column("sense_key", "uint8", "Sense key.", null=_NO_SENSE),
        Column("asc", "uint8", "Additional sense code.", null=_NO_SENSE),
        Column("ascq", "uint8", "Additional sense code qualifier.", null=_NO_SENSE),
        Column("end", "category", "How it ended.", values=TASK_ENDS),
        Column("ended_ns", "int64", "When it ended: the response, or what ended it instead.", unit="ns"),
        Column("retry_count", "int32", "Times the same CmdSN was sent again."),
        Column("reassign_count", "int32", "TASK REASSIGN functions and reinstatements that moved it."),
        Column(
            "retry_of_task_index",
            "int32",
            "The task of which this one is a re-issue after a failure.",
            null="a first attempt",
        ),
    ),
)

EVENT_KINDS = (
    "login",
    "login-failed",
    "session-reinstated",
    "connection-reinstated",
    "logout",
    "connection-lost",
    "task-management",
    "task-reassigned",
    "task-retried",
    "async-message",
    "reject",
    "snack",
    "nop-timeout",
    "unit-attention",
    "reservation",
    "reservation-conflict",
    "window-closed",
    "stall",
    "digest-error",
    "capture-gap",
)

EVENTS = Table(
    "events",
    "one thing that happened, in order of time",
    (
        Column("event_index", "int32", "Number of the event in order of time."),
        Column("at_ns", "int64", "When.", unit="ns"),
        Column("packet", "int64", "Packet that shows it.", null="not shown by one packet"),
        Column("session_index", "int32", "Session.", null=NULL_NOT_APPLICABLE),
        Column("connection_index", "int32", "Connection.", null=NULL_NOT_APPLICABLE),
        Column("task_index", "int32", "Task.", null=NULL_NOT_APPLICABLE),
        Column("kind", "category", "What happened.", values=EVENT_KINDS),
        Column("detail", "text", "JSON object; its keys depend on the kind (docs/architecture.md)."),
    ),
)

INCIDENT_KINDS = ("connection-loss", "task-management", "stall")
INCIDENT_CAUSES = (
    "silence",
    "reset",
    "fin",
    "replaced",
    "logout",
    "command-order",
    "command-window",
    "unsent-data",
    "target",
    "task-management",
)
DETECTIONS = ("nop-timeout", "reset", "fin", "login", "logout", "task-management", "retry")
HOLD_TIMERS = ("recovery-timer", "time2wait", "login", "task-management", "none")

INCIDENTS = Table(
    "incidents",
    "one disturbance from its first sign to the last command it held: a lost connection (or several lost "
    "together), a task management function that ended commands, or a stall",
    (
        Column("incident_index", "int32", "Number of the incident in order of its beginning."),
        Column("kind", "category", "What kind of disturbance.", values=INCIDENT_KINDS),
        Column("cause", "category", "What the capture shows as its cause.", values=INCIDENT_CAUSES),
        Column("initiator_name", "text", "Initiator whose commands were held.", null=NULL_LOGIN_NOT_SEEN),
        Column("target_name", "text", "Target.", null=NULL_LOGIN_NOT_SEEN),
        Column("session_index", "int32", "Session in which it began."),
        Column("connection_index", "int32", "Connection on which it began.", null=NULL_NOT_APPLICABLE),
        Column("sessions", "text", "All sessions that had part in it, JSON list of session_index."),
        Column("connections", "text", "All connections that were lost in it, JSON list of connection_index."),
        Column(
            "failed_ns",
            "int64",
            "First sign: the last PDU of the side that fell silent, or RST or FIN.",
            unit="ns",
        ),
        Column(
            "last_from_target_ns", "int64", "Last PDU of the target before it.", unit="ns", null=NULL_NOT_SEEN
        ),
        Column(
            "last_from_initiator_ns",
            "int64",
            "Last PDU of the initiator before it.",
            unit="ns",
            null=NULL_NOT_SEEN,
        ),
        Column("detected_ns", "int64", "When the initiator knew.", unit="ns", null=NULL_NOT_SEEN),
        Column("detected_by", "category", "What told it.", null=NULL_NOT_SEEN, values=DETECTIONS),
        Column("is_detection_seen", "bool", "Whether detection shows in the capture; else it is inferred."),
        Column("hold_from_ns", "int64", "From when commands were held.", unit="ns", null="none was held"),
        Column("hold_to_ns", "int64", "Until when: their first repetition.", unit="ns", null="none was held"),
        Column("hold_timer", "category", "What held them.", values=HOLD_TIMERS),
        Column(
            "hold_setting_s",
            "float64",
            "Likely setting of that timer.",
            unit="s",
            null="no timer, or not known",
        ),
        Column("noop_interval_s", "float64", "NOP-Out interval measured.", unit="s", null=NULL_NOT_SEEN),
        Column(
            "noop_timeout_s", "float64", "NOP-Out timeout, seen or inferred.", unit="s", null=NULL_NOT_SEEN
        ),
        Column(
            "cleanup_ns",
            "int64",
            "First Logout, task management or login of the recovery.",
            unit="ns",
            null="none",
        ),
        Column(
            "first_retry_ns", "int64", "First command sent again or reassigned.", unit="ns", null="none was"
        ),
        Column(
            "first_completion_ns",
            "int64",
            "First of the held commands to complete.",
            unit="ns",
            null="none did",
        ),
        Column(
            "last_completion_ns",
            "int64",
            "Last of the held commands to complete.",
            unit="ns",
            null="none did",
        ),
        Column("ended_ns", "int64", "Last thing that belongs to it.", unit="ns"),
        Column(
            "stall_ns",
            "int64",
            "What the application saw: the longest time from first sending a held command to its completion, "
            "through all attempts.",
            unit="ns",
            null="no held command completed",
        ),
        Column(
            "gap_ns",
            "int64",
            "Longest time within it in which nothing completed between this initiator and target.",
            unit="ns",
        ),
        Column("outstanding", "int32", "Commands it held."),
        Column("reassigned", "int32", "Of these, moved to another connection as they were."),
        Column("retried_same_path", "int32", "Of these, sent again between the same two addresses."),
        Column("retried_other_path", "int32", "Of these, sent again on another path."),
        Column("aborted", "int32", "Of these, ended by task management and not seen again."),
        Column("answered", "int32", "Of these, answered after all."),
        Column("lost", "int32", "Of these, never heard of again."),
        Column(
            "neighbours",
            "text",
            'JSON list of {"session_index", "how"}: other sessions of the target that it touched.',
        ),
        Column("summary", "text", "It in one sentence."),
        Column(
            "steps", "text", 'JSON list of {"at_ns", "what", "detail"} in order of time: it step by step.'
        ),
    ),
)

FATES = ("reassigned", "retried", "reissued", "aborted", "answered", "lost")

TASK_FATES = Table(
    "task_fates",
    "what became of one command that an incident held",
    (
        Column("incident_index", "int32", "Incident."),
        Column("task_index", "int32", "Command."),
        Column(
            "fate",
            "category",
            "reassigned: moved as it was; retried: sent again under its CmdSN; reissued: sent again as a new "
            "command; aborted: ended by task management; answered: completed after all; lost: none of these.",
            values=FATES,
        ),
        Column(
            "is_same_path",
            "bool",
            "Whether it went on between the same two addresses.",
            null="it did not go on",
        ),
        Column("again_task_index", "int32", "The new command.", null="not reissued"),
        Column("again_connection_index", "int32", "Connection on which it went on.", null="it did not go on"),
        Column("issued_ns", "int64", "First time it was sent.", unit="ns"),
        Column(
            "again_ns",
            "int64",
            "When it was sent again or asked to be reassigned.",
            unit="ns",
            null="it was not",
        ),
        Column(
            "completed_ns", "int64", "Completion that the initiator used.", unit="ns", null="none was seen"
        ),
    ),
)

DIAGNOSTICS = Table(
    "diagnostics",
    "one kind of imperfection at one place, counted",
    (
        Column("code", "category", "Code in the catalogue (docs/diagnostics.md)."),
        Column("severity", "category", "How much is in doubt.", values=("info", "warning", "error")),
        Column("source", "category", "Whose doing it is.", values=("capture", "protocol", "analyzer")),
        Column("count", "int64", "Times it was seen here."),
        Column("file_index", "int32", "Capture file.", null=NULL_NOT_APPLICABLE),
        Column("packet", "int64", "Packet of the first occurrence.", null=NULL_NOT_APPLICABLE),
        Column("connection_index", "int32", "Connection.", null=NULL_NOT_APPLICABLE),
        Column("at_ns", "int64", "Time of the first occurrence.", unit="ns", null=NULL_NOT_APPLICABLE),
        Column("detail", "text", "What exactly was seen."),
        Column("meaning", "text", "What it means."),
        Column("remedy", "text", "What the user can do."),
    ),
)

TIMELINE_TABLES: tuple[Table, ...] = (
    CAPTURES,
    SESSIONS,
    CONNECTIONS,
    PDUS,
    TASKS,
    EVENTS,
    INCIDENTS,
    TASK_FATES,
    DIAGNOSTICS,
)
