"""Every measured run predicts every other of its workload; prints the errors and writes one page.

    python -m benchmarks.accuracy FOLDER [-o reports/accuracy.html] [--workload W6] [--all]

FOLDER holds captures beside what was measured of them (``measured.py``); ``traces/whatif`` is a small one,
and ``python -m benchmarks.lab`` records more. Exit code 1 where a bound of the project is not kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

import analyzer
from analyzer.errors import UnusableInputError
from analyzer.intervals import LEVEL
from benchmarks.accuracy.errors_page import write_page
from benchmarks.accuracy.failovers import (
    BOUNDS_PERCENT,
    COMPLETIONS,
    TIMES,
    FailoverPrediction,
    failovers_from,
    rankings,
)
from benchmarks.accuracy.measured import Run, runs_in
from benchmarks.accuracy.predictions import (
    BOUNDS,
    MEASURE_OF,
    SHARE,
    FromOneCapture,
    Prediction,
    coverage_percent,
    predicted_from,
    unseen_percent,
)

Task = TypeVar("Task")
Found = TypeVar("Found")

TITLES = {
    "iops": "IOPS %",
    "mb_per_s": "MB/s %",
    "lat_p50_ms": "p50 %",
    "lat_p99_ms": "p99 %",
    SHARE: "share of path 0",
}


def from_run(task: tuple[Run, tuple[Run, ...]]) -> FromOneCapture:
    """Calibrate one capture and predict the others of its workload."""
    source, others = task
    assert source.capture is not None
    return predicted_from(source, analyzer.analyze(source.capture), others)


def predicted(runs: Sequence[Run]) -> list[FromOneCapture]:
    """All predictions among ``runs``, over all cores. Runs with a failure are left out."""
    usable = [run for run in runs if not run.is_failover]
    tasks = []
    for source in usable:
        others = tuple(run for run in usable if run.workload == source.workload and run.name != source.name)
        if source.capture is not None and others:
            tasks.append((source, others))
    return _over_all_cores(from_run, tasks)


def failovers_from_run(task: tuple[Run, tuple[Run, ...]]) -> tuple[FailoverPrediction, ...]:
    """Calibrate one capture and predict failing runs of its workload."""
    source, failing = task
    assert source.capture is not None
    return failovers_from(source, analyzer.analyze(source.capture), failing)


def predicted_failovers(runs: Sequence[Run]) -> list[FailoverPrediction]:
    """Each failing run from the captures of all others that have none, and from its own."""
    tasks = []
    for source in runs:
        mine = (source,) if source.is_failover else runs
        failing = tuple(run for run in mine if run.has_struck and run.workload == source.workload)
        if source.capture is not None and failing:
            tasks.append((source, failing))
    return [one for found in _over_all_cores(failovers_from_run, tasks) for one in found]


def _over_all_cores(work: Callable[[Task], Found], tasks: Sequence[Task]) -> list[Found]:
    if len(tasks) < 2:
        return [work(task) for task in tasks]
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, tasks))


def summary(found: Sequence[FromOneCapture], failovers: Sequence[FailoverPrediction]) -> Table:
    """Median and worst error for each workload and over all."""
    table = Table("workload", "predictions", *TITLES.values(), "pairs in wrong order", "failover times %")
    workloads = sorted({one.source.workload for one in found})
    for workload in [*workloads, ""]:
        mine = [one for one in found if workload in ("", one.source.workload)]
        flat = [prediction for one in mine for prediction in one.predictions]
        orders = rankings(mine, failovers)
        wrong, pairs = sum(len(order.wrong) for order in orders), sum(order.pairs for order in orders)
        cells = [_median_and_worst(flat, name) for name in TITLES]
        failing = [one for one in failovers if workload in ("", one.run.workload)]
        cells += [f"{wrong} of {pairs}", _times(failing, TIMES)]
        table.add_row(workload or "all", str(len(flat)), *cells)
    return table


def _times(failovers: Sequence[FailoverPrediction], names: Sequence[str]) -> str:
    """Median and worst error of some figures; nothing where no failing run was predicted."""
    if not failovers:
        return ""
    errors = np.abs([one.error(name) for one in failovers for name in names])
    color = "green" if np.median(errors) <= max(BOUNDS_PERCENT[name] for name in names) else "red"
    return f"[{color}]{np.median(errors):.1f} / {errors.max():.1f}[/{color}]"


def failover_table(failovers: Sequence[FailoverPrediction]) -> Table:
    """Median and worst error of each figure for each failing run.

    Beside them how often first and last completion kept their bounds, how often all did, and how many of the
    figures lie in their ranges.
    """
    errors = (f"{name} %" for name in BOUNDS_PERCENT)
    table = Table("failing run", "predictions", *errors, "first and last", "all kept", "in range %")
    for name in sorted({one.run.name for one in failovers}):
        mine = [one for one in failovers if one.run.name == name]
        kept = (f"{sum(one.keeps(names) for one in mine)}" for names in (COMPLETIONS, BOUNDS_PERCENT))
        cells = [_times(mine, [figure]) for figure in BOUNDS_PERCENT]
        in_range = np.mean([one.is_in_range(figure) for one in mine for figure in BOUNDS_PERCENT])
        table.add_row(name, str(len(mine)), *cells, *kept, f"{100 * in_range:.0f}")
    return table


def _median_and_worst(predictions: Sequence[Prediction], name: str) -> str:
    errors = np.abs([one.error(name) for one in predictions])
    digits = 3 if name == SHARE else 1
    median, worst = (round(float(value), digits) for value in (np.median(errors), errors.max()))
    bound = BOUNDS.get(name)
    color = "green" if bound is None or (median <= bound.median and worst <= bound.worst) else "red"
    return f"[{color}]{median} / {worst}[/{color}]"


def coverage(found: Sequence[FromOneCapture]) -> Table:
    """How many measured outcomes lie in their intervals, for each workload and over all."""
    title = f"Measured outcomes inside the interval, in percent (nominal {100 * LEVEL:.0f})"
    headings = (heading.removesuffix(" %") for heading in TITLES.values())
    table = Table("workload", "predictions", *headings, title=title, title_justify="left")
    for workload in [*sorted({one.source.workload for one in found}), ""]:
        mine = [
            prediction
            for one in found
            if workload in ("", one.source.workload)
            for prediction in one.predictions
        ]
        cells = [f"{coverage_percent(mine, name):.0f}" for name in TITLES]
        table.add_row(workload or "all", str(len(mine)), *cells)
    needed = ", ".join(f"{name} {unseen_percent(mine, name):.1f}" for name in MEASURE_OF)
    table.caption = f"Beyond draws and baseline {100 * LEVEL:.0f} % of them need so many percent: {needed}"
    return table


def baselines(found: Sequence[FromOneCapture]) -> Table:
    """How well each capture's own replay fits it."""
    table = Table("capture", "fit", "IOPS %", "p50 %", "p99 %", "given besides")
    for one in found:
        errors = [one.baseline.error_percent(name) for name in ("iops", "latency_ns_p50", "latency_ns_p99")]
        cells = ["" if error is None else f"{error:+z.1f}" for error in errors]
        table.add_row(one.source.name, str(one.baseline.fit), *cells, " ".join(one.settings))
    return table


