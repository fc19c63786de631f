"""Plain sections into one HTML text: escaping, packing of columns, and nothing that computes a figure.

Everything the page needs stands inside it: styles, script, data and Plotly. Foreign text passes
Jinja's autoescaping or, inside the data, JSON with every character that HTML could act on
written as an escape. A content security policy in the page forbids any load from elsewhere.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from analyzer.report.blocks import Axis, Figure, Hover, Section, Series
from analyzer.report.lives import MOMENTS, Lives
from analyzer.report.palette import PALETTE
from analyzer.report.plotly_script import plotly_script
from analyzer.report.strata import CELLS_PER_DECADE, Strata
from analyzer.report.words import visible

_INTEGERS: tuple[tuple[str, type[np.integer[Any]]], ...] = (
    ("u1", np.uint8),
    ("i2", np.int16),
    ("i4", np.int32),
)


SCRIPTS = (
    "columns.js",
    "theme.js",
    "library.js",
    "sums.js",
    "drawing.js",
    "window.js",
    "selection.js",
    "incidents.js",
    "saving.js",
    "tables.js",
    "studies.js",
)
"""The parts of the page's script in order; together they are one function."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the sections of a study."""

    title: str
    subjects: tuple[str, ...]
    begins: str
    lasts: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One study on the page. ``prefix`` keeps the ids of several apart; one alone needs none."""

    name: str
    prefix: str
    head: Head
    sections: tuple[Section, ...]
    extras: dict[str, Any]
    """What the page knows of the study beside its figures, as plain JSON data."""

    @property
    def data(self) -> str:
        """The figures as JSON text that is safe inside a script element."""
        figures = {
            figure.name: figure_data(figure) for section in self.sections for figure in section.figures()
        }
        return safe_json({"figures": figures, **self.extras})


def panels_of(studies: Sequence[tuple[Head, tuple[Section, ...], dict[str, Any]]]) -> tuple[Panel, ...]:
    """The studies as panels, named ``s1``, ``s2`` and so on."""
    several = len(studies) > 1
    return tuple(
        Panel(f"s{number}", f"s{number}-" if several else "", *study)
        for number, study in enumerate(studies, start=1)
    )


def render(panels: Sequence[Panel]) -> str:
    """The whole page as text."""
    environment = Environment(
        loader=PackageLoader("analyzer.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader
    assert source is not None
    return environment.get_template("page.html.j2").render(
        panels=panels,
        title=panels[0].head.title if len(panels) == 1 else f"{len(panels)} studies",
        colors=_color_rules(),
        style=source.get_source(environment, "page.css")[0],
        script=safe_script(_script(environment)),
        plotly=plotly_script() if any(s.figures() for p in panels for s in p.sections) else None,
        data=safe_json({"palette": PALETTE}),
    )


def safe_json(value: Any) -> str:
    """``value`` as JSON that may stand inside a script element: no ``<``, ``>``, ``&`` or line separator."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def safe_script(text: str) -> str:
    """Script text whose strings cannot end, or open a comment in, the element they stand in."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure as JSON data with packed columns."""
    return {
        "x": _axis(figure.x),
        "y": _axis(figure.y),
        "height": figure.height,
        "sum": figure.sum,
        "series": [_series(series) for series in figure.series],
    }


def lives_data(lives: Lives) -> dict[str, Any]:
    """The lives of commands as JSON data with packed columns."""
    return {
        "task": pack(lives.task),
        "facts": {name: pack(column) for name, column in lives.facts.items()},
        "names": {name: list(words) for name, words in lives.names.items()},
        "labels": [label for label, _ in MOMENTS],
        "moments": [pack(column, rough=True) for column in lives.moments],
    }


