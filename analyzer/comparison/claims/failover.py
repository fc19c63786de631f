"""Claims 1, 5, 6 and 13: how MC/S and MPIO come through a lost connection, as the recording shows it.

Nothing is replayed: a recording without a lost connection cannot support these claims.
"""

from __future__ import annotations

import numpy as np

from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.recovery import ABORTING, Failover, failovers
from analyzer.comparison.claims.trial import Trial

FEW_SECONDS_NS = 5_000_000_000
FRACTION_NS = 1_000_000_000
WITHOUT_PLACE_SHARE = 0.5
"""A workload is like that of a tape where so many of its data commands name no block."""
_NO_MCS = "No connection of a session with several was lost with commands in flight."
_NO_MPIO = "No session with another beside it to the same target was lost with commands in flight."


def _of(trial: Trial, *, is_mcs: bool) -> list[Failover]:
    return [one for one in failovers(trial.timeline) if one.is_mcs == is_mcs]


def _total(found: list[Failover], name: str) -> int:
    return sum(getattr(one, name) for one in found)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.3g} s" if nanoseconds >= 1e9 else f"{nanoseconds / 1e6:.3g} ms"


def _reassigns(trial: Trial) -> Judgement:
    found = _of(trial, is_mcs=True)
    if not found:
        return untried(_NO_MCS)
    held, answered = _total(found, "held"), _total(found, "answered")
    moved, kept = (
        _total(found, "reassigned") + _total(found, "retried"),
        sum(one.is_session_kept for one in found),
    )
    again, neighbours = _total(found, "reissued"), _total(found, "neighbours")
    gone = _total(found, "lost") + _total(found, "aborted")
    return Judgement(
        verdict(kept == len(found) and not again and not gone and not neighbours),
        f"{len(found)} lost with {held} commands in flight: {moved} were reassigned or sent again as they "
        "were, "
        f"{again} issued anew, {answered} answered after all, {gone} ended for good. The session was kept in "
        f"{kept} "
        f"of {len(found)}, and commands of {neighbours or 'no'} other sessions were ended.",
        (
            Number("connections lost", float(len(found)), "requests"),
            Number("commands in flight", float(held), "requests"),
            Number("reassigned as they were", float(_total(found, "reassigned")), "requests"),
            Number("sent again under their CmdSN", float(_total(found, "retried")), "requests"),
            Number("issued anew", float(again), "requests"),
            Number("sessions kept", float(kept), "requests"),
        ),
    )


REASSIGNS_ALL = Claim(
    1,
    "MC/S failover reassigns all outstanding commands, keeps session, reservations and other initiators "
    "untouched.",
    "The lost connections of sessions with several, as recorded.",
    "What became of the commands in flight; the claim holds where all went on as they were in the same "
    "session and no other session lost any.",
    "incidents",
    _reassigns,
)


def _extra_time(trial: Trial) -> Judgement:
    found = [one for one in _of(trial, is_mcs=False) if one.extra_ns is not None]
    if not found:
        return untried(_NO_MPIO)
    worst = max(found, key=lambda one: one.extra_ns or 0)
    extra = worst.extra_ns or 0
    detection, timer = worst.detection_ns or 0, worst.timer_ns or 0
    return Judgement(
        verdict(extra <= FEW_SECONDS_NS),
        "From when the commands could go on to the completion of the last, abort and retry took "
        f"{_seconds(extra)} at "
        f"most; before that, noticing the loss took {_seconds(detection)} and a timer held them for "
        f"{_seconds(timer)}.",
        (
            Number("abort and retry", float(extra), "ns"),
            Number("detection", worst.detection_ns, "ns"),
            Number("held by a timer", worst.timer_ns, "ns"),
            Number("slowest held command", worst.stall_ns, "ns"),
        ),
    )


EXTRA_TIME = Claim(
    5,
    "The extra MPIO failover time is that of abort or reset plus retry: a few seconds at most when set up "
    "well.",
    "The lost sessions of initiators with another to the same target, as recorded.",
    "Time from when commands could go on (loss known, timer over) to the last completion; the claim holds "
    "up to "
    f"{FEW_SECONDS_NS / 1e9:g} s.",
    "incidents",
    _extra_time,
)


def _fraction(trial: Trial) -> Judgement:
    found = [
        one
        for one in _of(trial, is_mcs=False)
        if one.extra_ns is not None and any(name in ABORTING for name in one.functions)
    ]
    if not found:
        return untried(
            "No session was lost beside another whose initiator then aborted by task management what it had "
            "sent."
        )
    worst = max(found, key=lambda one: one.extra_ns or 0)
    extra = worst.extra_ns or 0
    return Judgement(
        verdict(extra < FRACTION_NS),
        f"With {', '.join(sorted(set(worst.functions)))} the commands had all completed {_seconds(extra)} "
        "after the "
        "loss was known.",
        (Number("abort and retry", float(extra), "ns"), Number("slowest held command", worst.stall_ns, "ns")),
    )


FRACTION = Claim(
    6,
    "With the ability to abort all submitted commands it falls to a fraction of a second.",
    "The lost sessions of initiators with another to the same target that used task management, as recorded.",
    f"The same time; the claim holds below {FRACTION_NS / 1e9:g} s.",
    "incidents",
    _fraction,
)


def _not_retryable(trial: Trial) -> Judgement:
    lba_missing = trial.timeline.is_null("tasks", "lba")[trial.is_data]
    share = float(np.mean(lba_missing)) if len(lba_missing) else 0.0
    named = Number("data commands that name no block", 100 * share, "%")
    if share < WITHOUT_PLACE_SHARE:
        return untried(
            f"Its commands can be retried: {100 * (1 - share):.0f} % of the data commands name their blocks.",
            named,
        )
    mcs, mpio = _of(trial, is_mcs=True), _of(trial, is_mcs=False)
    if not mcs and not mpio:
        return untried("No connection was lost with commands in flight.", named)
    gone_mcs = _total(mcs, "lost") + _total(mcs, "aborted") + _total(mcs, "reissued")
    gone_mpio = _total(mpio, "lost") + _total(mpio, "aborted") + _total(mpio, "reissued")
    return Judgement(
        verdict(not gone_mcs and (not mpio or gone_mpio > 0)),
        f"Of {_total(mcs, 'held')} commands in flight under MC/S {gone_mcs} were not carried on as they "
        "were, of "
        f"{_total(mpio, 'held')} under MPIO {gone_mpio}.",
        (
            named,
            Number("not carried on under MC/S", float(gone_mcs), "requests"),
            Number("not carried on under MPIO", float(gone_mpio), "requests"),
        ),
    )


NOT_RETRYABLE = Claim(
    13,
    "Where aborted commands cannot be retried, MPIO fails and MC/S survives.",
    "The lost connections of a workload whose commands depend on their place in a sequence (tape), as "
    "recorded.",
    "Commands that did not go on as they were; the claim holds where MC/S has none and MPIO some.",
    "incidents",
    _not_retryable,
)
