"""Claims 1, 5, 6 and 13: how MC/S and MPIO come through a lost connection.

What was recorded goes before; where nothing of the kind was, the claims are tried in replays in which a link
dies, with every command accounted for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.lost_links import (
    MCS_LOSS,
    MCS_SILENCE,
    MPIO_LOSS,
    MPIO_SILENCE,
    WHERE,
    incident_of,
)
from analyzer.comparison.claims.recovery import ABORTING, Failover, failovers
from analyzer.comparison.claims.trial import Experiment, Trial
from analyzer.replay.quantities import time_said

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


def _commands(number: int) -> str:
    return f"{number} command{'' if number == 1 else 's'}"


def _reassigns(trial: Trial) -> Judgement:
    found = _of(trial, is_mcs=True)
    if not found:
        return _replayed_reassigns(trial)
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


def _replayed_reassigns(trial: Trial) -> Judgement:
    lost = incident_of(trial, MCS_LOSS)
    if lost is None:
        return untried(_NO_MCS + " Replayed with link 1 lost, none was in flight on it either.")
    went_on = lost["reassigned"] + lost["retried_other_path"]
    is_kept = lost["reservation"] == "kept" and lost["neighbours"] == "[]"
    return Judgement(
        verdict(is_kept and not lost["failed"] and went_on > 0),
        f"Nothing of the kind was recorded; {WHERE}of {lost['outstanding']} commands that it held "
        f"{lost['reassigned']} were reassigned, {lost['retried_other_path']} that had not arrived were sent "
        f"under their CmdSN on the other connection, and {lost['failed']} failed; session and reservation "
        f"were {lost['reservation']}, and the slowest took {time_said(lost['stall_ns'])}.",
        (
            Number("commands held", float(lost["outstanding"]), "requests"),
            Number("reassigned as they were", float(lost["reassigned"]), "requests"),
            Number("sent again under their CmdSN", float(lost["retried_other_path"]), "requests"),
            Number("slowest held command", float(lost["stall_ns"]), "ns"),
        ),
    )


def _if_not_recorded(experiment: Experiment, *, is_mcs: bool) -> Callable[[Trial], tuple[Experiment, ...]]:
    """The replay that is needed where no such connection was lost in the recording."""
    return lambda trial: () if _of(trial, is_mcs=is_mcs) else (experiment,)


REASSIGNS_ALL = Claim(
    1,
    "MC/S failover reassigns all outstanding commands, keeps session, reservations and other initiators "
    "untouched.",
    "The lost connections of sessions with several, as recorded; without one, a replay in which one dies.",
    "What became of the commands in flight; the claim holds where all went on as they were in the same "
    "session and no other session lost any.",
    "incidents",
    _reassigns,
    _if_not_recorded(MCS_LOSS, is_mcs=True),
)


def _extra_time(trial: Trial) -> Judgement:
    found = [one for one in _of(trial, is_mcs=False) if one.extra_ns is not None]
    if not found:
        return _replayed_extra_time(trial)
    worst = max(found, key=lambda one: one.extra_ns or 0)
    extra = worst.extra_ns or 0
    detection, timer = worst.detection_ns or 0, worst.timer_ns or 0
    return Judgement(
        verdict(extra <= FEW_SECONDS_NS),
        "From when the commands could go on to the completion of the last, abort and retry took "
        f"{time_said(extra)} at "
        f"most; before that, noticing the loss took {time_said(detection)} and a timer held them for "
        f"{time_said(timer)}.",
        (
            Number("abort and retry", float(extra), "ns"),
            Number("detection", worst.detection_ns, "ns"),
            Number("held by a timer", worst.timer_ns, "ns"),
            Number("slowest held command", worst.stall_ns, "ns"),
        ),
    )


def _replayed_extra_time(trial: Trial) -> Judgement:
    lost = incident_of(trial, MPIO_SILENCE)
    if lost is None or lost["last_completion_ns"] is None or lost["hold_to_ns"] is None:
        return untried(_NO_MPIO + " Replayed with link 1 lost, none was in flight on it either.")
    extra = max(0, lost["last_completion_ns"] - lost["hold_to_ns"])
    detection = lost["detected_ns"] - lost["failed_ns"]
    held = lost["hold_to_ns"] - lost["hold_from_ns"]
    return Judgement(
        verdict(extra <= FEW_SECONDS_NS),
        f"Nothing of the kind was recorded; {WHERE}LUN RESET and retry took {time_said(extra)}; before that, "
        f"noticing the loss took {time_said(detection)} and the recovery timer held the commands for "
        f"{time_said(held)}.",
        (
            Number("abort and retry", float(extra), "ns"),
            Number("detection", float(detection), "ns"),
            Number("held by a timer", float(held), "ns"),
            Number("slowest held command", float(lost["stall_ns"]), "ns"),
        ),
    )


EXTRA_TIME = Claim(
    5,
    "The extra MPIO failover time is that of abort or reset plus retry: a few seconds at most when set up "
    "well.",
    "The lost sessions of initiators with another to the same target, as recorded; without one, a replay.",
    "Time from when commands could go on (loss known, timer over) to the last completion; the claim holds "
    "up to "
    f"{FEW_SECONDS_NS / 1e9:g} s.",
    "incidents",
    _extra_time,
    _if_not_recorded(MPIO_SILENCE, is_mcs=False),
)


def _aborting(trial: Trial) -> list[Failover]:
    return [
        one
        for one in _of(trial, is_mcs=False)
        if one.extra_ns is not None and any(name in ABORTING for name in one.functions)
    ]


def _fraction(trial: Trial) -> Judgement:
    found = _aborting(trial)
    if not found:
        return _replayed_fraction(trial)
    worst = max(found, key=lambda one: one.extra_ns or 0)
    extra = worst.extra_ns or 0
    return Judgement(
        verdict(extra < FRACTION_NS),
        f"With {', '.join(sorted(set(worst.functions)))} the commands had all completed {time_said(extra)} "
        "after the "
        "loss was known.",
        (Number("abort and retry", float(extra), "ns"), Number("slowest held command", worst.stall_ns, "ns")),
    )


def _replayed_fraction(trial: Trial) -> Judgement:
    none = (
        "No session was lost beside another whose initiator then aborted by task management what it had sent."
    )
    lost = incident_of(trial, MPIO_LOSS)
    if lost is None or lost["last_completion_ns"] is None or not lost["retried_other_path"]:
        return untried(none + " Replayed with link 1 lost, no command had to be sent again.")
    extra = max(0, lost["last_completion_ns"] - lost["detected_ns"])
    return Judgement(
        verdict(extra < FRACTION_NS),
        f"Nothing of the kind was recorded; {WHERE}noticed at once, one LUN RESET aborted what was at the "
        f"target, {_commands(lost['retried_other_path'])} went to the other path, and all had completed "
        f"{time_said(extra)} after the loss was known.",
        (
            Number("abort and retry", float(extra), "ns"),
            Number("commands sent again", float(lost["retried_other_path"]), "requests"),
            Number("slowest held command", float(lost["stall_ns"]), "ns"),
        ),
    )


FRACTION = Claim(
    6,
    "With the ability to abort all submitted commands it falls to a fraction of a second.",
    "The lost sessions of initiators with another to the same target that used task management, as recorded; "
    "without one, a replay with a LUN RESET.",
    f"The same time; the claim holds below {FRACTION_NS / 1e9:g} s.",
    "incidents",
    _fraction,
    lambda trial: () if _aborting(trial) else (MPIO_LOSS,),
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
        return _replayed_not_retryable(trial, named)
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


def _replayed_not_retryable(trial: Trial, named: Number) -> Judgement:
    mcs, mpio = incident_of(trial, MCS_SILENCE), incident_of(trial, MPIO_SILENCE)
    if mcs is None or mpio is None:
        return untried("No connection was lost with commands in flight, nor was one when replayed.", named)
    return Judgement(
        verdict(not mcs["failed"] and mpio["failed"] > 0),
        f"Nothing of the kind was recorded; {WHERE}{mpio['failed']} of {_commands(mpio['outstanding'])} held "
        f"under MPIO failed, since they may not be sent again, and {mcs['failed']} of {mcs['outstanding']} "
        "under MC/S.",
        (
            named,
            Number("failed under MC/S", float(mcs["failed"]), "requests"),
            Number("failed under MPIO", float(mpio["failed"]), "requests"),
        ),
    )


def _without_retry(trial: Trial) -> tuple[Experiment, ...]:
    """The replays of a workload that cannot be retried, where no loss of any kind was recorded."""
    missing = trial.timeline.is_null("tasks", "lba")[trial.is_data]
    is_tape = len(missing) > 0 and float(np.mean(missing)) >= WITHOUT_PLACE_SHARE
    return (MCS_SILENCE, MPIO_SILENCE) if is_tape and not failovers(trial.timeline) else ()


NOT_RETRYABLE = Claim(
    13,
    "Where aborted commands cannot be retried, MPIO fails and MC/S survives.",
    "The lost connections of a workload whose commands depend on their place in a sequence (tape), as "
    "recorded; without one, replays in which a link dies.",
    "Commands that did not go on as they were; the claim holds where MC/S has none and MPIO some.",
    "incidents",
    _not_retryable,
    _without_retry,
)
