"""What might have been otherwise in another run of the recorded workload, drawn anew from the calibration.

A repeat draws service times (with the waits before R2Ts), think times, and the rate, delay and bucket of the
links. Decides from what each is drawn; runs nothing. Draw number n of a seed is the same for every
scenario, so that scenarios can be compared pair by pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.recorded_links import RecordedLinks
from analyzer.replay.state import NONE
from analyzer.replay.workload import Workload

Int64s = npt.NDArray[np.int64]

LOWEST_RATE_BPS = 1000


@dataclass(frozen=True, slots=True)
class Strata:
    """n rows in order of time, in groups within which rows may stand for each other.

    ``group`` (n,) numbers the group of each row; ``places`` (n,) lists the rows group by group, in order, as
    ``group * n + row``.
    """

    group: Int64s
    places: Int64s

    def at(self, moments: Int64s) -> Int64s:
        """For each row the first row of its group at or behind a moment (the number of a row), shape (n,).

        Behind the last of the group comes its first again.
        """
        count = len(self.group)
        found = np.searchsorted(self.places, self.group * count + moments)
        is_of_group = (found < count) & (self.places[np.minimum(found, count - 1)] // count == self.group)
        first = np.searchsorted(self.places, self.group * count)
        chosen: Int64s = self.places[np.where(is_of_group, found, first)] % count
        return chosen


def strata_of(groups: Int64s) -> Strata:
    """Strata of rows in order of time by any number of their group, shape (n,)."""
    group = np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return Strata(group, np.sort(group * len(group) + np.arange(len(group))))


def drawn_moments(count: int, random: np.random.Generator) -> Int64s:
    """For each of ``count`` rows in order of time the row at whose moment it happens, shape (count,).

    The stationary bootstrap: blocks of rows that followed each other, of random length with the cube root of
    ``count`` as mean, so that what befell all commands for a while still does (Politis and Romano, The
    Stationary Bootstrap, 1994).
    """
    place = np.arange(count)
    begins_block = random.random(count) < 1 / np.cbrt(count)
    begins_block[:1] = True
    block = np.maximum.accumulate(np.where(begins_block, place, 0))
    first = random.integers(0, count, count)[block]
    moments: Int64s = (first + place - block) % count
    return moments


@dataclass(frozen=True, slots=True)
class Draws:
    """From what the repeats of one calibrated recording draw."""

    workload: Workload
    recorded: RecordedLinks
    services: Strata
    thinks: Strata

    def drawn(self, seed: int, number: int) -> tuple[Workload, RecordedLinks]:
        """Workload and links of repeat ``number`` (from 1): a function of the seed and the number."""
        random = np.random.default_rng([seed, number])
        moments = drawn_moments(len(self.workload), random)
        served, thought = self.services.at(moments), self.thinks.at(moments)
        pacing = replace(self.workload.pacing, think_ns=self.workload.pacing.think_ns[thought])
        workload = replace(
            self.workload,
            service_ns=self.workload.service_ns[served],
            grant_ns=self.workload.grant_ns[served],
            turnaround_ns=self.workload.turnaround_ns[served],
            pacing=pacing,
        )
        return workload, _drawn_links(self.recorded, random)

    def seed_of(self, seed: int, number: int) -> int:
        """The seed of the engine's own chance in repeat ``number``."""
        return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]) >> 1

    def digest(self, seed: int) -> str:
        """A name of all draws of a seed: outcomes with the same one can be compared pair by pair."""
        found = hashlib.sha256(str(seed).encode())
        workload, links = self.workload, self.recorded
        for column in (workload.task, workload.service_ns, workload.pacing.think_ns):
            found.update(np.ascontiguousarray(column).tobytes())
        for value in links.values:
            found.update(repr((value.name, value.value, value.low, value.high)).encode())
        return found.hexdigest()[:16]


def draws_of(workload: Workload, recorded: RecordedLinks, kinds: Int64s) -> Draws:
    """What repeats of a workload draw from; ``kinds`` numbers what each task asks of its target, (tasks,).

    A request is served as another of its kind on the same logical unit was. It follows its predecessor as
    another of its stream did whose think time had the same power of two: a pause stays a pause.
    """
    kind = np.unique(kinds[workload.task], return_inverse=True)[1].reshape(-1)
    services = strata_of(kind * workload.devices + workload.device)
    power = np.log2(np.maximum(workload.pacing.think_ns, 0) + 1).astype(np.int64)
    is_linked = workload.pacing.predecessor != NONE
    stream = 64 * workload.lun_index.astype(np.int64) + power
    # What followed nothing has no think time: each stands for itself.
    thinks = strata_of(np.where(is_linked, stream, -1 - np.arange(len(workload))))
    return Draws(workload, recorded, services, thinks)


def _drawn_links(recorded: RecordedLinks, random: np.random.Generator) -> RecordedLinks:
    """The links with what calibration gives bounds for drawn between them, as often below the value as above.

    Both directions of a link go up or down together, as far as their own bounds let them.
    """
    known = {value.name: value for value in recorded.values}
    to, back = recorded.rate_to_target_bps.copy(), recorded.rate_from_target_bps.copy()
    rtt, bucket = recorded.rtt_ns.copy(), recorded.bucket_bytes.copy()
    for link, name in enumerate(recorded.names):
        shares = random.random(3)
        for column, label, share in (
            (to, "rate to target", shares[0]),
            (back, "rate from target", shares[0]),
            (rtt, "round trip", shares[1]),
            (bucket, "token bucket", shares[2]),
        ):
            column[link] = _between(known.get(f"{label}, {name}"), int(column[link]), float(share))
    return replace(
        recorded, rate_to_target_bps=to, rate_from_target_bps=back, rtt_ns=rtt, bucket_bytes=bucket
    )


def _between(known: CalibratedValue | None, value: int, share: float) -> int:
    """Between the bounds of a value, itself at half the way; as it is where it is 0 or lacks a bound.

    Evenly on each side of it, for what is calibrated is the likeliest, and a bound may be far on one side.
    """
    if known is None or known.low is None or known.high is None or value == 0:
        return value
    low, high = min(known.low, value), max(known.high, value)
    least = min(value, LOWEST_RATE_BPS) if known.unit == "bit/s" else 1
    drawn = low + 2 * share * (value - low) if share < 0.5 else value + (2 * share - 1) * (high - value)
    return max(least, round(drawn))
