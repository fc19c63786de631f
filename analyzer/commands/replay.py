"""``analyzer replay``: a timeline under other topologies and policies, the baseline always first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from analyzer.comparison.compare import Comparison
    from analyzer.replay.given import Given
    from analyzer.replay.scenario import Scenario
    from analyzer.tables.folder import Outcome, Timeline

BASELINE = "as-recorded"
SHOWN_MEASURES = (
    ("iops", "IOPS"),
    ("bytes_per_s", "data"),
    ("latency_ns_p50", "p50"),
    ("latency_ns_p99", "p99"),
    ("order_wait_ns_max", "order\nwait"),
)
WITH_INTERVAL = ("iops", "latency_ns_p50", "latency_ns_p99")
LEFT_OUT_IF_NARROW, NARROW = "bytes_per_s", 100
"""What a terminal of fewer columns goes without: of one workload it says the same as IOPS."""

With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="TOPOLOGY/POLICY",
        help="What to replay under: single/-, mcs:2/round-robin, mpio:2/service-time ...; may be repeated.",
    ),
]
ScenarioFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--scenario",
        metavar="FILE.toml",
        help="A file of scenarios (docs/scenarios.md); may be repeated.",
    ),
]
Faults = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="KIND,link=N,at=TIME",
        help="What goes wrong meanwhile: down,link=1,at=5s; reset,link=0,at=50% ... (docs/faults.md); may be "
        "repeated.",
    ),
]
RecoveryPreset = Annotated[
    str | None,
    typer.Option(
        "--recovery",
        metavar="PRESET[,KEY=VALUE...]",
        help="Timers and ways of recovery: linux-multipath, windows-mcs ... (docs/faults.md).",
    ),
]
Neighbours = Annotated[
    int, typer.Option(min=0, max=16, help="Other initiators that do the same on the same logical units.")
]
Pacing = Annotated[str, typer.Option(help="When the application asks: recorded, closed, or depth:N.")]
Known = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="What is known of the recording and the capture cannot tell: links.rate=40Mbps, "
        "links.1.rate=10Mbps, links.bucket=2000B, think_time=none (what passes between a completion and the "
        "next request is latency); may be repeated.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all chance; the same seed gives the same outcome.")]
Repeats = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=10_000,
        help="How often each scenario is replayed again with what is uncertain drawn anew, for intervals; 18 "
        "unless given, fewer for long recordings (3 from 100,000 commands on).",
        show_default=False,
    ),
]
Port = Annotated[
    list[int] | None,
    typer.Option(
        "--port", metavar="N", min=1, max=65535, help="A TCP port that speaks iSCSI; may be repeated."
    ),
]


def replay(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Captures, or one timeline folder.", show_default=False),
    ],
    policies: With = None,
    scenario_files: ScenarioFiles = None,
    faults: Faults = None,
    recovery: RecoveryPreset = None,
    neighbours: Neighbours = 0,
    pacing: Pacing = "closed",
    seed: Seed = 0,
    repeats: Repeats = None,
    settings: Known = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUTCOMES", help="Write one outcome folder each below this."),
    ] = None,
    port: Port = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
) -> None:
    """Run the recorded workload again under other schedulers.

    The recording is first replayed as it was driven; how far that lies from the recording is
    printed before anything is compared.
    """
    from analyzer.commands.shown import output_console, print_json
    from analyzer.commands.sources import timeline_and_outcomes
    from analyzer.replay.given import given_by

    check(policies or [], pacing)
    given = given_by(settings or ())
    disturbance = Disturbing(tuple(faults or ()), recovery, neighbours)
    disturbance.check()
    asked_for: list[str | Scenario] = [*(policies or []), *scenarios_in(scenario_files or [], pacing, seed)]
    timeline, _ = timeline_and_outcomes(sources, port or ())
    outcomes = run_all(timeline, asked_for, pacing, seed, disturbance, given, repeats)
    if output is not None:
        write_outcomes(outcomes, output)
    if as_json:
        print_json(as_document(outcomes, timeline))
        return
    console = output_console()
    show(console, outcomes, timeline)
    if output is not None:
        console.print(f"Outcomes written to {output}")


class Disturbing(NamedTuple):
    """What goes wrong in the replays, as given on the command line."""

    faults: tuple[str, ...] = ()
    recovery: str | None = None
    neighbours: int = 0

    def check(self) -> None:
        """Raise UnusableInputError for words that cannot be, before any long work begins."""
        if self.faults:
            from analyzer.replay.faults import fault_of

            for fault in self.faults:
                fault_of(fault)
        if self.recovery is not None:
            from analyzer.replay.recovery import recovery_of

            recovery_of(self.recovery)


UNDISTURBED = Disturbing()


def check(policies: Sequence[str], pacing: str) -> None:
    """Raise UnusableInputError for a policy or pacing that cannot be, before any long work begins."""
    from analyzer.replay.words import scenario_of

    for policy in (BASELINE, *policies):
        scenario_of(policy, pacing=pacing)


def scenarios_in(files: Sequence[Path], pacing: str, seed: int) -> list[Scenario]:
    """All scenarios of some files; ``pacing`` and ``seed`` are for those that give none."""
    from analyzer.replay.scenario_files import read_scenarios

    return [scenario for file in files for scenario in read_scenarios(file, pacing=pacing, seed=seed)]


def run_all(
    timeline: Timeline,
    policies: Sequence[str | Scenario],
    pacing: str,
    seed: int,
    disturbing: Disturbing = UNDISTURBED,
    given: Given | None = None,
    repeats: int | None = None,
) -> list[Outcome]:
    """The baseline, then each policy in the order given; with progress on a terminal."""
    from analyzer.commands.sources import COMPILING
    from analyzer.commands.waiting import announced_if_compiling, progress_bar
    from analyzer.replay.given import NOTHING_GIVEN
    from analyzer.replay.run import prepare, replay_all

    scenarios: list[str | Scenario] = [BASELINE, *(policy for policy in policies if policy != BASELINE)]
    with announced_if_compiling(COMPILING.format(seconds=25)):
        prepare(scenarios)
    with progress_bar("Replaying") as progress:
        return replay_all(
            timeline,
            scenarios,
            pacing=pacing,
            seed=seed,
            given=NOTHING_GIVEN if given is None else given,
            faults=disturbing.faults,
            recovery=disturbing.recovery,
            neighbours=disturbing.neighbours,
            repeats=repeats,
            progress=progress,
        )


def write_outcomes(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write each outcome below ``folder``, numbered in order; outcomes of an earlier run go."""
    from analyzer.tables.folder import Outcome, is_folder_of

    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir() and is_folder_of(place, Outcome.format_name):
            shutil.rmtree(place)
    for number, outcome in enumerate(outcomes):
        name = "".join(character if character.isalnum() else "-" for character in outcome.label).strip("-")
        outcome.write(folder / f"{number:02d}-{name}")


