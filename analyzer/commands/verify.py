"""``analyzer verify``: our decoder against Wireshark's, PDU by PDU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from analyzer.commands.replay import Port

if TYPE_CHECKING:
    from rich.console import Console

    from analyzer.decoders.verification import Verification

LONGEST_LIST = 20
EXIT_UNEXPLAINED = 1


def verify(
    captures: Annotated[
        list[str], typer.Argument(metavar="CAPTURE...", help="Capture files of a few MB.", show_default=False)
    ],
    port: Port = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of tables.")
    ] = False,
) -> None:
    """Compare the native decoder with Wireshark, and explain every difference.

    Wireshark is asked through pyshark, which takes a second for about 300 packets. The exit code is 1
    where a difference stays unexplained.
    """
    from analyzer.commands.shown import output_console, print_json
    from analyzer.commands.sources import COMPILING
    from analyzer.commands.waiting import announced_if_compiling, progress_bar
    from analyzer.decoders import native, wireshark
    from analyzer.decoders.verification import verify as compare

    with announced_if_compiling(COMPILING.format(seconds=30)):
        native.prepare()
    ours = native.decode(captures, ports=port or ())
    ports = sorted({*(port or ()), *(int(number) for number in ours.connections.target_port)})
    with progress_bar("Asking Wireshark", is_bytes=True) as progress:
        theirs = wireshark.decode(captures, ports=ports, progress=progress)
    verification = compare(ours, theirs)
    if as_json:
        print_json(as_document(verification, theirs.decoder))
    else:
        show(output_console(), verification, theirs.decoder)
    if verification.unexplained:
        raise typer.Exit(EXIT_UNEXPLAINED)


def as_document(verification: Verification, decoder: str) -> dict[str, Any]:
    """The whole result as plain JSON data."""
    return {
        "decoder": decoder,
        "native_pdus": verification.native,
        "wireshark_pdus": verification.wireshark,
        "equal_pdus": verification.equal,
        "unexplained": len(verification.unexplained),
        "differences": [
            {
                "kind": difference.kind.value,
                "rule": difference.rule or None,
                "connection": list(difference.connection),
                "from_target": difference.from_target,
                "packet": difference.packet,
                "time_ns": difference.time_ns,
                "opcode": difference.opcode,
                "header": difference.header.hex(),
            }
            for difference in verification.differences
        ],
    }


def show(console: Console, verification: Verification, decoder: str) -> None:
    """Print the counts, the explained differences by rule, and the first unexplained ones."""
    from analyzer.commands.shown import plain, table
    from analyzer.decoders.verification import RULES, Kind

    console.print(
        f"native: {verification.native:,} PDUs, {plain(decoder)}: {verification.wireshark:,} PDUs, "
        f"equal in header bytes and packet: {verification.equal:,}"
    )
    rows = []
    for rule in RULES:
        of_rule = [difference for difference in verification.differences if difference.rule == rule.name]
        if of_rule:
            counts = [sum(difference.kind is kind for difference in of_rule) for kind in Kind]
            rows.append([rule.name, *(f"{count:,}" for count in counts), rule.sentence])
    if rows:
        headings = [("rule", ""), *((kind.value, "right") for kind in Kind), ("why", "")]
        console.print(table("Differences that are explained", headings, rows))
    unexplained = verification.unexplained
    if not unexplained:
        console.print("No difference is unexplained.")
        return
    listed = [
        [
            difference.kind.value,
            f"{difference.packet:,}",
            plain("{}:{} → {}:{}".format(*difference.connection)),
            "from target" if difference.from_target else "to target",
            plain(difference.opcode),
        ]
        for difference in unexplained[:LONGEST_LIST]
    ]
    headings = [("found by", ""), ("packet", "right"), ("connection", ""), ("direction", ""), ("PDU", "")]
    console.print(table(f"Unexplained: {len(unexplained):,}", headings, listed))
