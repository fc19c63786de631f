"""The sections of the page in reading order, one file each.

A section is a function from a study to a ``Section`` of plain data, or to None where it has
nothing to say. A new one is one file and one line in ``SECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.report.blocks import Section
from analyzer.report.sections import (
    claims,
    commands,
    comparison,
    diagnostics,
    events,
    failover,
    incidents,
    latency,
    limits,
    load,
    order,
    parts,
    pattern,
    provenance,
    quality,
    reservations,
    topology,
    validity,
    verdict,
    worst,
)
from analyzer.report.study import Study

SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    verdict.build,
    quality.build,
    topology.build,
    commands.build,
    order.build,
    latency.build,
    parts.build,
    load.build,
    pattern.build,
    incidents.build,
    events.build,
    reservations.build,
    validity.build,
    comparison.build,
    limits.build,
    failover.build,
    claims.build,
    worst.build,
    diagnostics.build,
    provenance.build,
)
