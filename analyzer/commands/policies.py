"""``analyzer policies``: what may stand in ``--with``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from analyzer.replay.policies.interface import Option


def policies(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """List the topologies and path policies, with their options and where each rule comes from."""
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
    rows = [
        [
            "\n".join([plain(policy.name), *(f"[dim]{plain(alias)}[/dim]" for alias in policy.aliases)]),
            "\n".join([plain(policy.sentence), *(_option_line(option) for option in policy.options)]),
            plain(policy.source),
        ]
        for policy in POLICIES
    ]
    console.print(table("Policies", [("policy", ""), ("rule and options", ""), ("source", "")], rows))
    console.print(
        "Any policy takes priorities=50:50:10:10 (path groups: the highest is used), and a Python file of "
        "your own may stand for one: mpio:2/./mine.py (docs/policies.md)."
    )


def _option_line(option: Option) -> str:
    """One option with its default, dimmed."""
    from analyzer.commands.shown import plain

    default = option.default if isinstance(option.default, str) else f"{option.default:.15g}"
    if option.is_per_path:
        default = f"{default}:{default}:..."
    return f"[dim]{plain(option.name)}={plain(default)}  {plain(option.sentence)}[/dim]"
