"""Claims 2, 3 and 4: what a failover by abort or reset does to other initiators and to reservations.

What the recording's targets did goes before; where they did nothing of the kind, replays with a lost link and
a second initiator with the same workload do.
"""

from __future__ import annotations

import json
from collections import Counter

from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.lost_links import (
    CLEARED_TOLD,
    CLEARED_UNTOLD,
    MPIO_LOSS,
    WHERE,
    incident_of,
    suffered_in,
)
from analyzer.comparison.claims.recovery import REACHING_OTHERS, failovers
from analyzer.comparison.claims.trial import Experiment, Trial
from analyzer.comparison.event_details import ToldEvent, told_events
from analyzer.replay.quantities import time_said

TASK_ABORTED = 0x40
CLEARED_BY_ANOTHER = (0x2F, 0x00)
"""COMMANDS CLEARED BY ANOTHER INITIATOR (SPC-4 table E.13)."""


def _initiators(trial: Trial) -> int:
    names = trial.timeline.arrow["sessions"].column("initiator_name").to_pylist()
    return len({name for name in names if name is not None})


def _reaching(trial: Trial) -> list[ToldEvent]:
    told = told_events(trial.timeline, "task-management")
    return [one for one in told if one.text("function") in REACHING_OTHERS]


def _neighbours(trial: Trial) -> int:
    """Incidents in which task management ended commands of another initiator."""
    return sum(text != "[]" for text in trial.timeline.arrow["incidents"].column("neighbours").to_pylist())


def _aborts_others(trial: Trial) -> Judgement:
    found = [one for one in failovers(trial.timeline) if not one.is_mcs]
    if not found:
        return _replayed_aborts_others(trial)
    held = sum(one.held for one in found)
    went_on = sum(one.reassigned + one.retried + one.answered for one in found)
    resets, touched = len(_reaching(trial)), _neighbours(trial)
    others = _initiators(trial) > 1
    second = (
        f"{resets} functions that reach others ended commands of another initiator in {touched} incidents"
        if resets and others
        else "no function that reaches other initiators was used while there was one"
    )
    return Judgement(
        verdict(not went_on and (touched > 0 or not (resets and others))),
        f"Of {held} commands in flight on lost sessions {went_on} went on as they were, the others had to be "
        "issued "
        f"anew; {second}.",
        (
            Number("commands in flight", float(held), "requests"),
            Number("went on as they were", float(went_on), "requests"),
            Number("functions that reach others", float(resets), "requests"),
            Number("incidents that touched others", float(touched), "requests"),
        ),
    )


def _replayed_aborts_others(trial: Trial) -> Judgement:
    lost = incident_of(trial, MPIO_LOSS)
    if lost is None:
        return untried(
            "No session with another beside it to the same target was lost with commands in flight. "
            "Replayed with link 1 lost, none was in flight on it either."
        )
    ended = suffered_in(lost).ended
    again = lost["retried_other_path"]
    if not ended:
        return untried(
            f"{WHERE.capitalize()}no other initiator had commands at the target when it was reset."
        )
    return Judgement(
        verdict(not lost["reassigned"] and again > 0),
        f"Nothing of the kind was recorded; {WHERE}{again} commands had to be sent again, and the LUN RESET "
        f"before that ended {ended} commands of another initiator with the same workload.",
        (
            Number("commands held", float(lost["outstanding"]), "requests"),
            Number("sent again", float(again), "requests"),
            Number("commands of the other initiator ended", float(ended), "requests"),
        ),
    )


def _if_nothing_lost(trial: Trial) -> tuple[Experiment, ...]:
    return () if any(not one.is_mcs for one in failovers(trial.timeline)) else (MPIO_LOSS,)


ABORTS_OTHERS = Claim(
    2,
    "MPIO failover must abort everything on the lost nexus, and CLEAR TASK SET or LUN RESET also aborts "
    "other "
    "initiators' commands.",
    "The lost sessions of initiators with another to the same target, and the task management, as recorded; "
    "without one, a replay in which one dies.",
    "Commands in flight that went on as they were; the claim holds where none did and, if another initiator "
    "was "
    "there when a function was used that reaches others, its commands ended too.",
    "incidents",
    _aborts_others,
    _if_nothing_lost,
)