def as_document(outcomes: Sequence[Outcome], timeline: Timeline) -> dict[str, Any]:
    """The baseline's error, the comparison and each scenario as plain JSON data."""
    from analyzer.comparison.baseline import baseline_error
    from analyzer.comparison.compare import compared
    from analyzer.intervals import LEVEL

    baseline = baseline_error(outcomes[0], timeline)
    comparison = compared(outcomes, timeline, baseline)
    return {
        "baseline": {
            "fit": baseline.fit.value,
            "sentence": baseline.sentence,
            "errors_percent": {error.measure.name: error.error_percent for error in baseline.errors},
        },
        "reference": comparison.reference,
        "interval": {
            "level": LEVEL,
            "repeats": comparison.most_repeats,
            "meaning": comparison.meaning,
        },
        "recording": {row.measure.name: row.recorded for row in comparison.rows},
        "outcomes": [
            {
                "label": label,
                "manifest": outcome.manifest,
                "measures": {row.measure.name: row.values[place] for row in comparison.rows},
                "intervals": {
                    row.measure.name: comparison.interval(row.measure.name, place) for row in comparison.rows
                },
                "differences_percent": {
                    row.measure.name: row.differences_percent[place] for row in comparison.rows
                },
                "differences": None if label == comparison.reference else _differences(comparison, place),
                "paths": outcome.arrow["paths"].to_pylist(),
                "incidents": outcome.arrow["incidents"].to_pylist(),
            }
            for place, (label, outcome) in enumerate(zip(comparison.labels, outcomes, strict=True))
        ],
    }


def _differences(comparison: Comparison, place: int) -> dict[str, dict[str, Any]]:
    """The differences of one outcome against the reference with their intervals, by measure."""
    found = {row.measure.name: comparison.difference(row.measure.name, place) for row in comparison.rows}
    return {
        name: {
            "percent": one.percent,
            "low_percent": one.low_percent,
            "high_percent": one.high_percent,
            "is_apart": one.is_apart,
        }
        for name, one in found.items()
    }


