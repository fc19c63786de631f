"""What a table is: named columns with a type, a unit, the meaning of null, and a sentence.

Arrow schemas, checks and the reference page ``docs/tables.md`` come from these declarations.
A column that may be null says what null means; one that does not say so may not hold null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analyzer.tables.arrow_arrays import to_arrow

NULL_NOT_SEEN = "not seen in the capture"
NULL_NOT_APPLICABLE = "does not apply"

_ARROW_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "text": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``null`` is what a null means, or empty where none may stand.

    ``values`` lists all that a category may hold; empty where the set is open (operation names).
    """

    name: str
    type: str
    sentence: str
    unit: str = ""
    null: str = ""
    values: tuple[str, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that stores the column."""
        return _ARROW_TYPES[self.type]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name, what a row is, and its columns in order."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema: types and nullability as declared."""
        return pa.schema(
            [pa.field(column.name, column.arrow_type, nullable=bool(column.null)) for column in self.columns]
        )

    def column(self, name: str) -> Column:
        """The declared column. Raises KeyError for a name that is not declared."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")

    def build(self, columns: Mapping[str, Any]) -> pa.Table:
        """An Arrow table of this declaration from NumPy arrays, masked arrays, lists or Arrow arrays.

        Every declared column must be given and no other; all have one length. A
        ``numpy.ma.MaskedArray`` stores null where its mask is set. Raises ValueError where
        the given columns break the declaration: that is a mistake of ours, never of the input.
        """
        declared = [column.name for column in self.columns]
        if set(declared) != set(columns):
            missing = sorted(set(declared) - set(columns))
            unknown = sorted(set(columns) - set(declared))
            raise ValueError(f"table {self.name}: missing columns {missing}, undeclared columns {unknown}")
        arrays = [_arrow_array(self.name, column, columns[column.name]) for column in self.columns]
        lengths = {len(array) for array in arrays}
        if len(lengths) > 1:
            sizes = dict(zip(declared, map(len, arrays), strict=True))
            raise ValueError(f"table {self.name}: columns differ in length: {sizes}")
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def empty(self) -> pa.Table:
        """The table with no rows."""
        return self.schema.empty_table()

    def check(self, table: pa.Table) -> None:
        """Raise ValueError where ``table`` (for example, read from a file) is not of this declaration."""
        if table.schema.names != [column.name for column in self.columns]:
            raise ValueError(f"table {self.name} has columns {table.schema.names}")
        for column in self.columns:
            stored = table.schema.field(column.name).type
            if stored != column.arrow_type:
                raise ValueError(f"table {self.name}: column {column.name} is {stored}")
            if not column.null and table.column(column.name).null_count:
                raise ValueError(f"table {self.name}: column {column.name} holds null")


def _arrow_array(table: str, column: Column, values: Any) -> pa.Array:
    mask = None
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        values = np.ma.getdata(values)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else to_arrow(values, column.arrow_type, mask)
    if column.type == "category" and not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if array.type != column.arrow_type:
        array = array.cast(column.arrow_type)
    if not column.null and array.null_count:
        raise ValueError(f"table {table}: column {column.name} may not be null, yet {array.null_count} are")
    if column.values:
        strange = set(array.dictionary.to_pylist()) - set(column.values)
        if strange:
            raise ValueError(f"table {table}: column {column.name} holds undeclared {sorted(strange)}")
    return array
