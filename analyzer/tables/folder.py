"""Folders of declared tables with a manifest: the borders between decoding, replay and report.

A folder is written whole beside its place and then moved there, so a reader never sees half of
one. Reading checks every table against its declaration, since the folder may come from anywhere.
Tables are Arrow in memory; the attributes that the contract names (``timeline.tasks``) are pandas
DataFrames with nullable types, made when first asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from analyzer.errors import UnusableInputError
from analyzer.scratch import Scratch
from analyzer.tables.arrow_arrays import null_flags, to_numpy
from analyzer.tables.outcome_tables import OUTCOME_TABLES
from analyzer.tables.schema import Table
from analyzer.tables.timeline_tables import TIMELINE_TABLES

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
JSON_LIMIT_BYTES = 16 << 20
FORMAT_VERSION = 2


class TableFolder:
    """Declared tables and a manifest; subclasses name the tables."""

    format_name: ClassVar[str]
    tables: ClassVar[tuple[Table, ...]]

    def __init__(
        self,
        arrow: Mapping[str, pa.Table],
        manifest: Mapping[str, Any] | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        """``arrow`` holds one checked Arrow table for each declared one; ``manifest`` is plain JSON data.

        ``scratch`` is where tables lie that are too large for memory.
        """
        self._scratch = scratch or Scratch(is_used=False)
        for table in self.tables:
            table.check(arrow[table.name])
        self.arrow: dict[str, pa.Table] = {table.name: arrow[table.name] for table in self.tables}
        self.manifest: dict[str, Any] = dict(manifest or {})
        self._frames: dict[str, pd.DataFrame] = {}

    def frame(self, name: str) -> pd.DataFrame:
        """The table as a pandas DataFrame with nullable types; the same object at every call."""
        if name not in self._frames:
            self._frames[name] = _to_frame(self.arrow[name])
        return self._frames[name]

    def values(self, table: str, column: str, null: Any = None) -> npt.NDArray[Any]:
        """One column as a NumPy array, shape (rows,), with ``null`` where the table holds null.

        Raises ValueError where the column holds null and no stand-in is given.
        """
        chunks = self.arrow[table].column(column)
        if chunks.null_count and null is None:
            raise ValueError(f"{table}.{column} holds null and no stand-in was given")
        return self._joined(chunks, lambda chunk: to_numpy(chunk, null))

    def categories(self, table: str, column: str) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
        """One category column without nulls as its words and, for each row, the number of its word, (rows,).

        A million rows cost no Python string each, as ``values`` would.
        """
        chunks = self.arrow[table].column(column)
        numbers: dict[str, int] = {}

        def codes(chunk: pa.DictionaryArray) -> npt.NDArray[Any]:
            words = [numbers.setdefault(word, len(numbers)) for word in chunk.dictionary.to_pylist()]
            taken: npt.NDArray[np.int32] = np.array(words, np.int32)[to_numpy(chunk.indices)]
            return taken

        joined = self._joined(chunks, codes) if len(chunks) else np.zeros(0, np.int32)
        return tuple(numbers), joined

    def is_null(self, table: str, column: str) -> npt.NDArray[np.bool_]:
        """Where one column holds null, shape (rows,)."""
        return np.asarray(self._joined(self.arrow[table].column(column), null_flags), np.bool_)

    def _joined(
        self, chunks: pa.ChunkedArray, values_of: Callable[[pa.Array], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        """The values of all chunks as one array, which lies where the table does."""
        if chunks.num_chunks < 2:
            alone = values_of(chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type))
            return np.asarray(alone)
        kind = values_of(chunks.chunk(0)).dtype
        joined: npt.NDArray[Any] = (np.empty if kind.hasobject else self._scratch.empty)(len(chunks), kind)
        done = 0
        for chunk in chunks.chunks:
            joined[done : done + len(chunk)] = values_of(chunk)
            done += len(chunk)
            self._scratch.let_go()
        return joined

    def write(self, folder: str | Path) -> Path:
        """Write the folder, replacing an earlier one of the same kind; gives its path.

        Raises UnusableInputError where the place holds something else or cannot be written.
        """
        place = Path(folder)
        if place.exists() and not _may_be_replaced(place, self.format_name):
            raise UnusableInputError(
                f"exists and is no {self.format_name} folder; not overwritten", source=str(place)
            )
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        except OSError as error:
            raise UnusableInputError(f"cannot be written: {error.strerror}", source=str(place)) from None
        try:
            self._write_into(beside)
            beside.chmod(0o777 & ~_umask())
            if place.exists():
                shutil.rmtree(place)
            beside.rename(place)
        except OSError as error:
            raise UnusableInputError(f"cannot be written: {error.strerror}", source=str(place)) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return place

    def _write_into(self, folder: Path) -> None:
        with ThreadPoolExecutor() as pool:
            written = [
                pool.submit(_write_table, table, folder / f"{name}.parquet", self._scratch)
                for name, table in self.arrow.items()
            ]
            for one in written:
                one.result()
        head = {
            "format": self.format_name,
            "format_version": FORMAT_VERSION,
            "tables": {name: table.num_rows for name, table in self.arrow.items()},
        }
        text = json.dumps({**self.manifest, **head}, indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a folder. Raises UnusableInputError where it is not one, is newer, or is damaged."""
        place = Path(folder)
        manifest = read_manifest(place)
        if manifest.get("format") != cls.format_name:
            raise UnusableInputError(
                f"is no {cls.format_name} folder but {manifest.get('format')!r}", source=str(place)
            )
        if manifest.get("format_version") != FORMAT_VERSION:
            raise UnusableInputError(
                f"has format version {manifest.get('format_version')!r}; this analyzer reads "
                f"{FORMAT_VERSION}",
                source=str(place),
            )
        arrow = {table.name: _read_table(place, table) for table in cls.tables}
        return cls(arrow, manifest)


