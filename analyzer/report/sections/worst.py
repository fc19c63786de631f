"""The commands that fared worst: the slowest, and those that were never answered or ended in an error.

Decides what counts as worst. Names a status and an end as the tables hold them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Align, Cell, Heading, Section, Table
from analyzer.report.cells import count_cell, maybe, moment_cell, name_cell, records, size_cell, time_cell
from analyzer.report.study import Study
from analyzer.report.words import MISSING, count, duration, plural

SLOWEST = 50
UNHAPPY = 100
STATUS = {
    0x00: "GOOD",
    0x02: "CHECK CONDITION",
    0x04: "CONDITION MET",
    0x08: "BUSY",
    0x18: "RESERVATION CONFLICT",
    0x28: "TASK SET FULL",
    0x30: "ACA ACTIVE",
    0x40: "TASK ABORTED",
}
"""SAM-5 table 33."""


def build(study: Study) -> Section:
    """One searchable table."""
    question = "Which commands fared worst?"
    if not study.tasks:
        return Section("worst", "Worst commands", question, "No SCSI command was recorded.")
    chosen, unhappy = worst_tasks(study)
    overall = study.recorded.overall
    answer = (
        f"The slowest took {duration(overall['latency_ns_max'])}, "
        f"{_times(overall['latency_ns_max'], overall['latency_ns_p50'])} the median; "
        if overall["completed"]
        else "None was completed; "
    )
    answer += f"{plural(unhappy, 'command')} ended unanswered or with a status other than GOOD."
    return Section("worst", "Worst commands", question, answer, (_table(study, chosen, unhappy),))


def _times(largest: float | None, median: float | None) -> str:
    if not largest or not median:
        return "many times"
    ratio = largest / median
    return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def worst_tasks(study: Study) -> tuple[npt.NDArray[np.intp], int]:
    """Rows of the unhappy and then of the slowest tasks, and how many were unhappy in all."""
    status = study.timeline.values("tasks", "status", 0)
    is_unhappy = (study.timeline.values("tasks", "end").astype(str) != "responded") | (status != 0)
    unhappy = np.flatnonzero(is_unhappy)
    lives = study.timeline.values("tasks", "ended_ns") - study.timeline.values("tasks", "command_ns")
    unhappy_first = unhappy[np.argsort(-lives[unhappy], kind="stable")][:UNHAPPY]
    latency = np.where(study.requests.is_completed, study.requests.latency_ns, -1)
    slowest = np.argsort(-latency, kind="stable")[:SLOWEST]
    slowest = slowest[latency[slowest] >= 0]
    _, first = np.unique(np.concatenate([unhappy_first, slowest]), return_index=True)
    return np.concatenate([unhappy_first, slowest])[np.sort(first)], len(unhappy)


def _table(study: Study, chosen: npt.NDArray[np.intp], unhappy: int) -> Table:
    headings = (
        Heading("Task", Align.NUMBER),
        Heading("Sent, s", Align.NUMBER),
        Heading("Took", Align.NUMBER, "From command to response, or to what ended the command."),
        Heading("Operation"),
        Heading("Result", sentence="SCSI status, or how the command ended without one."),
        Heading("Connection"),
        Heading("LUN", Align.NUMBER),
        Heading("LBA", Align.NUMBER),
        Heading("Data", Align.NUMBER),
        Heading("Order wait", Align.NUMBER, "Wait at the target for lower CmdSNs."),
        Heading("In flight", Align.NUMBER, "Other commands in flight when it was issued."),
        Heading("Moved", Align.NUMBER, "Times it was retried or reassigned."),
        Heading("Packet", Align.NUMBER, "Packet of the command."),
    )
    rows = []
    for row in records(study.timeline.tasks.iloc[chosen]):
        connection = row["connection_index"]
        result, is_good = _result(maybe(row["status"]), str(row["end"]))
        took = row["ended_ns"] - row["command_ns"]
        lba = maybe(row["lba"])
        rows.append(
            (
                Cell(str(row["task_index"]), row["task_index"]),
                moment_cell((row["command_ns"] - study.begin_ns) / 1e9),
                time_cell(took),
                Cell(str(row["operation"]), str(row["operation"])),
                name_cell(result, tone="" if is_good else "bad"),
                Cell(
                    study.connection_names[connection],
                    float(connection),
                    color=study.connection_colors[connection],
                ),
                Cell(study.lun_name(row["lun"]), float(row["lun"])),
                count_cell(lba),
                size_cell(row["transferred_bytes"]),
                time_cell(row["order_wait_ns"]),
                count_cell(row["outstanding"]),
                count_cell(row["retry_count"] + row["reassign_count"]),
                Cell(str(row["command_packet"]), row["command_packet"]),
            )
        )
    note = f"The {SLOWEST} slowest commands and those that ended unanswered or with an error."
    if unhappy > UNHAPPY:
        note += f" Of {count(unhappy)} of these the {UNHAPPY} that lived longest are listed."
    return Table(
        "worst",
        "Worst commands",
        headings,
        tuple(rows),
        searchable=True,
        note=note,
        task_column=0,
        row_keys=study.task_keys(chosen),
    )


def _result(status: int | None, end: str) -> tuple[str, bool]:
    if end != "responded":
        return end, False
    if status is None:
        return MISSING, True
    return STATUS.get(status, f"status 0x{status:02x}"), status == 0