def strata_data(strata: Strata | None) -> dict[str, Any] | None:
    """The strata as JSON data with packed columns."""
    if strata is None:
        return None
    stratum, cell, number = strata.cells
    columns: dict[str, npt.NDArray[Any]] = {
        "connection": strata.connection,
        "session": strata.session,
        "lun": strata.lun,
        "operation": strata.operation,
        "requests": strata.requests,
        "completed": strata.completed,
        "latency_ns": strata.latency_ns,
        "latency_ns_max": strata.latency_ns_max,
        "parts_ns": strata.parts_ns.reshape(-1),
        "edges": strata.edges,
        "completions": strata.completions.reshape(-1),
        "moved_bytes": strata.moved_bytes.reshape(-1),
        "cell_stratum": stratum,
        "cell": cell,
        "cell_number": number,
    }
    packed = {name: pack(column) for name, column in columns.items()}
    packed["in_flight"] = pack(strata.in_flight.reshape(-1), rough=True)
    return {"per_decade": CELLS_PER_DECADE, "columns": packed}


def pack(values: npt.NDArray[Any], *, rough: bool = False) -> dict[str, Any]:
    """A column as ``{"n": length, "c": constant}`` or ``{"n": length, "t": type, "b": base64}``.

    Little-endian, in the narrowest type that keeps every value; ``rough`` allows single precision.
    """
    values = np.asarray(values)
    total = len(values)
    if total and np.isfinite(values[0]) and (values == values[0]).all():
        return {"n": total, "c": values[0].item()}
    # A NaN is no integer, and a number may be too large for a type: the comparisons say so.
    with np.errstate(invalid="ignore", over="ignore"):
        for name, kind in _INTEGERS:
            if (values.astype(kind) == values).all():
                return _packed(name, values.astype(kind))
        single = values.astype(np.float32)
        if rough or (single == values).all():
            return _packed("f4", single)
    return _packed("f8", values.astype(np.float64))


def _packed(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    little = values.astype(values.dtype.newbyteorder("<"))
    return {"n": len(values), "t": name, "b": base64.b64encode(little.tobytes()).decode("ascii")}


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": axis.title,
        "unit": axis.unit,
        "kind": str(axis.kind),
        "ticks": [list(tick) for tick in axis.ticks],
        "range": None if axis.range is None else list(axis.range),
    }


def _series(series: Series) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": series.name,
        "shape": str(series.shape),
        "color": series.color,
        "dash": series.dash,
        "symbol": series.symbol,
        "thickness": series.thickness,
        "x": pack(series.x),
        "y": pack(series.y, rough=True),
        "hover": [_hover(hover) for hover in series.hover],
        "cell": None if series.cell is None else list(series.cell),
        "keys": dict(series.keys),
    }
    if series.end is not None:
        data["end"] = pack(series.end)
    if series.rank is not None:
        same = [
            place for place, hover in enumerate(series.hover) if np.array_equal(hover.values, series.rank)
        ]
        # A rank that is told anyway is not stored twice.
        data["rank"] = {"hover": same[0]} if same else pack(series.rank, rough=True)
    return data


def _hover(hover: Hover) -> dict[str, Any]:
    return {
        "label": hover.label,
        "unit": hover.unit,
        "key": hover.key,
        "names": list(hover.names),
        "values": pack(hover.values, rough=hover.unit == "ns"),
    }


def _shown(value: Any) -> Any:
    """Text without characters that act, whatever a section let through; lines stay lines."""
    if type(value) is not str or value.isprintable():
        return value
    return "\n".join(visible(line) for line in value.split("\n"))


def _script(environment: Environment) -> str:
    source = environment.loader
    assert source is not None
    parts = "\n".join(source.get_source(environment, f"script/{name}")[0] for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();'


def _color_rules() -> str:
    """The palette as CSS custom properties: light, dark by preference, and either by choice."""
    light = "".join(f"--{role}:{values[0]};" for role, values in PALETTE.items())
    dark = "".join(f"--{role}:{values[1]};" for role, values in PALETTE.items())
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
        f"@media print{{:root:root{{color-scheme:light;{light}}}}}"
    )
