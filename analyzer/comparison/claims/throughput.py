"""Claims 7, 11 and 14: what several links are worth with one command outstanding, and at high rates."""

from __future__ import annotations

from analyzer.comparison.baseline import signed_percent
from analyzer.comparison.claims.interface import Claim, Judgement, Number, untried, verdict
from analyzer.comparison.claims.trial import (
    ALONE_SHARE,
    BOND,
    LIKE_PERCENT,
    MCS,
    MPIO,
    SINGLE,
    Experiment,
    Trial,
)

DEEP = 64
"""Commands kept outstanding to see what the links and the order of commands bear."""
MANY_FIRST = 32
"""Fewer data commands make no steady state."""
BEATEN_PERCENT = 2.0


def _under(pacing: str, *policies: str) -> tuple[Experiment, ...]:
    return tuple(Experiment(policy, pacing) for policy in policies)


def _gains(trial: Trial, pacing: str) -> tuple[float, float, tuple[Number, ...]] | None:
    """Gains of two links over one in commands per second, under MC/S and MPIO, with the numbers."""
    found = {policy: trial.replayed(policy, pacing) for policy in (SINGLE, MCS, MPIO)}
    mcs, mpio = (found[policy].gain_percent(found[SINGLE]) for policy in (MCS, MPIO))
    if mcs is None or mpio is None:
        return None
    numbers = tuple(
        Number(f"{policy}, {pacing}", one.figures["iops"], "requests/s") for policy, one in found.items()
    )
    return mcs, mpio, (*numbers, Number("gain of MC/S", mcs, "%"), Number("gain of MPIO", mpio, "%"))


def _one_outstanding(trial: Trial) -> Judgement:
    if not trial.data_tasks:
        return untried("No command of the recording moves data.")
    found = _gains(trial, "depth:1")
    if found is None:
        return untried("A replay completed nothing.")
    mcs, mpio, numbers = found
    bonded = trial.replayed(BOND, "depth:1")
    bond = bonded.gain_percent(trial.replayed(SINGLE, "depth:1")) or 0.0
    is_limit = bond > LIKE_PERCENT
    bond_word = "only a bond helps" if is_limit else "nor does a bond here, where the links are not the limit"
    holds = max(mcs, mpio) <= LIKE_PERCENT
    return Judgement(
        verdict(holds),
        f"With one command outstanding, two links give {signed_percent(mcs)} under MC/S, "
        f"{signed_percent(mpio)} under MPIO and {signed_percent(bond)} as a bond over one: "
        f"{bond_word if holds else 'they help'}.",
        (
            *numbers,
            Number(f"{BOND}, depth:1", bonded.figures["iops"], "requests/s"),
            Number("gain of a bond", bond, "%"),
        ),
    )


def _all_one_outstanding(trial: Trial) -> tuple[Experiment, ...]:
    return _under("depth:1", SINGLE, MCS, MPIO, BOND) if trial.data_tasks else ()


ONE_OUTSTANDING = Claim(
    7,
    "With one command outstanding neither MC/S nor MPIO helps, only bonding.",
    "The workload with one command outstanding at a time (depth:1), over one link and over two like it as "
    "MC/S, "
    "MPIO and a bond.",
    f"Commands per second; the claim holds where MC/S and MPIO give at most {LIKE_PERCENT:g} % more.",
    "comparison",
    _one_outstanding,
    _all_one_outstanding,
)


