"""The life of a command cut into parts: sending, waiting for order, at the target, and the answer.

Decides how a life is cut. Works on the columns of a study and draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from analyzer.report.study import Study

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of n completed tasks, each of shape (n,) in ns; they add up to the latency."""

    task: npt.NDArray[np.intp]
    sending: Int64s
    order_wait: Int64s
    target: Int64s
    answer: Int64s

    def columns(self) -> tuple[Int64s, ...]:
        """The parts in the order of a life."""
        return self.sending, self.order_wait, self.target, self.answer


def parts_of(study: Study) -> Parts:
    """Cut the life of every completed task.

    Sending ends with the last byte that the initiator sent (command, or data of a write), less the silence in
    which it waited for the first R2T; the answer begins with the first Data-In, or is the status alone.
    """
    timeline = study.timeline
    task = np.flatnonzero(study.requests.is_completed)
    command = study.requests.ready_ns[task]
    whole = study.requests.latency_ns[task]
    is_read = study.is_direction("read")[task]
    command_last = timeline.values("tasks", "command_last_ns")[task]
    first_data = np.where(
        timeline.is_null("tasks", "first_data_ns")[task],
        -1,
        timeline.values("tasks", "first_data_ns", 0)[task],
    )
    last_data = np.where(first_data < 0, -1, timeline.values("tasks", "last_data_ns", 0)[task])
    response = study.requests.completed_ns[task]
    answer = np.where(is_read & (first_data >= 0), response - first_data, 0).clip(0, whole)
    sent_from = np.where(is_read | (first_data < 0), command_last, first_data)
    sending = (command_last - command).clip(0, whole - answer)
    moved = np.where(~is_read & (last_data >= 0), last_data - sent_from, 0).clip(0, whole - answer - sending)
    sending = sending + moved
    order_wait = np.minimum(study.requests.order_wait_ns[task], whole - answer - sending).clip(0)
    return Parts(task, sending, order_wait, whole - answer - sending - order_wait, answer)
