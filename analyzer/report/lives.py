"""The whole lives of those commands that the page can show on a click, as columns.

Decides which commands have one on a large trace, and which moments are told. Moments that are in no
capture (what the initiator queued) are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.report.sampling import keep
from analyzer.report.sections.worst import STATUS, worst_tasks
from analyzer.report.study import Study

LIMIT = 15_000

MOMENTS = (
    ("whole at the target", "command_last_ns"),
    ("let pass by command order", ""),
    ("first R2T", "first_r2t_ns"),
    ("first data", "first_data_ns"),
    ("last data", "last_data_ns"),
    ("response", "response_ns"),
)
"""What happened to a command after it was sent, with the column that says when."""


@dataclass(frozen=True, slots=True)
class Lives:
    """n commands, ``task`` ascending; ``moments`` are ns after the command, a column for each ``MOMENTS``."""

    task: npt.NDArray[np.int64]
    facts: dict[str, npt.NDArray[np.float64]]
    """Named numbers, NaN where there is none."""
    names: dict[str, tuple[str, ...]]
    """For those facts that are places in a list of names."""
    moments: tuple[npt.NDArray[np.float64], ...]


def lives_of(study: Study) -> Lives:
    """The longest lives, an even choice of the others, and all that the table of worst commands lists."""
    timeline = study.timeline
    length = timeline.values("tasks", "ended_ns") - study.requests.ready_ns
    chosen = keep(length, LIMIT)
    if study.tasks:
        chosen = np.union1d(chosen, worst_tasks(study)[0])
    command = study.requests.ready_ns[chosen]
    ends, end = np.unique(timeline.values("tasks", "end").astype(str)[chosen], return_inverse=True)
    facts = {
        "operation": study.requests.operation.codes[chosen].astype(np.float64),
        "lun": study.luns[0][chosen].astype(np.float64),
        "lba": _numbers(study, "lba", chosen),
        "blocks": _numbers(study, "blocks", chosen),
        "sent": study.seconds(command),
        "connection": study.requests.path[chosen].astype(np.float64),
        "answering": _numbers(study, "response_connection_index", chosen),
        "cmd_sn": _numbers(study, "cmd_sn", chosen),
        "itt": _numbers(study, "initiator_task_tag", chosen),
        "bytes": _numbers(study, "transferred_bytes", chosen),
        "status": _numbers(study, "status", chosen),
        "end": end.reshape(-1).astype(np.float64),
        "moved": _numbers(study, "retry_count", chosen) + _numbers(study, "reassign_count", chosen),
        "retry_of": _numbers(study, "retry_of_task_index", chosen),
        "outstanding": _numbers(study, "outstanding", chosen),
        "packet": _numbers(study, "command_packet", chosen),
        "response_packet": _numbers(study, "response_packet", chosen),
    }
    names = {
        "operation": study.requests.operation.names,
        "lun": study.luns[1],
        "connection": study.connection_names,
        "answering": study.connection_names,
        "status": tuple(STATUS.get(code, f"status 0x{code:02x}") for code in range(256)),
        "end": tuple(ends.tolist()),
    }
    return Lives(study.requests.task_index[chosen], facts, names, tuple(_moments(study, chosen, command)))


def _numbers(study: Study, column: str, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    values = study.timeline.values("tasks", column, 0)[chosen].astype(np.float64)
    values[study.timeline.is_null("tasks", column)[chosen]] = np.nan
    return values


def _moments(
    study: Study, chosen: npt.NDArray[np.intp], command: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.float64]]:
    found = []
    for _, column in MOMENTS:
        if column:
            at = study.timeline.values("tasks", column, 0)[chosen] - command
            missing = study.timeline.is_null("tasks", column)[chosen]
        else:
            at = study.timeline.values("tasks", "command_last_ns")[chosen] - command
            at = at + study.requests.order_wait_ns[chosen]
            missing = study.requests.order_wait_ns[chosen] == 0
        found.append(np.where(missing, np.nan, at.astype(np.float64)))
    return found
