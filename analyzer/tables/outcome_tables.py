"""The tables of an outcome: what came of one workload under one scenario.

Times are integer nanoseconds since the Unix epoch on the clock of the timeline that was
replayed, so a request stands beside the task it came from.
"""

from __future__ import annotations

from analyzer.tables.schema import Column, Table
from analyzer.tables.timeline_tables import DIRECTIONS, HOLD_TIMERS

REQUEST_ENDS = ("completed", "failed", "unfinished")

_NEVER = "it never came to that"

REQUESTS = Table(
    "requests",
    "one request of the replayed workload",
    (
        Column("request_index", "int32", "Number of the request, in order of the workload."),
        Column("task_index", "int32", "Task of the timeline it replays.", null="made by the workload"),
        Column(
            "initiator_index",
            "int32",
            "Initiator that asks for it; those behind the recorded ones are neighbours made after the first.",
        ),
        Column("path_index", "int32", "Path that carried it last.", null=_NEVER),
        Column(
            "cmd_sn",
            "int64",
            "CmdSN it took in its nexus, counted from 0 without wrapping.",
            null="never sent, or an immediate command",
        ),
        Column("lun", "uint64", "Logical unit number."),
        Column("operation", "category", "Operation as T10 names it."),
        Column("direction", "category", "Direction of data.", values=DIRECTIONS),
        Column("transferred_bytes", "int64", "Data bytes it moves.", unit="bytes"),
        Column("ready_ns", "int64", "The application asked for it.", unit="ns"),
        Column("dispatched_ns", "int64", "The scheduler gave it to a path.", unit="ns", null=_NEVER),
        Column("sent_ns", "int64", "The command window let its path send it.", unit="ns", null=_NEVER),
        Column("arrived_ns", "int64", "Its command was whole at the target.", unit="ns", null=_NEVER),
        Column("released_ns", "int64", "The ordering gate let it pass.", unit="ns", null=_NEVER),
        Column("started_ns", "int64", "The device began with it.", unit="ns", null=_NEVER),
        Column("completed_ns", "int64", "The initiator had its status.", unit="ns", null=_NEVER),
        Column("latency_ns", "int64", "From ready_ns to completed_ns.", unit="ns", null=_NEVER),
        Column(
            "seen_latency_ns",
            "int64",
            "Latency as the recorder would have seen it: from when its command began to leave. What a "
            "command waits in the initiator, behind data or for the window, is not in it.",
            unit="ns",
            null=_NEVER,
        ),
        Column("end", "category", "How it ended.", values=REQUEST_ENDS),
        Column("retry_count", "int32", "Times it was sent again."),
        Column("reassign_count", "int32", "Times its allegiance moved to another connection."),
    ),
)

PATHS = Table(
    "paths",
    "one path: what a policy chooses, an MC/S connection or an MPIO session",
    (
        Column("path_index", "int32", "Number of the path."),
        Column("name", "text", "Name in the topology, for example mcs connection 0."),
        Column("nexus_index", "int32", "Set of paths over which CmdSN order is kept."),
        Column("link_index", "int32", "Link it lies on; paths of one link share what it carries."),
        Column(
            "rate_to_target_bps", "float64", "Link rate towards the target; 0 for no limit.", unit="bit/s"
        ),
        Column(
            "rate_from_target_bps",
            "float64",
            "Link rate towards the initiator; 0 for no limit.",
            unit="bit/s",
        ),
        Column("delay_to_target_ns", "int64", "One-way delay towards the target.", unit="ns"),
        Column("delay_from_target_ns", "int64", "One-way delay towards the initiator.", unit="ns"),
        Column("requests", "int64", "Requests it completed."),
        Column("read_bytes", "int64", "Data moved to the initiator.", unit="bytes"),
        Column("written_bytes", "int64", "Data moved to the target.", unit="bytes"),
        Column(
            "wire_bytes_to_target", "int64", "All bytes sent, headers of lower layers included.", unit="bytes"
        ),
        Column("wire_bytes_from_target", "int64", "All bytes received, likewise.", unit="bytes"),
        Column("busy_to_target_ns", "int64", "Time the link was sending towards the target.", unit="ns"),
        Column("busy_from_target_ns", "int64", "Time it was sending towards the initiator.", unit="ns"),
    ),
)

OUTCOME_EVENT_KINDS = (
    "link-down",
    "link-up",
    "connection-lost",
    "path-failed",
    "path-reinstated",
    "window-closed",
    "window-opened",
    "gate-held",
    "gate-released",
    "task-set-full",
    "request-failed",
    "request-retried",
    "request-reassigned",
)

OUTCOME_EVENTS = Table(
    "events",
    "one thing that happened in the replay, in order of time",
    (
        Column("event_index", "int32", "Number of the event in order of time."),
        Column("at_ns", "int64", "When.", unit="ns"),
        Column("path_index", "int32", "Path.", null="not about one path"),
        Column("request_index", "int32", "Request.", null="not about one request"),
        Column("kind", "category", "What happened.", values=OUTCOME_EVENT_KINDS),
        Column("detail", "text", "JSON object; its keys depend on the kind."),
    ),
)

