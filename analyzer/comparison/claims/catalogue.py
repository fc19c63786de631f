"""All claims in the order of the debate, and how they are tried together.

A new claim is one ``Claim`` in a file of its subject and one line here.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.comparison.baseline import Fit
from analyzer.comparison.claims import bystanders, failover, ordering, sequence, throughput
from analyzer.comparison.claims.interface import Claim, Finding, Verdict, untried
from analyzer.comparison.claims.trial import BASELINE, Experiment, Trial
from analyzer.tables.folder import Timeline

CLAIMS: tuple[Claim, ...] = (
    failover.REASSIGNS_ALL,
    bystanders.ABORTS_OTHERS,
    bystanders.TELLS_OTHERS,
    bystanders.RESET_CLEARS,
    failover.EXTRA_TIME,
    failover.FRACTION,
    throughput.ONE_OUTSTANDING,
    ordering.KEEPS_ORDER,
    sequence.LOST_ORDER,
    ordering.CONFINED,
    throughput.HIGH_RATE,
    ordering.ALONE_USES_BOTH,
    failover.NOT_RETRYABLE,
    throughput.TAPE,
)
DOUBTFUL = (
    "The model does not reproduce this recording well, so the numbers of its replays are to be doubted."
)


def try_claims(
    timeline: Timeline, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Finding, ...]:
    """Try every claim on a recording. ``progress`` is called with replays and claims done and in all."""
    trial = Trial(timeline, seed)
    wanted = dict.fromkeys(one for claim in CLAIMS for one in experiments_of(claim, trial))
    steps = len(wanted) + len(CLAIMS)

    def tell(done: int) -> None:
        if progress is not None:
            progress(min(done, steps), steps)

    trial.run(wanted, tell)
    findings = []
    for place, claim in enumerate(CLAIMS):
        findings.append(try_claim(claim, trial))
        tell(len(wanted) + place + 1)
    return tuple(findings)


def experiments_of(claim: Claim, trial: Trial) -> tuple[Experiment, ...]:
    """The replays that one claim needs, that of the recording itself among them; none without a command."""
    if claim.experiments is None or not trial.timeline.arrow["tasks"].num_rows:
        return ()
    own = claim.experiments(trial)
    return (BASELINE, *own) if own else ()


def try_claim(claim: Claim, trial: Trial) -> Finding:
    """Try one claim; without any command none can be."""
    if not trial.timeline.arrow["tasks"].num_rows:
        return Finding(claim, untried("The recording holds no SCSI command."))
    experiments = experiments_of(claim, trial)
    trial.run(experiments)
    judgement = claim.judge(trial)
    if not experiments:
        return Finding(claim, judgement)
    is_doubtful = judgement.verdict is not Verdict.UNTRIED and trial.fit in (Fit.POOR, Fit.UNKNOWN)
    return Finding(claim, judgement, DOUBTFUL if is_doubtful else "", trial.excerpt_said)