AT_ONCE_NS = 1_000_000_000
"""Who sends again what was cleared without waiting for a timer is done by then, on any link that works."""


def _told_of_clearing(trial: Trial) -> tuple[int, int, int]:
    """Incidents that touched others, statuses TASK ABORTED, and unit attentions for cleared commands."""
    aborted = int((trial.timeline.values("tasks", "status", 0) == TASK_ABORTED).sum())
    cleared = sum(
        (one.number("asc"), one.number("ascq")) == CLEARED_BY_ANOTHER
        for one in told_events(trial.timeline, "unit-attention")
    )
    return _neighbours(trial), aborted, cleared


def _tells_others(trial: Trial) -> Judgement:
    touched, aborted, cleared = _told_of_clearing(trial)
    if not touched and not aborted and not cleared:
        return _replayed_tells_others(trial)
    return Judgement(
        verdict(bool(aborted or cleared)),
        f"Commands of other initiators were cleared in {touched} incidents; the target told it by {aborted} "
        "TASK "
        f"ABORTED and {cleared} unit attentions COMMANDS CLEARED BY ANOTHER INITIATOR.",
        (
            Number("incidents that touched others", float(touched), "requests"),
            Number("TASK ABORTED", float(aborted), "requests"),
            Number("COMMANDS CLEARED BY ANOTHER INITIATOR", float(cleared), "requests"),
        ),
    )


def _replayed_tells_others(trial: Trial) -> Judgement:
    told, untold = incident_of(trial, CLEARED_TOLD), incident_of(trial, CLEARED_UNTOLD)
    none = "No initiator's commands were cleared by another."
    if told is None or untold is None:
        return untried(none + " Replayed with link 1 lost, no command was in flight on it.")
    with_tas, without = suffered_in(told), suffered_in(untold)
    if not with_tas.ended or not without.ended:
        return untried(f"{none} {WHERE.capitalize()}none was at the target when the task set was cleared.")
    ways = with_tas.ways == ("TASK ABORTED",) and "TASK ABORTED" not in without.ways
    slowest = max(with_tas.longest_ns, without.longest_ns)
    waited = (
        ""
        if without.longest_ns <= AT_ONCE_NS
        else ", because who had nothing left to send met no unit attention and waited for its command timer"
    )
    return Judgement(
        verdict(ways and slowest <= AT_ONCE_NS),
        f"Nothing of the kind was recorded; {WHERE}CLEAR TASK SET ended {with_tas.ended} commands of another "
        f"initiator, told by {_either(with_tas.ways)} with TAS and by {_either(without.ways)} without. Sent "
        f"again, the slowest of its commands took {time_said(with_tas.longest_ns)} with TAS and "
        f"{time_said(without.longest_ns)} without{waited}.",
        (
            Number("commands of the other initiator ended, with TAS", float(with_tas.ended), "requests"),
            Number("the same without TAS", float(without.ended), "requests"),
            Number("its slowest command with TAS", float(with_tas.longest_ns), "ns"),
            Number("its slowest command without TAS", float(without.longest_ns), "ns"),
        ),
    )


def _either(ways: tuple[str, ...]) -> str:
    return " or ".join(ways) or "nothing"


def _if_none_cleared(trial: Trial) -> tuple[Experiment, ...]:
    return () if any(_told_of_clearing(trial)) else (CLEARED_TOLD, CLEARED_UNTOLD)


TELLS_OTHERS = Claim(
    3,
    "With TAS they get TASK ABORTED, without it the unit attention COMMANDS CLEARED BY ANOTHER INITIATOR, "
    "and can "
    "retry at once.",
    "Statuses and unit attentions after commands were cleared, as recorded; without any, replays of a CLEAR "
    "TASK SET with and without TAS.",
    "The claim holds where cleared commands were told by either, and in a replay where the other initiator "
    f"had all of them done within {AT_ONCE_NS / 1e9:g} s.",
    "incidents",
    _tells_others,
    _if_none_cleared,
)