class Timeline(TableFolder):
    """What a capture holds: sessions, connections, PDUs, tasks and events, with what was lost."""

    format_name = "iscsi-timeline"
    tables = TIMELINE_TABLES

    @property
    def captures(self) -> pd.DataFrame:
        """The capture files, one row each."""
        return self.frame("captures")

    @property
    def sessions(self) -> pd.DataFrame:
        """The iSCSI sessions, one row each."""
        return self.frame("sessions")

    @property
    def connections(self) -> pd.DataFrame:
        """The TCP connections, one row each."""
        return self.frame("connections")

    @property
    def pdus(self) -> pd.DataFrame:
        """The PDUs in order of time, one row each."""
        return self.frame("pdus")

    @property
    def tasks(self) -> pd.DataFrame:
        """The SCSI commands, one row each."""
        return self.frame("tasks")

    @property
    def events(self) -> pd.DataFrame:
        """What happened, in order of time."""
        return self.frame("events")

    @property
    def incidents(self) -> pd.DataFrame:
        """Lost connections, resets and stalls, each from its first sign to the last command it held."""
        return self.frame("incidents")

    @property
    def task_fates(self) -> pd.DataFrame:
        """What became of every command that an incident held."""
        return self.frame("task_fates")

    @property
    def diagnostics(self) -> pd.DataFrame:
        """What the capture lacks and what was assumed."""
        return self.frame("diagnostics")


class Outcome(TableFolder):
    """What came of one workload under one scenario; the manifest holds the scenario."""

    format_name = "iscsi-outcome"
    tables = OUTCOME_TABLES

    @property
    def requests(self) -> pd.DataFrame:
        """The replayed requests, one row each."""
        return self.frame("requests")

    @property
    def paths(self) -> pd.DataFrame:
        """The paths with what they carried, one row each."""
        return self.frame("paths")

    @property
    def events(self) -> pd.DataFrame:
        """What happened in the replay, in order of time."""
        return self.frame("events")

    @property
    def metrics(self) -> pd.DataFrame:
        """The measured figures, one row each."""
        return self.frame("metrics")

    @property
    def label(self) -> str:
        """The scenario in the words of ``--with``, for example ``mcs:2/round-robin``."""
        return str(self.manifest["label"])


def _may_be_replaced(place: Path, format_name: str) -> bool:
    return is_folder_of(place, format_name) or (place.is_dir() and not any(place.iterdir()))


def is_folder_of(folder: Path, format_name: str) -> bool:
    """Whether ``folder`` holds a manifest of that format."""
    try:
        return bool(read_manifest(folder).get("format") == format_name)
    except UnusableInputError:
        return False


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises UnusableInputError where there is none or it is no JSON object."""
    return read_json_object(folder / MANIFEST)


def read_json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds.

    Raises UnusableInputError where it cannot be read, is no JSON object or larger than ``JSON_LIMIT_BYTES``.
    """
    try:
        if path.stat().st_size > JSON_LIMIT_BYTES:
            raise UnusableInputError(f"is larger than {JSON_LIMIT_BYTES:,} bytes", source=str(path))
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnusableInputError(f"cannot be read: {error.strerror}", source=str(path)) from None
    except ValueError:
        raise UnusableInputError("is no JSON", source=str(path)) from None
    if not isinstance(found, dict):
        raise UnusableInputError("is no JSON object", source=str(path))
    return found


def _write_table(table: pa.Table, path: Path, scratch: Scratch) -> None:
    """Write one table, each column in the encoding that suits it: most integers grow by small steps."""
    steps = {
        field.name: "DELTA_BINARY_PACKED"
        for field in table.schema
        if pa.types.is_integer(field.type) and field.type.bit_width >= 32
    }
    words = [
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    ]
    with pq.ParquetWriter(
        path,
        table.schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=words,
        column_encoding=steps,
    ) as writer:
        for step in scratch.steps(table.num_rows):
            writer.write_table(table.slice(step.start, step.stop - step.start))


def _read_table(folder: Path, table: Table) -> pa.Table:
    path = folder / f"{table.name}.parquet"
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            arrow = file.read().select([column.name for column in table.columns])
        if not arrow.schema.equals(table.schema):
            arrow = arrow.cast(table.schema)
        table.check(arrow)
    except FileNotFoundError:
        raise UnusableInputError("is missing", source=str(path)) from None
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UnusableInputError(f"is damaged: {str(error).splitlines()[0]}", source=str(path)) from None
    return arrow


def _to_frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd  # heavy, and not needed where only Arrow is

    nullable: dict[pa.DataType, Any] = {
        pa.bool_(): pd.BooleanDtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