def _high_rate(trial: Trial) -> Judgement:
    if trial.data_tasks < MANY_FIRST:
        return untried(f"{trial.data_tasks} data commands are too few for a high rate of commands.")
    if _is_like_tape(trial):
        return untried(
            f"The application asks for one command at a time ({100 * trial.alone_share:.0f} % were issued "
            "alone), so its rate is not one that order could limit."
        )
    deep = f"depth:{DEEP}"
    mcs, mpio = (trial.replayed(policy, deep) for policy in (MCS, MPIO))
    gain = mpio.gain_percent(mcs)
    as_paced = trial.replayed(MPIO).gain_percent(trial.replayed(MCS))
    if gain is None or as_paced is None:
        return untried("A replay completed nothing.")
    waited, completed = mcs.figures["order_waited"] or 0.0, mcs.figures["completed"] or 1.0
    if not waited:
        return untried(
            f"Even with {DEEP} commands outstanding none waits for lower CmdSNs under MC/S: order is no "
            "bottleneck here that MPIO could be without.",
            Number("MPIO against MC/S", gain, "%"),
        )
    holds = gain > BEATEN_PERCENT
    return Judgement(
        verdict(holds),
        f"With {DEEP} commands of {trial.bytes_mean / 1000:.3g} kB outstanding, MPIO has "
        f"{signed_percent(gain)} throughput against MC/S, and {signed_percent(as_paced)} at the recorded "
        f"pace; under MC/S {100 * waited / completed:.0f} % of the commands wait for lower CmdSNs.",
        (
            Number(f"{MCS}, {deep}", mcs.figures["iops"], "requests/s"),
            Number(f"{MPIO}, {deep}", mpio.figures["iops"], "requests/s"),
            Number("MPIO against MC/S", gain, "%"),
            Number("MPIO against MC/S at the recorded pace", as_paced, "%"),
            Number("mean order wait under MC/S", mcs.figures["order_wait_ns_mean"], "ns"),
            Number("mean transfer", trial.bytes_mean, "bytes"),
        ),
    )


def _deep_and_paced(trial: Trial) -> tuple[Experiment, ...]:
    if trial.data_tasks < MANY_FIRST or _is_like_tape(trial):
        return ()
    return (*_under(f"depth:{DEEP}", MCS, MPIO), *_under("closed", MCS, MPIO))


HIGH_RATE = Claim(
    11,
    "The ordering bottleneck lets MPIO beat MC/S at high IOPS.",
    f"The workload with {DEEP} commands outstanding over two like links, with one CmdSN order (MC/S) and "
    "with two (MPIO).",
    f"Commands per second; the claim holds where MPIO completes more than {BEATEN_PERCENT:g} % more.",
    "order",
    _high_rate,
    _deep_and_paced,
)


def _tape(trial: Trial) -> Judgement:
    if not trial.data_tasks:
        return untried("No command of the recording moves data.")
    share = Number("data commands issued alone", 100 * trial.alone_share, "%")
    if not _is_like_tape(trial):
        return untried(
            f"The recording is no such workload: it keeps {trial.outstanding_mean:.1f} commands outstanding "
            f"on the mean, and issued {100 * trial.alone_share:.0f} % of them alone.",
            share,
        )
    found = _gains(trial, "closed")
    if found is None:
        return untried("A replay completed nothing.")
    mcs, mpio, numbers = found
    return Judgement(
        verdict(max(abs(mcs), abs(mpio)) <= LIKE_PERCENT),
        f"{100 * trial.alone_share:.0f} % of the data commands were issued alone; at the recorded pace two "
        f"links give {signed_percent(mcs)} under MC/S and {signed_percent(mpio)} under MPIO over one.",
        (share, *numbers),
    )


def _is_like_tape(trial: Trial) -> bool:
    return trial.data_tasks > 0 and trial.alone_share >= ALONE_SHARE


def _paced(trial: Trial) -> tuple[Experiment, ...]:
    return _under("closed", SINGLE, MCS, MPIO) if _is_like_tape(trial) else ()


TAPE = Claim(
    14,
    "Tape and backup with one command outstanding see no difference.",
    "Where the recording has one command outstanding: its workload at the recorded pace over one link and "
    "over two like it.",
    f"Commands per second; the claim holds where neither differs by more than {LIKE_PERCENT:g} %.",
    "comparison",
    _tape,
    _paced,
)
