"""Bounds on the clocks of several files by cause and effect in TCP: what follows from sightings.

Decides which segments and packets are cause and effect, whatever the clocks say, and how many pairs
make a bound. What the bounds mean together is decided in ``timeline.clock_offsets``. Rule: nothing is
acknowledged that was not sent (RFC 9293 section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.network.sightings import ACKNOWLEDGED, PACKET_FROM_SIDE_0, PACKET_FROM_SIDE_1, SENT

Int64s = npt.NDArray[np.int64]

WITNESSES = 3
"""So many pairs must bear a bound out: a cause recorded only when it was sent again makes a false one."""


@dataclass(frozen=True, slots=True)
class ClockBound:
    """So much time at most may be added to file ``cause`` beyond what is added to file ``effect``.

    It is the time from cause to effect as the two clocks have it, of the closest pair that is borne out.
    """

    cause: int
    effect: int
    limit_ns: int
    pairs: int
    what: str


def bounds_of(
    cause: int, effect: int, elapsed_ns: Int64s, what: str, witnesses: int = WITNESSES
) -> list[ClockBound]:
    """The bound of pairs of one kind, none where these are too few or of one file.

    ``elapsed_ns``, shape (n,), is the time of the effect less that of the cause.
    """
    if cause == effect or len(elapsed_ns) < witnesses:
        return []
    limit_ns = int(np.partition(elapsed_ns, witnesses - 1)[witnesses - 1])
    return [ClockBound(cause, effect, limit_ns, len(elapsed_ns), what)]


def bounds_of_sightings(rows: npt.NDArray[np.void]) -> list[ClockBound]:
    """All bounds between any two files; ``rows`` are the first sightings (``network.sightings``)."""
    return _bounds_of_acknowledgements(rows) + _bounds_of_packets(rows)


def _bounds_of_acknowledgements(rows: npt.NDArray[np.void]) -> list[ClockBound]:
    """TCP acknowledges nothing before it was sent."""
    found: list[ClockBound] = []
    sent, acknowledged = rows[rows["kind"] == SENT], rows[rows["kind"] == ACKNOWLEDGED]
    for cause in np.unique(sent["file_index"]).tolist():
        for effect in np.unique(acknowledged["file_index"]).tolist():
            causes = sent[sent["file_index"] == cause]
            effects = acknowledged[acknowledged["file_index"] == effect]
            _, left, right = np.intersect1d(causes["key"], effects["key"], True, return_indices=True)
            elapsed_ns = effects["time_ns"][right] - causes["time_ns"][left]
            found += bounds_of(cause, effect, elapsed_ns, "TCP acknowledgements")
    return found


def _bounds_of_packets(rows: npt.NDArray[np.void]) -> list[ClockBound]:
    """One packet in two files passed the recorder nearer to its sender first.

    Which that is follows from both directions together: what passes between the two recorders takes
    time, so the difference of the clocks lies between what the one direction and what the other says.
    """
    found: list[ClockBound] = []
    ways = [rows[rows["kind"] == kind] for kind in (PACKET_FROM_SIDE_0, PACKET_FROM_SIDE_1)]
    files = np.unique(np.concatenate([way["file_index"] for way in ways])).tolist()
    for one in files:
        for other in [number for number in files if number > one]:
            elapsed = []
            for way in ways:
                here, there = way[way["file_index"] == one], way[way["file_index"] == other]
                _, left, right = np.intersect1d(here["key"], there["key"], True, return_indices=True)
                elapsed.append(there["time_ns"][right] - here["time_ns"][left])
            if min(map(len, elapsed)) < WITNESSES:
                continue
            towards, back = elapsed if np.median(elapsed[0]) >= np.median(elapsed[1]) else elapsed[::-1]
            found += bounds_of(one, other, towards, "packets recorded in both")
            found += bounds_of(other, one, -back, "packets recorded in both")
    return found