def _resets(trial: Trial) -> list[ToldEvent]:
    return [
        one
        for one in told_events(trial.timeline, "task-management")
        if one.text("function") == "LOGICAL UNIT RESET" and one.number("response_code") == 0
    ]


def _reserved(trial: Trial) -> list[ToldEvent]:
    """The moments from which on a reservation was held."""
    return [
        one
        for one in told_events(trial.timeline, "reservation")
        if one.number("holder_session_index") is not None
    ]


def _kind(one: ToldEvent) -> str:
    return "persistent" if one.text("service_action") else "simple"


def _reset_clears(trial: Trial) -> Judgement:
    resets, reserved = _resets(trial), _reserved(trial)
    if not resets:
        return _replayed_reset_clears(trial)
    conflicts = list(told_events(trial.timeline, "reservation-conflict"))
    survived = {"simple": 0, "persistent": 0}
    tried = {"simple": 0, "persistent": 0}
    for reset in resets:
        lun = reset.number("lun")
        before = [one for one in reserved if one.at_ns < reset.at_ns and one.number("lun") == lun]
        if before:
            kind = _kind(before[-1])
            tried[kind] += 1
            survived[kind] += any(one.at_ns > reset.at_ns and one.number("lun") == lun for one in conflicts)
    numbers = (
        Number("logical unit resets", float(len(resets)), "requests"),
        Number("with RESERVE held", float(tried["simple"]), "requests"),
        Number("with a Persistent Reservation held", float(tried["persistent"]), "requests"),
    )
    if not any(tried.values()):
        return untried(
            f"{len(resets)} logical unit resets, but no reservation was held at any of them.", *numbers
        )
    return Judgement(
        verdict(not survived["simple"] and survived["persistent"] == tried["persistent"]),
        f"Of {tried['simple']} reservations by RESERVE {survived['simple']} still stood after a reset, of "
        f"{tried['persistent']} persistent ones {survived['persistent']} did, as conflicts show.",
        numbers,
    )


def _replayed_reset_clears(trial: Trial) -> Judgement:
    lost = incident_of(trial, MPIO_LOSS)
    if lost is None:
        return untried("No logical unit was reset. Replayed with link 1 lost, nothing had to be.")
    steps = [step["what"] for step in json.loads(lost["steps"])]
    settings = steps.count("mode-pages")
    units = f"{settings} logical unit{'' if settings == 1 else 's'}"
    held = Counter(_kind(one) for one in _reserved(trial))
    numbers = (
        Number("logical units whose settings were reset", float(settings), "requests"),
        Number("reservations by RESERVE in the recording", float(held["simple"]), "requests"),
        Number("Persistent Reservations in the recording", float(held["persistent"]), "requests"),
    )
    if not held:
        return untried(
            f"No logical unit was reset, and no reservation held; {WHERE}the LUN RESET put the mode pages of "
            f"{units} back to their saved values, and would have cleared a RESERVE.",
            *numbers,
        )
    return Judgement(
        verdict(lost["reservation"] == "cleared" and settings > 0),
        f"No logical unit was reset; {WHERE}by SPC's rules the LUN RESET clears the {held['simple']} "
        f"reservations by RESERVE that the recording holds, keeps its {held['persistent']} persistent ones, "
        f"and puts the mode pages of {units} back to their saved values.",
        numbers,
    )


def _if_none_reset(trial: Trial) -> tuple[Experiment, ...]:
    return () if _resets(trial) else (MPIO_LOSS,)


RESET_CLEARS = Claim(
    4,
    "LUN RESET clears RESERVE and settings; Persistent Reservations survive.",
    "Reservations before, and conflicts after, each completed LOGICAL UNIT RESET, as recorded; without one, "
    "a replay of it.",
    "The claim holds where no conflict shows a RESERVE after the reset, and one shows every Persistent "
    "Reservation; in a replay where the recording holds reservations and the rules of SPC say so.",
    "events",
    _reset_clears,
    _if_none_reset,
)
