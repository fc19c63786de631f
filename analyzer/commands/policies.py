"""``analyzer policies``: what may stand in ``--with``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from analyzer.replay.policies.interface import Option

INDENT = 3


def policies(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """List the topologies and path policies, with their options and where each rule comes from."""
    from rich.padding import Padding

    from analyzer.commands.shown import output_console, plain, print_json, table
    from analyzer.replay.policies import POLICIES
    from analyzer.replay.topology import TOPOLOGIES

    if as_json:
        print_json(
            {
                "topologies": [{"form": item.form, "sentence": item.sentence} for item in TOPOLOGIES],
                "policies": [
                    {
                        "name": policy.name,
                        "aliases": list(policy.aliases),
                        "sentence": policy.sentence,
                        "source": policy.source,
                        "options": {option.name: option.default for option in policy.options},
                        "option_sentences": {option.name: option.sentence for option in policy.options},
                    }
                    for policy in POLICIES
                ],
            }
        )
        return
    console = output_console()
    console.print(
        table(
            "Topologies",
            [("form", ""), ("what it is", "")],
            [[plain(t.form), plain(t.sentence)] for t in TOPOLOGIES],
        )
    )
    console.print("\n[bold]Policies[/bold]")
    for policy in POLICIES:
        aliases = f" [dim]or {plain(', '.join(policy.aliases))}[/dim]" if policy.aliases else ""
        console.print(f"\n[bold]{plain(policy.name)}[/bold]{aliases}")
        console.print(Padding(plain(policy.sentence), (0, 0, 0, INDENT)))
        for option in policy.options:
            console.print(Padding(_option_line(option), (0, 0, 0, 2 * INDENT)))
        console.print(Padding(f"[dim]{plain(policy.source)}[/dim]", (0, 0, 0, INDENT)))
    console.print()
    console.print(
        "Any policy takes priorities=50:50:10:10 (path groups: the highest is used), and a Python file of "
        "your own may stand for one: mpio:2/./mine.py (docs/policies.md)."
    )


def _option_line(option: Option) -> str:
    """One option with its default and what it does."""
    from analyzer.commands.shown import plain

    default = option.default if isinstance(option.default, str) else f"{option.default:.15g}"
    if option.is_per_path:
        default = f"{default}:{default}:..."
    return f"{plain(option.name)}={plain(default)}  [dim]{plain(option.sentence)}[/dim]"
