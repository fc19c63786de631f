"""Claims 8, 10 and 12: who keeps the order of commands, and what keeping it costs.

Order is that of one initiator towards one logical unit. MC/S keeps it by CmdSN at the target;
sessions have no order among each other (RFC 7143 section 4.2.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.comparison.baseline import signed_percent
from analyzer.comparison.claims.delivery import overtaken, path_shares
from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.trial import LIKE_PERCENT, MCS, MPIO, SINGLE, Experiment, Trial

USED_SHARE = 0.2
"""A link that carried so much of the work was used."""
_TOO_GENTLE = (
    "Nothing was overtaken under MPIO either: this workload does not put two commands for one logical unit "
    "under way closely enough to tell the two apart."
)


@dataclass(frozen=True, slots=True)
class Orders:
    """Commands overtaken under MC/S and MPIO, and those that a recorded MC/S target held back for order."""

    mcs: int
    mpio: int
    total: int
    held: int
    numbers: tuple[Number, ...]

    @property
    def is_tried(self) -> bool:
        """Whether anything would have been overtaken without a common order."""
        return bool(self.mcs or self.mpio or self.held)

    @property
    def recorded(self) -> str:
        """What the recording itself shows, as a sentence with a space before it, or nothing."""
        if not self.held:
            return ""
        return (
            f" In the recording the target held {self.held:,} back for lower CmdSNs, which sessions with "
            "orders of their own would have let through."
        )


def _orders(trial: Trial) -> Orders:
    mcs, mpio = trial.delivered(MCS), trial.delivered(MPIO)
    late_mcs, late_mpio = overtaken(mcs), overtaken(mpio)
    held = int((trial.timeline.values("tasks", "order_wait_ns") > 0).sum())
    numbers = (
        Number("commands", float(len(mcs.task)), "requests"),
        Number(f"overtaken, {MCS}", float(late_mcs), "requests"),
        Number(f"overtaken, {MPIO}", float(late_mpio), "requests"),
        Number("held back for lower CmdSNs in the recording", float(held), "requests"),
    )
    return Orders(late_mcs, late_mpio, len(mcs.task), held, numbers)


def _both(_: Trial) -> tuple[Experiment, ...]:
    return Experiment(MCS), Experiment(MPIO)


def _both_and_one_link(_: Trial) -> tuple[Experiment, ...]:
    return Experiment(MCS), Experiment(MPIO), Experiment(SINGLE)


def _many(number: int) -> str:
    return f"{number:,}" if number else "none"


def _keeps_order(trial: Trial) -> Judgement:
    orders = _orders(trial)
    if not orders.is_tried:
        return untried(_TOO_GENTLE, *orders.numbers)
    share = f" ({100 * orders.mpio / orders.total:.1f} %)" if orders.mpio else ""
    return Judgement(
        verdict(orders.mcs == 0),
        f"Of {orders.total:,} commands over two links, {_many(orders.mcs)} reached their logical unit behind "
        f"one that was sent later under MC/S, and {_many(orders.mpio)}{share} under MPIO.{orders.recorded}",
        orders.numbers,
    )


KEEPS_ORDER = Claim(
    8,
    "MC/S keeps command order, MPIO cannot.",
    "The workload round-robin over two like links, with one CmdSN order (MC/S) and with two (MPIO); the "
    "order waits of the recording.",
    "Commands that reach their logical unit after one which the same initiator sent it later; the claim "
    "holds where there are none under MC/S though there are under MPIO, or the recorded target held some "
    "back.",
    "order",
    _keeps_order,
    _both,
)


def _confined(trial: Trial) -> Judgement:
    orders = _orders(trial)
    if not orders.mpio and not orders.held:
        return untried(_TOO_GENTLE, *orders.numbers)
    late_one = overtaken(trial.delivered(SINGLE))
    cost = trial.replayed(SINGLE).gain_percent(trial.replayed(MPIO))
    asked = (
        f"{trial.ordered_tasks:,} commands ask for ORDERED"
        if trial.ordered_tasks
        else "The recording asks for no order, so this is what would be"
    )
    over_both = (
        f"Over two links MPIO lets {orders.mpio:,} of {orders.total:,} commands be overtaken, over one of "
        f"them {_many(late_one)}"
        if orders.mpio
        else f"Of {orders.total:,} commands replayed under MPIO none is overtaken, over two like links or one"
    )
    return Judgement(
        verdict(late_one == 0),
        f"{asked}. {over_both}; that one alone instead of both changes the throughput by "
        f"{signed_percent(cost)}.{orders.recorded}",
        (
            *orders.numbers,
            Number(f"overtaken, {SINGLE}", float(late_one), "requests"),
            Number("throughput of one link against both", cost, "%"),
            Number("ORDERED commands recorded", float(trial.ordered_tasks), "requests"),
        ),
    )


CONFINED = Claim(
    10,
    "Where reordering is forbidden (ORDERED, queue algorithm modifier 0) MPIO is confined to one link.",
    "The workload under MPIO round-robin over two like links, and with all commands kept on one.",
    "Overtaken commands; the claim holds where both links let some be overtaken, or would have in the "
    "recording, and one link lets none.",
    "order",
    _confined,
    _both_and_one_link,
)


def _alone_uses_both(trial: Trial) -> Judgement:
    orders = _orders(trial)
    if not orders.is_tried:
        return untried(_TOO_GENTLE, *orders.numbers)
    shares = path_shares(trial.delivered(MCS))
    least = shares[1] if len(shares) > 1 else 0.0
    gain = trial.replayed(MCS).gain_percent(trial.replayed(SINGLE)) or 0.0
    worth = " (one link is not the limit here)" if abs(gain) <= LIKE_PERCENT else ""
    return Judgement(
        verdict(orders.mcs == 0 and least >= USED_SHARE),
        f"MC/S spreads {orders.total:,} commands over two links, {100 * least:.0f} % on the idler one, and "
        f"{_many(orders.mcs)} is overtaken; that changes the throughput by {signed_percent(gain)} against "
        f"the one link to which order confines MPIO{worth}. Over both, MPIO lets {_many(orders.mpio)} be "
        f"overtaken.{orders.recorded}",
        (
            *orders.numbers,
            Number("carried by the idler link under MC/S", 100 * least, "%"),
            Number("throughput of MC/S against MPIO on one link", gain, "%"),
        ),
    )


ALONE_USES_BOTH = Claim(
    12,
    "Where strict order is required MC/S alone can use several links.",
    "The workload round-robin over two like links under MC/S and MPIO, and kept on one link.",
    f"Overtaken commands and shares of the links; the claim holds where MC/S uses both (at least "
    f"{100 * USED_SHARE:.0f} % each) without any overtaken command and MPIO cannot.",
    "comparison",
    _alone_uses_both,
    _both_and_one_link,
)
