"""How busy the machine was during a run, so that nobody takes a busy processor for a slow link.

Reads Linux's ``/proc``; knows processes by number only.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
HOST_BUSY = "host_busy_pct"
"""How the share that is busy over all cores is called, before the number of cores."""

_IDLE, _IO_WAIT, _SOFT_IRQ, _STEAL = 3, 4, 6, 7


@dataclass(frozen=True)
class Load:
    """Counters at one moment, in seconds of processor time."""

    wall_s: float
    target_s: float
    all_s: float
    idle_s: float
    soft_irq_s: float
    steal_s: float
    target_retransmissions: int


def sample(target: int) -> Load:
    """The counters now; ``target`` is the process of tgt. See proc(5)."""
    fields = [
        int(word) / _TICKS_PER_S for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ]
    # The process name may hold spaces, so count from behind it.
    own = Path(f"/proc/{target}/stat").read_text().rpartition(")")[2].split()
    return Load(
        time.monotonic(),
        (int(own[11]) + int(own[12])) / _TICKS_PER_S,
        sum(fields[:8]),
        fields[_IDLE] + fields[_IO_WAIT],
        fields[_SOFT_IRQ],
        fields[_STEAL],
        _retransmissions(target),
    )


def _retransmissions(process: int) -> int:
    """TCP segments sent again in the namespace of a process."""
    tcp = [line.split() for line in Path(f"/proc/{process}/net/snmp").read_text().splitlines()]
    rows = [row for row in tcp if row[0] == "Tcp:"]
    return int(rows[1][rows[0].index("RetransSegs")])


def describe(before: Load, after: Load, initiator_s: float) -> dict[str, float]:
    """Shares of the time between two samples in per cent; ``initiator_s`` is the initiator's own time."""
    wall_s, all_s = after.wall_s - before.wall_s, after.all_s - before.all_s
    idle_s, cores = after.idle_s - before.idle_s, os.cpu_count() or 1

    def percent(part: float, whole: float) -> float:
        return round(100 * part / whole, 1) if whole > 0 else 0.0

    return {
        "wall_s": round(wall_s, 3),
        "initiator_python_pct": percent(initiator_s, wall_s),
        "tgtd_pct": percent(after.target_s - before.target_s, wall_s),
        f"{HOST_BUSY}_of_{cores}_cores": percent(all_s - idle_s, all_s),
        "host_softirq_pct": percent(after.soft_irq_s - before.soft_irq_s, all_s),
        "host_steal_pct": percent(after.steal_s - before.steal_s, all_s),
    }
