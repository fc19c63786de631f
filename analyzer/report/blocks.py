"""What a section is made of, as plain data: words, figures, tables, and the topology picture.

Values only: no HTML, no colour values, no library. A test reads the numbers here; ``render``
turns them into the page. Times on a capture-time axis are seconds since the start of the capture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


class AxisKind(StrEnum):
    """How positions on an axis are to be read."""

    CAPTURE_TIME = "capture-time"
    """Seconds since the start of the capture; all such axes of the page zoom together."""
    REPLAY_TIME = "replay-time"
    """The same for replays, which may last longer: it has a range of its own and follows every zoom."""
    LINEAR = "linear"
    LOG = "log"
    LANES = "lanes"
    """Whole rows, labelled by ``ticks``."""


class Shape(StrEnum):
    """How a series is drawn."""

    BARS = "bars"
    """From ``x`` to ``end`` at row ``y``."""
    SPANS = "spans"
    """The same as a thin line."""
    POINTS = "points"
    LINE = "line"
    STEPS = "steps"
    """Holds each value until the next."""
    BAND = "band"
    """Filled between ``y`` and ``end``, in steps."""
    HEAT = "heat"
    """Cells from ``x`` and ``y`` of size ``cell``, coloured by ``rank`` on a logarithmic scale."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis with its unit; ``ticks`` of (position, label) replace the numbers."""

    title: str
    unit: str = ""
    kind: AxisKind = AxisKind.LINEAR
    ticks: tuple[tuple[float, str], ...] = ()
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Hover:
    """One line of what is told of a mark: a number in ``unit``, or a name picked by number from ``names``."""

    label: str
    values: npt.NDArray[np.int64] | Numbers
    unit: str = ""
    names: tuple[str, ...] = ()
    key: str = ""
    """``task``, ``session``, ``lun``, ``operation`` or ``stratum``: what selection and filters go by."""


@dataclass(frozen=True, slots=True)
class Series:
    """One set of marks of a figure; ``x``, ``y`` and ``end`` have one shape (n,).

    ``rank`` says which marks may go last when not all can be drawn at once.
    """

    name: str
    shape: Shape
    color: str
    x: Numbers
    y: Numbers
    end: Numbers | None = None
    rank: Numbers | None = None
    hover: tuple[Hover, ...] = ()
    dash: str = "solid"
    symbol: str = "circle"
    thickness: float = 2.0
    """Of a line, in pixels."""
    cell: tuple[float, float] | None = None
    """Width of a cell on ``x``, and its height on ``y``: of a logarithmic axis the ratio of its edges."""
    keys: Mapping[str, int] = field(default_factory=dict)
    """Of a sum: which ``connection``, ``operation`` or ``part`` it is of."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot: ``title`` says what to see, ``description`` says it to those who cannot see it."""

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    height: int = 320
    note: str = ""
    sum: str = ""
    """What its curves are sums of, for filters: ``completions``, ``throughput``, ``in_flight``, ``latency``
    or ``parts``; empty where they are no sums over commands of the recording."""


class Align(StrEnum):
    """How a column of a table is set."""

    TEXT = "text"
    NUMBER = "number"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a column with its meaning in a sentence."""

    label: str
    align: Align = Align.TEXT
    sentence: str = ""
    sum: str = ""
    """What the page adds up anew for the operation of each row when a filter is set (``sums.js``)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown and the value behind it, by which the column sorts."""

    text: str
    value: float | str | None = None
    tone: str = ""
    """``good``, ``bad``, ``warning`` or nothing."""
    color: str = ""
    """A palette role shown as a swatch before the text."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. ``note`` says what was left out."""

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[Cell, ...], ...]
    searchable: bool = False
    note: str = ""
    task_column: int | None = None
    """Column whose value is a task, by which a row is selected."""
    row_keys: tuple[Mapping[str, int], ...] = ()
    """For each row the ``session``, ``lun`` and ``operation`` it is about, by which filters hide it, and the
    ``incident`` that it chooses."""


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled sentence of a list."""

    label: str
    text: str
    tone: str = ""
    section: str = ""
    """Section that tells more."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Labelled sentences."""

    kind: ClassVar[str] = "lines"
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """One connection in the picture of the topology."""

    name: str
    color: str
    initiator: str
    target: str
    share: float
    """Of all commands, between 0 and 1."""
    remarks: tuple[str, ...]
    ended: str
    """How it ended, where it did not simply last."""


@dataclass(frozen=True, slots=True)
class Nexus:
    """One session in the picture of the topology."""

    name: str
    initiator: str
    target: str
    remarks: tuple[str, ...]
    links: tuple[Link, ...]
    units: tuple[str, ...] = ()
    """The logical units that it had commands for."""


@dataclass(frozen=True, slots=True)
class Topology:
    """Initiators, sessions, connections and portals."""

    kind: ClassVar[str] = "topology"
    description: str
    nexuses: tuple[Nexus, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Multiple:
    """One small chart: the same measure of several things, ``values`` in the order of the labels.

    ``intervals`` are drawn as error bars; None where there is none to draw.
    """

    title: str
    better: str
    texts: tuple[str, ...]
    values: tuple[float | None, ...]
    tones: tuple[str, ...]
    intervals: tuple[tuple[float, float] | None, ...]

    @property
    def largest(self) -> float:
        """What the scale of the chart goes up to."""
        ends = [one[1] for one in self.intervals if one is not None]
        return max([value for value in self.values if value is not None] + ends, default=0.0)


@dataclass(frozen=True, slots=True)
class Multiples:
    """Small charts of like build, side by side."""

    kind: ClassVar[str] = "multiples"
    name: str
    title: str
    description: str
    labels: tuple[str, ...]
    colors: tuple[str, ...]
    charts: tuple[Multiple, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Folded:
    """Text of interest to few, shown on demand."""

    kind: ClassVar[str] = "folded"
    summary: str
    text: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One claim with its verdict. ``how`` and ``numbers`` are shown on demand."""

    number: int
    sentence: str
    verdict: str
    tone: str
    reason: str
    how: tuple[tuple[str, str], ...]
    """Labelled sentences."""
    numbers: tuple[tuple[str, str], ...]
    """Labelled figures."""
    section: str = ""
    """Section with the plots."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Claims one under another."""

    kind: ClassVar[str] = "findings"
    items: tuple[Tried, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """One part of an incident's time. ``share`` is between 0 and 1."""

    label: str
    text: str
    share: float
    color: str


@dataclass(frozen=True, slots=True)
class Story:
    """One incident: its stretches as a bar and its steps (moment, what, detail) as a list."""

    incident: int
    title: str
    summary: str
    remarks: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    steps: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Stories:
    """Incidents told one under another."""

    kind: ClassVar[str] = "stories"
    name: str
    stories: tuple[Story, ...]


Block = Figure | Table | Lines | Topology | Multiples | Folded | Findings | Stories


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: the question it answers, the answer in a sentence with numbers, the evidence."""

    name: str
    """Short and stable: the anchor, also used in links."""
    title: str
    """Two or three words for the table of contents."""
    question: str
    answer: str
    blocks: tuple[Block, ...] = field(default=())

    def figures(self) -> tuple[Figure, ...]:
        """The figures in order."""
        return tuple(block for block in self.blocks if isinstance(block, Figure))

    def tables(self) -> tuple[Table, ...]:
        """The tables in order."""
        return tuple(block for block in self.blocks if isinstance(block, Table))