def show(console: Console, outcomes: Sequence[Outcome], timeline: Timeline) -> None:
    """Print the baseline's error, what was assumed, what was taken from the recording, and the comparison."""
    from analyzer.commands.calibration_shown import calibration_lines
    from analyzer.commands.shown import MISSING, ends, figure, plain, table
    from analyzer.comparison.baseline import baseline_error
    from analyzer.comparison.compare import compared

    baseline = baseline_error(outcomes[0], timeline)
    console.print(f"[bold]Baseline:[/bold] {plain(baseline.sentence)}")
    for sentence in outcomes[0].manifest.get("assumptions", ()):
        console.print(f"  • {plain(sentence)}")
    console.print("[bold]Calibration:[/bold]")
    for sentence in calibration_lines(outcomes[0].manifest.get("calibration", ())):
        console.print(f"  • {plain(sentence)}")
    console.print()
    comparison = compared(outcomes, timeline, baseline)
    shown = [
        (comparison.row(name), heading)
        for name, heading in SHOWN_MEASURES
        if console.width >= NARROW or name != LEFT_OUT_IF_NARROW
    ]
    rows = [["recording", *(figure(row.recorded, row.measure.unit) for row, _ in shown), ""]]
    for place, label in enumerate(comparison.labels):
        cells = [plain(label)]
        for row, _ in shown:
            name, value, unit = row.measure.name, row.values[place], row.measure.unit
            interval = comparison.interval(name, place) if name in WITH_INTERVAL else None
            cells.append(_two_lines(figure(value, unit), ends(interval, value, unit)))
        rows.append([*cells, MISSING if label == comparison.reference else _told(comparison, place)])
    columns = [
        ("scenario", ""),
        *((heading, "right") for _, heading in shown),
        ("IOPS to\nbaseline", "right"),
    ]
    console.print(table("Comparison", columns, rows))
    if comparison.meaning:
        console.print(plain(comparison.meaning))
    show_incidents(console, outcomes)


def _told(comparison: Comparison, place: int) -> str:
    """The difference in IOPS to the reference: with its interval, or that it is none."""
    from analyzer.commands.shown import percent

    found = comparison.difference("iops", place)
    if found.percent is None or not found.has_interval:
        return percent(found.percent)
    if not found.is_apart:
        return _two_lines("not apart", f"{found.low_percent:+.1f}…{found.high_percent:+.1f}")
    return _two_lines(percent(found.percent), f"{found.low_percent:+.1f}…{found.high_percent:+.1f}")


def _two_lines(figure: str, interval: str) -> str:
    """A figure above its interval, where it has one."""
    return f"{figure}\n{interval}" if interval else figure


def show_incidents(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print what came of each fault, one line for each, then in one sentence."""
    from analyzer.commands.shown import MISSING, duration, plain, table

    rows = []
    for outcome in outcomes:
        incidents = outcome.arrow["incidents"].to_pylist()
        for one in incidents:
            again = one["retried_same_path"] + one["retried_other_path"]
            since = one["failed_ns"]
            rows.append(
                [
                    # Of several faults each is named, by its kind and its link.
                    _two_lines(
                        plain(outcome.label),
                        " ".join(one["fault"].split(",")[:2]) if len(incidents) > 1 else "",
                    ),
                    *(
                        MISSING if one[name] is None else duration(one[name] - since)
                        for name in ("detected_ns", "first_retry_ns", "last_completion_ns")
                    ),
                    MISSING if one["stall_ns"] is None else duration(one["stall_ns"]),
                    duration(one["gap_ns"]),
                    f"{one['reassigned']}/{again}/{one['failed']}",
                ]
            )
    if not rows:
        return
    columns = [
        ("scenario", "label"),
        ("noticed\nafter", "right"),
        ("first\nretry", "right"),
        ("all\nback", "right"),
        ("slowest\ncommand", "right"),
        ("nothing\ncompleted", "right"),
        ("reassigned/\nretried/\nfailed", "right"),
    ]
    console.print(table("Faults", columns, rows))
    for outcome in outcomes:
        for one in outcome.arrow["incidents"].to_pylist():
            console.print(f"  • {plain(outcome.label)}: {plain(one['summary'])}")