FAULT_KINDS = ("down", "black-hole", "reset", "portal", "slow", "lossy", "flap")
SIGNS = ("nop-timeout", "carrier", "reset", "tcp-timeout", "command-timer", "bond")
OUTCOME_INCIDENTS = Table(
    "incidents",
    "what came of one fault; columns that recorded incidents have too mean the same",
    (
        Column("incident_index", "int32", "Number of the incident in order of its beginning."),
        Column(
            "kind",
            "category",
            "Whether a connection was lost, or only slow.",
            values=("connection-loss", "stall"),
        ),
        Column("cause", "category", "Kind of the fault.", values=FAULT_KINDS),
        Column("fault", "text", "The fault as written behind --fault."),
        Column("recovery", "text", "Preset of the timers and ways of recovery."),
        Column("failed_ns", "int64", "When the fault struck.", unit="ns"),
        Column("detected_ns", "int64", "When the initiator knew.", unit="ns", null=_NEVER),
        Column("detected_by", "category", "What told it.", null=_NEVER, values=SIGNS),
        Column("hold_from_ns", "int64", "From when commands were held.", unit="ns", null="none was held"),
        Column("hold_to_ns", "int64", "Until when.", unit="ns", null="none was held, or to the end"),
        Column("hold_timer", "category", "What held them.", values=HOLD_TIMERS),
        Column("hold_setting_s", "float64", "Setting of that timer.", unit="s", null="no timer"),
        Column("cleanup_ns", "int64", "First thing sent to recover.", unit="ns", null="none"),
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
            "What the application saw: the longest time from asking for a held command to its end.",
            unit="ns",
            null="it held none",
        ),
        Column(
            "gap_ns",
            "int64",
            "Longest time within it in which nothing of the initiator completed.",
            unit="ns",
        ),
        Column("outstanding", "int32", "Commands it held."),
        Column("reassigned", "int32", "Of these, moved to another connection as they were."),
        Column("retried_same_path", "int32", "Of these, sent again on the same path."),
        Column("retried_other_path", "int32", "Of these, sent again on another path."),
        Column("aborted", "int32", "Of these, ended by task management and sent again."),
        Column("failed", "int32", "Of these, ended with an error."),
        Column(
            "reservation",
            "category",
            "What became of a RESERVE(6) of this initiator; Persistent Reservations stay in every case.",
            values=("kept", "released", "cleared"),
        ),
        Column(
            "neighbours",
            "text",
            'JSON list of {"nexus_index", "how", "aborted", "retried", "longest_ns"}: sessions it touched.',
        ),
        Column("summary", "text", "It in one sentence."),
        Column(
            "steps", "text", 'JSON list of {"at_ns", "what", "detail"} in order of time: it step by step.'
        ),
    ),
)

UTILISATION = Table(
    "utilisation",
    "one direction of one link over one span of time",
    (
        Column("link_index", "int32", "Link, as in paths."),
        Column("from_target", "bool", "The direction towards the initiator."),
        Column("begin_ns", "int64", "When the span begins.", unit="ns"),
        Column("width_ns", "int64", "How long it is; the same for all of an outcome.", unit="ns"),
        Column("busy_share", "float64", "Share of it in which the direction was sending."),
    ),
)

METRICS = Table(
    "metrics",
    "one measured figure of an outcome",
    (
        Column("metric", "text", "Name of the figure (docs/tables.md lists them)."),
        Column("value", "float64", "The figure of this replay.", null="withheld, see the reason"),
        Column("unit", "text", "Its unit."),
        Column(
            "median",
            "float64",
            "Median of this replay and its repeats: what to expect of a further run. Comparisons take it.",
            null="withheld, or the replay was not repeated",
        ),
        Column(
            "low",
            "float64",
            "Lower end of its interval, in which 90 % of further runs would lie as far as repeats show; the "
            "error of the model is not in it. Both ends are the figure where it depends on no chance.",
            null="withheld, or the replay was not repeated",
        ),
        Column("high", "float64", "Upper end, likewise.", null="withheld, or the replay was not repeated"),
        Column("withheld", "text", "Why the figure is not given.", null="it is given"),
    ),
)

REPEATS = Table(
    "repeats",
    "one figure of one repeat: the same scenario with what is uncertain drawn anew",
    (
        Column(
            "repeat",
            "int32",
            "Number of the repeat, from 1; outcomes whose manifests name the same draws drew the same.",
        ),
        Column("metric", "text", "Name of the figure, as in metrics."),
        Column("value", "float64", "The figure.", null="withheld in this repeat"),
    ),
)

OUTCOME_TABLES: tuple[Table, ...] = (
    REQUESTS,
    PATHS,
    OUTCOME_EVENTS,
    OUTCOME_INCIDENTS,
    UTILISATION,
    METRICS,
    REPEATS,
)
