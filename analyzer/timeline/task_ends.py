"""How each task ended, and when, where no response says so.

Decides among the possible ends of an unanswered task the earliest: an abort that the target confirmed,
the end of the connection that held it, the end of its session, the end of the recording. Does not
follow PDUs; it weighs what the other trackers found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.scratch import Scratch
from analyzer.timeline.task_management import (
    ABORT_TASK,
    REACHING_OTHERS,
    SET_FUNCTIONS,
    WHOLE_NEXUS,
    WHOLE_TARGET,
    TaskManagement,
)

RESPONDED, ABORTED, CONNECTION_LOST, SESSION_LOST, CAPTURE_ENDED = range(5)
"""Indexes of TASK_ENDS in the table's declaration."""

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What is known of n tasks, shape (n,) each; -1 stands for never."""

    session: Int64s
    connection: Int64s
    """That held the task last."""
    lun: npt.NDArray[np.uint64]
    command_ns: Int64s
    response_ns: Int64s
    reused_ns: Int64s


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """When connections and sessions ended, -1 for those that did not; and which target a session is with."""

    connection_closed_ns: Int64s
    session_closed_ns: Int64s
    session_target: Int64s
    """Sessions with the same number are with the same target."""
    recording_ended_ns: int


@dataclass(frozen=True, slots=True)
class TaskEnds:
    """The end of each of n tasks, shape (n,)."""

    end: npt.NDArray[np.int8]
    ended_ns: Int64s
    aborted_by: Int32s
    """Number of the task management function that ended it, -1 for none."""


def judge_ends(
    tasks: TaskFacts,
    lifetimes: Lifetimes,
    functions: Sequence[TaskManagement],
    session_of_function: Sequence[int],
    task_of_function: Sequence[int],
    scratch: Scratch,
) -> TaskEnds:
    """End every task. ``session_of_function`` and ``task_of_function`` hold -1 where there is none."""
    count = len(tasks.session)
    ends = TaskEnds(
        np.full(count, CAPTURE_ENDED, np.int8),
        scratch.moved(np.full(count, lifetimes.recording_ended_ns, np.int64)),
        scratch.moved(np.full(count, -1, np.int32)),
    )
    is_answered = tasks.response_ns >= 0
    ends.end[is_answered] = RESPONDED
    ends.ended_ns[is_answered] = tasks.response_ns[is_answered]
    open_tasks = np.flatnonzero(~is_answered)
    if not len(open_tasks):
        return ends
    # A tag that is used again says that the task is over, though not how.
    reused = tasks.reused_ns[open_tasks]
    _take_earlier(ends, open_tasks, reused, CAPTURE_ENDED)
    session_closed = lifetimes.session_closed_ns[tasks.session[open_tasks]]
    _take_earlier(ends, open_tasks, session_closed, SESSION_LOST)
    connection_closed = lifetimes.connection_closed_ns[tasks.connection[open_tasks]]
    _take_earlier(ends, open_tasks, connection_closed, CONNECTION_LOST)
    # A session that was closed or reinstated took its connections with it.
    together = (session_closed >= 0) & (connection_closed == session_closed)
    is_lost = ends.end[open_tasks] == CONNECTION_LOST
    ends.end[open_tasks[together & is_lost]] = SESSION_LOST
    for number, function in enumerate(functions):
        _abort(ends, tasks, lifetimes, open_tasks, number, function, session_of_function, task_of_function)
    ends.ended_ns[:] = np.maximum(ends.ended_ns, tasks.command_ns)
    return ends


def _take_earlier(ends: TaskEnds, tasks: Int64s, at_ns: Int64s, end: int) -> None:
    """``at_ns`` lies before the command where a peer went on after what it called the end."""
    earlier = (at_ns >= 0) & (at_ns <= ends.ended_ns[tasks])
    ends.end[tasks[earlier]] = end
    ends.ended_ns[tasks[earlier]] = at_ns[earlier]


def _abort(
    ends: TaskEnds,
    tasks: TaskFacts,
    lifetimes: Lifetimes,
    open_tasks: Int64s,
    number: int,
    function: TaskManagement,
    session_of_function: Sequence[int],
    task_of_function: Sequence[int],
) -> None:
    """End by ``function`` those open tasks in its scope that were still alive when it was answered."""
    session = session_of_function[number]
    if not function.is_done or function.response_ns is None or session < 0:
        return
    if function.function == ABORT_TASK:
        named = task_of_function[number]
        members = open_tasks[open_tasks == named]
    elif function.function in SET_FUNCTIONS:
        members = open_tasks[_in_scope(tasks, lifetimes, open_tasks, function, session)]
    else:
        return
    # A function confirmed after the recording's other ends of the task did not end it.
    members = members[
        (tasks.command_ns[members] <= function.at_ns) & (ends.ended_ns[members] >= function.response_ns)
    ]
    members = members[ends.end[members] != ABORTED]
    ends.end[members] = ABORTED
    ends.ended_ns[members] = function.response_ns
    ends.aborted_by[members] = number


def _in_scope(
    tasks: TaskFacts, lifetimes: Lifetimes, members: Int64s, function: TaskManagement, session: int
) -> npt.NDArray[np.bool_]:
    is_meant = np.ones(len(members), np.bool_)
    if function.function in REACHING_OTHERS:
        target = lifetimes.session_target
        is_meant &= target[tasks.session[members]] == target[session]
    else:
        is_meant &= tasks.session[members] == session
    if function.function not in (*WHOLE_TARGET, *WHOLE_NEXUS):
        is_meant &= tasks.lun[members] == np.uint64(function.lun)
    return is_meant
