"""The command ``analyzer``: its verbs, and how every one of them ends.

Exit codes: 0 done; 1 done, but with ``--strict`` and diagnostics of severity error; 2 unusable
input or arguments, said in one line on stderr; 130 stopped by Ctrl-C. Anything else that is raised is
a mistake of ours and is shown whole. Verbs import what they need when they run, so that ``--help`` is
quick.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from analyzer.commands.analyze import analyze
from analyzer.commands.capture import capture
from analyzer.commands.claims import claims
from analyzer.commands.export import export
from analyzer.commands.policies import policies
from analyzer.commands.replay import replay
from analyzer.commands.report import report
from analyzer.commands.verify import verify
from analyzer.errors import UnusableInputError

EXIT_UNUSABLE = 2
EXIT_STOPPED = 130

OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""A run makes modules, compiled functions and rows that live to its end; with Python's own 700 a tenth
of the run went into looking for garbage among them."""

app = typer.Typer(
    name="analyzer",
    help="What every SCSI command on iSCSI links lived through, and what another policy would have done.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _stoppable(verb: Callable[..., None]) -> Callable[..., None]:
    """The same verb, ended by Ctrl-C with one line; Typer itself would end the process without a word."""

    @functools.wraps(verb)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            verb(*arguments, **options)
        except KeyboardInterrupt:
            print("analyzer: stopped", file=sys.stderr, flush=True)
            # Threads may be in the middle of compiling or reading; nothing waits for them.
            os._exit(EXIT_STOPPED)

    return run


for verb in (analyze, replay, report, claims, export, policies, verify, capture):
    app.command()(_stoppable(verb))


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from analyzer.provenance import version

        typer.echo(f"analyzer {version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    code: Any = 0
    try:
        try:
            app()
        except UnusableInputError as error:
            print(f"analyzer: {error}", file=sys.stderr)
            code = EXIT_UNUSABLE
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):
                # Typer took a reader that went away for a failure.
                raise end.__context__ from None
            code = end.code
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_reader()
        code = 0
    _end_process(code)


def _forget_reader() -> None:
    """The reader of our output went away (``| head``): nobody is left to be told anything."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_process(code: Any) -> NoReturn:
    """End as ``sys.exit`` would, but let the kernel free what Python would take apart piece by piece.

    That takes a seventh of the time over a capture of 1 GB.
    """
    if code is not None and not isinstance(code, int):
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main()
