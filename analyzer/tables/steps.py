"""Tables that are too large for memory, built and kept piece by piece.

A piece lies in a scratch array in Arrow's own format, which Arrow reads where it lies. Knows no columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from analyzer.scratch import Scratch
from analyzer.tables.schema import Table


def build_in_steps(
    table: Table, columns_of: Callable[[slice], Mapping[str, Any]], count: int, scratch: Scratch
) -> pa.Table:
    """The table of ``count`` rows; ``columns_of`` gives what ``Table.build`` takes for some of them."""
    steps = list(scratch.steps(count))
    if len(steps) < 2:
        return table.build(columns_of(slice(0, count)))
    return pa.concat_tables([_moved(table.build(columns_of(step)), scratch) for step in scratch.steps(count)])


def _moved(table: pa.Table, scratch: Scratch) -> pa.Table:
    """The same table in a scratch array."""
    measured = pa.MockOutputStream()
    _write(table, measured)
    room = scratch.empty(measured.size(), np.uint8)
    _write(table, pa.FixedSizeBufferWriter(pa.py_buffer(room)))
    return pa.ipc.open_stream(pa.py_buffer(room)).read_all()


def _write(table: pa.Table, sink: Any) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
