"""Re-issues: new commands that do again what an earlier one failed to do.

Decides which task is another attempt at which, by content alone: the same CDB to the same logical unit
of the same target by the same initiator, after the earlier one had failed, first come first matched. A
new CmdSN, a new session or another path are all the same here. A multipath layer repeats a command on
another path while the dead connection still stands, so there a silent second is failure enough; and where the
initiator resets a connection, its reset waits behind what is queued on that link, while another link may
carry the command again already. Content cannot prove intent: the caller leaves out commands without data or
blocks, and the link is made only within the longest recovery known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.compilation import njit

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

LONGEST_RECOVERY_NS = 180_000_000_000
"""Linux holds I/O for at most replacement_timeout (120 s) behind detection and a command timer (30 s)."""

SHORTEST_SILENCE_NS = 1_000_000_000
"""A command that another path repeats had been without an answer for at least this long."""
RESET_WAITS_NS = 50_000_000
"""So long a reset may wait behind what is queued before it: 250 KB at 40 Mbit/s."""
_MOST_ALIKE = 1024
"""Failures of equal work that are looked through for one command: more than a session has in flight."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """n tasks in order of their commands, shape (n,) each."""

    content: npt.NDArray[np.void]
    """Nexus group, logical unit, CDB and expected length, as raw bytes: equal for equal work."""
    command_ns: Int64s
    failed_ns: Int64s
    """When the task failed, -1 where it did not or where its work is not to be followed."""
    is_unanswered: npt.NDArray[np.bool_]
    """Whether it failed by silence, so that another path may have repeated it before ``failed_ns``."""
    connection: Int64s
    """Index of the connection that held the task last."""


def link_reissues(attempts: Attempts) -> Int32s:
    """For each task the first attempt of the work it repeats, -1 for a first attempt; shape (n,)."""
    first_attempt = np.full(len(attempts.command_ns), -1, np.int32)
    failed = np.flatnonzero(attempts.failed_ns >= 0)
    if not len(failed):
        return first_attempt
    content = np.unique(attempts.content[failed])
    place = np.searchsorted(content, attempts.content)
    place[place == len(content)] = 0
    members = np.flatnonzero(content[place] == attempts.content)
    group = place[members]
    # Within each content in order of time.
    order = np.argsort(group, kind="stable")
    silent_ns = np.minimum(attempts.command_ns + SHORTEST_SILENCE_NS, attempts.failed_ns - RESET_WAITS_NS)
    _link(
        members[order],
        group[order],
        attempts.command_ns,
        attempts.failed_ns,
        np.where(attempts.is_unanswered, silent_ns, attempts.failed_ns),
        attempts.connection,
        first_attempt,
    )
    return first_attempt


@njit(cache=True, nogil=True)
def _link(
    members: Int64s,
    group: Int64s,
    command_ns: Int64s,
    failed_ns: Int64s,
    silent_ns: Int64s,
    connection: Int64s,
    first_attempt: Int32s,
) -> None:
    """Match each command with the oldest failure of its group that is not matched yet."""
    waiting = np.empty(len(members), np.int64)
    head, tail = 0, 0
    for position in range(len(members)):
        task = members[position]
        if position > 0 and group[position] != group[position - 1]:
            head = tail
        while head < tail and failed_ns[waiting[head]] + LONGEST_RECOVERY_NS < command_ns[task]:
            head += 1
        for number in range(head, min(tail, head + _MOST_ALIKE)):
            earlier = waiting[number]
            may_repeat = failed_ns[earlier] <= command_ns[task] or (
                silent_ns[earlier] <= command_ns[task] and connection[earlier] != connection[task]
            )
            if may_repeat and command_ns[task] <= failed_ns[earlier] + LONGEST_RECOVERY_NS:
                root = first_attempt[earlier]
                first_attempt[task] = root if root >= 0 else earlier
                # Close the gap, keeping the order of the rest.
                for moved in range(number, head, -1):
                    waiting[moved] = waiting[moved - 1]
                head += 1
                break
        if failed_ns[task] >= 0:
            waiting[tail] = task
            tail += 1
