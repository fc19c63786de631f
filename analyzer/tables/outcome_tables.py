"""The tables of an outcome: what came of one workload under one scenario.

Times are integer nanoseconds since the Unix epoch on the clock of the timeline that was
replayed, so a request stands beside the task it came from.
"""

from __future__ import annotations

from analyzer.tables.schema import Column, Table
from analyzer.tables.timeline_tables import DIRECTIONS

REQUEST_ENDS = ("completed", "failed", "unfinished")

_NEVER = "it never came to that"

REQUESTS = Table(
    "requests",
    "one request of the replayed workload",
    (
        Column("request_index", "int32", "Number of the request, in order of the workload."),
        Column("task_index", "int32", "Task of the timeline it replays.", null="made by the workload"),
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
        Column("value", "float64", "The figure.", null="withheld, see the reason"),
        Column("unit", "text", "Its unit."),
        Column("withheld", "text", "Why the figure is not given.", null="it is given"),
    ),
)

OUTCOME_TABLES: tuple[Table, ...] = (REQUESTS, PATHS, OUTCOME_EVENTS, UTILISATION, METRICS)