def worst(found: Sequence[FromOneCapture], count: int) -> Table:
    """The predictions furthest off in IOPS, then in latency."""
    flat = [prediction for one in found for prediction in one.predictions]
    order = sorted(flat, key=lambda one: -max(one.excess(name) for name in BOUNDS))
    table = Table("from", "to", *TITLES.values(), "given besides")
    for one in order[:count]:
        cells = [
            f"{one.error(name):+z.3f}" if name == SHARE else f"{one.error(name):+z.1f}" for name in TITLES
        ]
        table.add_row(one.source, one.run.configuration, *cells, ", ".join(one.asked))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="an HTML page to write")
    parser.add_argument("--workload", action="append", help="only these; may be repeated")
    parser.add_argument("--all", action="store_true", help="list every prediction, not only the worst")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        runs = [
            run for run in runs_in(options.folder) if not options.workload or run.workload in options.workload
        ]
        found = predicted(runs)
        failovers = predicted_failovers(runs)
    except UnusableInputError as error:
        console.print(str(error))
        return 2
    if not found:
        console.print("No workload has a capture and another run to predict.")
        return 2
    console.print(baselines(found), worst(found, 10**6 if options.all else 20), sep="\n")
    if failovers:
        console.print(failover_table(failovers))
    console.print(summary(found, failovers), coverage(found), sep="\n")
    if options.output is not None:
        write_page(found, failovers, options.output)
        console.print(f"Page written to {options.output}")
    flat = [prediction for one in found for prediction in one.predictions]
    is_kept = all(one.excess(name) <= 1 for one in flat for name in BOUNDS)
    is_kept = is_kept and all(one.keeps() for one in failovers)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
