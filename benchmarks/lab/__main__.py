"""The lab's commands: run one configuration, run a matrix of them, remove what a killed lab has left.

python -m benchmarks.lab run FOLDER --workload W6 --with mcs:2/round-robin --fault reset:1@0.7
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Configuration, Device, Digests, Recovery, WriteData, one_line
from benchmarks.lab.experiment import perform, require_machine
from benchmarks.lab.leftovers import remove_leftovers, temporary_folder
from benchmarks.lab.matrix import REFERENCE, configuration_from, read_matrix
from benchmarks.lab.results import busy_percent, result_of, write_result, write_summary
from benchmarks.lab.workload import PRESETS, Item, make_items, read_items

EXIT_UNUSABLE = 2
KIB = 1024
PIPED_COLUMNS = 120

cli = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="A storage network on one machine: records captures with their truth. Needs root. See docs/lab.md.",
)
Folder = Annotated[Path, typer.Argument(help="Where the files of the run are written.", file_okay=False)]
Repeats = Annotated[
    int, typer.Option("--repeats", min=1, max=20, help="How often; the first is kept as capture.")
]


@cli.command()
def run(
    folder: Folder,
    paths: Annotated[
        str, typer.Option("--with", help="single, mcs:N/POLICY or mpio:N/POLICY.")
    ] = "mcs:2/round-robin",
    workload: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(PRESETS)}; else the options below.")
    ] = None,
    commands_from: Annotated[
        Path | None, typer.Option(help="Repeat the list of a *.commands.csv.gz.", exists=True, dir_okay=False)
    ] = None,
    commands: Annotated[int, typer.Option(help="How many commands.")] = 400,
    queue_depth: Annotated[int, typer.Option(help="Commands outstanding over all paths.")] = 8,
    sizes: Annotated[str, typer.Option(help="Sizes to choose from, in KiB.")] = "4,8,16,32,64",
    reads: Annotated[float, typer.Option(help="Share of reads, 0 to 1.")] = 0.7,
    sequential: Annotated[bool, typer.Option("--sequential", help="One block after the other.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same list of commands.")] = 1,
    rate: Annotated[
        list[str] | None, typer.Option(help="Mbit/s for each link, or TO_TARGET/TO_INITIATOR. [default: 40]")
    ] = None,
    delay_ms: Annotated[float, typer.Option(help="One-way delay of every link (needs netem).")] = 0.0,
    device_ms: Annotated[
        str | None, typer.Option(help="READ/WRITE+-JITTER of a slow device (needs cc).")
    ] = None,
    device_servers: Annotated[
        int | None, typer.Option(help="Commands that the device works on at the same time. [default: 32]")
    ] = None,
    writes: Annotated[WriteData | None, typer.Option(help="How the data of writes travels.")] = None,
    digests: Annotated[Digests, typer.Option(help="CRC32C digests asked for.")] = Digests.NONE,
    fault: Annotated[
        str | None, typer.Option(help="KIND:PATH@SECONDS; KIND is reset, black-hole or link-down.")
    ] = None,
    recovery: Annotated[
        Recovery, typer.Option(help="What to do with the commands of a lost path.")
    ] = Recovery.RETRY,
    deadline_s: Annotated[float, typer.Option(help="Give up after this.")] = 60.0,
    repeats: Repeats = 1,
) -> None:
    """Run one configuration; writes capture, truth, result and list of commands."""
    fields: dict[str, Any] = {"commands": commands, "queue_depth": queue_depth, "read_ratio": reads}
    fields |= {"is_sequential": sequential, "seed": seed, "sizes": _sizes(sizes)}
    more: dict[str, Any] = {"digests": digests, "deadline_s": deadline_s}
    more |= {"writes": writes} if writes else {}
    if device_ms or device_servers:
        usual = PRESETS[workload].device if workload in PRESETS else Device()
        more["device"] = _device(device_ms, device_servers, usual)
    configuration = configuration_from(
        workload=workload or fields,
        paths=paths,
        rates=rate,
        delay_ms=delay_ms,
        fault=fault,
        recovery=recovery,
        **more,
    )
    items = read_items(commands_from, configuration) if commands_from else make_items(configuration.workload)
    _show([_measure(folder, configuration, items, repeats)])


@cli.command()
def matrix(
    folder: Folder,
    file: Annotated[Path, typer.Option(help="The matrix, as TOML.", exists=True, dir_okay=False)] = REFERENCE,
    repeats: Annotated[int | None, typer.Option(min=1, max=20, help="Instead of the file's own.")] = None,
) -> None:
    """Run every configuration of a matrix file; writes the same for each, and summary.csv over all."""
    said, configurations = read_matrix(file)
    require_machine()
    results, failed = [], 0
    for configuration in configurations:
        items = make_items(configuration.workload)
        try:
            results.append(_measure(folder, configuration, items, repeats or said))
        except UnusableInputError as error:
            failed += 1
            print(f"lab: {configuration.workload.name}-{configuration.name}: {error}", file=sys.stderr)
            continue
        write_summary(folder)
    _show(results)
    if failed:
        raise UnusableInputError(f"{failed} of {len(configurations)} runs failed", source=str(file))


@cli.command()
def clean() -> None:
    """Remove what labs that were killed have left: namespaces, processes inside, folders."""
    require_machine()
    removed = remove_leftovers()
    typer.echo(f"removed {', '.join(removed)}" if removed else "nothing was left")


def _measure(
    folder: Path, configuration: Configuration, items: Sequence[Item], repeats: int
) -> dict[str, Any]:
    name = f"{configuration.workload.name}-{configuration.name}"
    with temporary_folder() as temporary:
        captures = [temporary / f"{number}.pcapng" for number in range(repeats)]
        done = [perform(configuration, items, capture) for capture in captures]
        result = result_of(name, configuration, items, done)
        write_result(folder, name, result, done, captures[0])
    Console(stderr=True, highlight=False).print(f"{folder / name}.result.json", soft_wrap=True)
    return result


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(round(float(word) * KIB) for word in text.split(","))
    except ValueError:
        raise UnusableInputError(f"{text!r} is no list of sizes in KiB", source="--sizes") from None


def _device(text: str | None, servers: int | None, usual: Device) -> Device:
    """``usual`` with the times and the number of servers that are given."""
    given: dict[str, float] = {} if servers is None else {"servers": servers}
    if text is not None:
        times, _, jitter = text.partition("+-")
        read, _, write = times.partition("/")
        try:
            given |= {
                "read_ms": float(read),
                "write_ms": float(write or read),
                "jitter_ms": float(jitter or 0),
            }
        except ValueError:
            raise UnusableInputError(
                f"{text!r} is not READ/WRITE+-JITTER in ms", source="--device-ms"
            ) from None
    try:
        return Device.model_validate(usual.model_dump() | given)
    except ValidationError as error:
        raise one_line(error) from None


def _show(results: Sequence[dict[str, Any]]) -> None:
    """The medians of some results as a table; a busy machine makes figures of its own."""
    columns = {"iops": "IOPS", "mb_per_s": "MB/s", "lat_p50_ms": "p50 ms", "lat_p99_ms": "p99 ms"}
    columns |= {"failover_last_affected_completion_ms": "last affected ms"}
    if not any("failover_affected_commands" in result["median"] for result in results):
        del columns["failover_last_affected_completion_ms"]
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("workload", "configuration"):
        table.add_column(heading, no_wrap=True)
    for heading in (*columns.values(), "busy %", "errors"):
        table.add_column(heading, justify="right")
    for result in results:
        figures = [f"{result['median'][key]:.6g}" if key in result["median"] else "" for key in columns]
        busy = max((busy_percent(row["cpu"]) for row in result["repeats"] if row.get("cpu")), default=0.0)
        errors = "; ".join(row["errors"] for row in result["repeats"] if row["errors"])
        table.add_row(result["workload"], result["config"], *figures, f"{busy:.0f}", errors or "none")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPED_COLUMNS)
    console.print(table)


def main() -> None:
    """Run a command; 2 and one line where it cannot be run, and nothing left behind when it is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        cli()
    except UnusableInputError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(EXIT_UNUSABLE)


if __name__ == "__main__":
    main()
