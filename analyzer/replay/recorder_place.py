"""Where on each link the capture was taken, and how the round trip divides at that place.

What passes the recorder towards the target is acknowledged from there; the time between is the round trip of
that side, with what the host takes for it. The handshake shows both sides (SYN to SYN-ACK, SYN-ACK to ACK),
so do data and acknowledgements. The recorder stood at the host whose side takes next to nothing. Decides
the place and its confidence; how long commands were served is worked out in ``service_times.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.tables.folder import Timeline

Int64s = npt.NDArray[np.int64]

AT_A_HOST = 0.2
"""A side that takes at most this share of the round trip is what the host itself takes."""
CLEARLY_AT_A_HOST = 0.1
HOSTS_ALONE_NS = 100_000
"""So much two hosts take of themselves; of a shorter round trip the shares tell little, and move little."""
AGREEING = 0.1


class Place(StrEnum):
    """Where a recorder can be."""

    INITIATOR = "initiator"
    BETWEEN = "between"
    TARGET = "target"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Columns of shape (links,), in ns; 0 where not seen. The whole is the sum where both sides were seen."""

    rtt_ns: Int64s
    target_side_ns: Int64s
    initiator_side_ns: Int64s
    values: tuple[CalibratedValue, ...]


@dataclass(frozen=True, slots=True)
class _Sides:
    """What the connections of one link showed, each of shape (connections of it,); 0 where not seen."""

    target_ns: Int64s
    initiator_ns: Int64s
    whole_ns: Int64s

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """The initiator's share of the round trip, of the connections that showed both sides."""
        both = (self.target_ns > 0) & (self.initiator_ns > 0)
        shares: npt.NDArray[np.float64] = self.initiator_ns[both] / (self.target_ns + self.initiator_ns)[both]
        return shares


def round_trips(
    timeline: Timeline, link_of_connection: npt.NDArray[np.int32], names: tuple[str, ...]
) -> RoundTrips:
    """The smallest round trips of the links ``names``, divided at the recorder."""
    whole, target, initiator = (
        timeline.values("connections", name, 0).astype(np.int64)
        for name in ("rtt_ns_min", "target_side_rtt_ns_min", "initiator_side_rtt_ns_min")
    )
    found = np.zeros((3, len(names)), np.int64)
    values: list[CalibratedValue] = []
    for link, name in enumerate(names):
        mine = link_of_connection == link
        sides = _Sides(target[mine], initiator[mine], whole[mine])
        found[:, link] = _divided(sides)
        values += _values(name, sides, *(int(one) for one in found[:, link]))
    return RoundTrips(found[0], found[1], found[2], tuple(values))


def _divided(sides: _Sides) -> tuple[int, int, int]:
    """Round trip, target's side and initiator's side: where no side was seen, all is the target's."""
    whole, target, initiator = (
        int(one[one > 0].min(initial=np.iinfo(np.int64).max)) if (one > 0).any() else 0
        for one in (sides.whole_ns, sides.target_ns, sides.initiator_ns)
    )
    if target and initiator:
        return target + initiator, target, initiator
    if initiator:
        return max(whole, initiator), max(whole - initiator, 0), initiator
    return max(whole, target), max(whole, target), 0


def _values(name: str, sides: _Sides, rtt: int, target: int, initiator: int) -> list[CalibratedValue]:
    place, rests_on, confidence = _place(sides, rtt, target, initiator)
    seen = len(sides.shares) > 0
    whole = sides.whole_ns[sides.whole_ns > 0]
    most = float(max(rtt, whole.max(initial=0)))
    of_tcp = "smallest seen of TCP, from SYN to ACK or from data to acknowledgement"
    return [
        CalibratedValue(
            f"round trip, {name}",
            rtt,
            "ns",
            f"{of_tcp}; halved for each way" if rtt else "assumed: no round trip was seen",
            Confidence.HIGH if seen else Confidence.LOW,
            float(rtt) if rtt else None,
            most if rtt else None,
            "links.delay",
        ),
        CalibratedValue(f"recorded at, {name}", str(place), "", rests_on, confidence),
        *(
            CalibratedValue(
                f"round trip between recorder and {side}, {name}",
                time,
                "ns",
                of_tcp if time and seen else "assumed: this side showed no acknowledgement",
                Confidence.HIGH if time and seen else Confidence.LOW,
                # An acknowledgement takes the host some time, all of it at most.
                0.0,
                float(time),
            )
            for side, time in (("target", target), ("initiator", initiator))
        ),
    ]


def _place(sides: _Sides, rtt: int, target: int, initiator: int) -> tuple[Place, str, Confidence]:
    """The place with what it rests on and its confidence."""
    if not (target and initiator):
        return Place.UNKNOWN, "not both sides showed an acknowledgement", Confidence.LOW
    share = initiator / rtt
    rests_on = (
        f"of {_time(rtt)} round trip {_time(initiator)} pass towards the initiator, {_time(target)} towards "
        "the target"
    )
    if rtt < HOSTS_ALONE_NS:
        nearer = Place.INITIATOR if share < 0.5 else Place.TARGET
        rests_on += "; hosts alone take so long, so this is no more than the nearer side, and moves no time"
        return nearer, rests_on, Confidence.LOW
    near = min(share, 1 - share)
    agree = bool(np.abs(sides.shares - share).max() <= AGREEING)
    if near > AT_A_HOST:
        return Place.BETWEEN, rests_on, Confidence.MEDIUM if agree else Confidence.LOW
    confidence = Confidence.HIGH if near <= CLEARLY_AT_A_HOST and agree else Confidence.MEDIUM
    return Place.INITIATOR if share < 0.5 else Place.TARGET, rests_on, confidence


def _time(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3g} ms" if nanoseconds >= 10**6 else f"{nanoseconds / 1e3:.3g} us"
