"""``analyzer policies``: what may stand in ``--with``."""

from __future__ import annotations

from typing import Annotated

import typer


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
            plain(policy.sentence),
            plain(policy.source),
        ]
        for policy in POLICIES
    ]
    console.print(table("Policies", [("policy", ""), ("rule", ""), ("source", "")], rows))
