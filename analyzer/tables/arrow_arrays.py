"""Between NumPy and Arrow by their buffers, without Arrow's own converters.

Decides how a column of plain values is laid out as an Arrow array and read back. ``pyarrow.array`` and
``Array.to_numpy`` load pandas, and the compute kernels load their documentation, which together take
longer than most captures take to decode; buffers need neither. Knows no tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Flags = npt.NDArray[np.bool_]

_NUMPY_TYPES: dict[pa.DataType, type[np.generic]] = {
    pa.bool_(): np.bool_,
    pa.uint8(): np.uint8,
    pa.uint16(): np.uint16,
    pa.uint32(): np.uint32,
    pa.uint64(): np.uint64,
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.float64(): np.float64,
}


def to_arrow(values: npt.NDArray[Any] | Sequence[Any], kind: pa.DataType, is_null: Flags | None) -> pa.Array:
    """``values`` (n of them, None or ``is_null`` for a null) as an Arrow array of ``kind``.

    ``kind`` is a number, bool, string, or a dictionary of strings with int32 indexes. Raises ValueError
    where a value does not fit into it.
    """
    if pa.types.is_dictionary(kind):
        return _dictionary(values, is_null)
    if pa.types.is_string(kind):
        return _strings(values, is_null)
    return _numbers(values, kind, is_null)


def strings(texts: Sequence[str]) -> pa.StringArray:
    """Texts without a null as an Arrow array."""
    return _strings(texts, None)


def dictionary(codes: npt.NDArray[np.integer], words: Sequence[str]) -> pa.DictionaryArray:
    """Indexes of ``words``, shape (n,), as a dictionary array; only words that occur stand in it."""
    present = np.flatnonzero(np.bincount(codes, minlength=len(words)))
    position = np.zeros(len(words), np.int32)
    position[present] = np.arange(len(present), dtype=np.int32)
    indexes = _numbers(position[codes], pa.int32(), None)
    return pa.DictionaryArray.from_arrays(indexes, strings([words[number] for number in present.tolist()]))


def null_flags(array: pa.Array) -> Flags:
    """Where an Arrow array holds null, shape (n,)."""
    if not array.null_count:
        return np.zeros(len(array), np.bool_)
    return ~_bits(array.buffers()[0], array.offset, len(array))


def to_numpy(array: pa.Array, null: Any = None) -> npt.NDArray[Any]:
    """An Arrow array as NumPy values with ``null`` for each null, shape (n,); texts become objects."""
    if not len(array):  # A column without chunks is no array.
        return np.zeros(0, _NUMPY_TYPES.get(array.type, object))
    if pa.types.is_dictionary(array.type):
        words = np.array([*array.dictionary.to_pylist(), null], dtype=object)
        codes = to_numpy(array.indices, len(words) - 1)
        return np.asarray(words[codes])
    kind = _NUMPY_TYPES.get(array.type)
    if kind is None:
        texts = array.to_pylist()
        found = np.empty(len(texts), dtype=object)
        found[:] = [null if text is None else text for text in texts] if array.null_count else texts
        return found
    content = array.buffers()[1]
    if kind is np.bool_:
        values: npt.NDArray[Any] = _bits(content, array.offset, len(array))
    else:
        values = np.frombuffer(content, kind)[array.offset : array.offset + len(array)]
    return np.where(null_flags(array), kind(null), values) if array.null_count else values


def _numbers(values: npt.NDArray[Any] | Sequence[Any], kind: pa.DataType, is_null: Flags | None) -> pa.Array:
    numpy_type = _NUMPY_TYPES[kind]
    if not isinstance(values, np.ndarray):
        if is_null is None and any(value is None for value in values):
            is_null = np.array([value is None for value in values], np.bool_)
        values = _from_list([0 if value is None else value for value in values], numpy_type)
    fitted = np.ascontiguousarray(values, dtype=numpy_type)
    if not np.can_cast(values.dtype, numpy_type, "safe"):
        is_strange = fitted != values
        if is_null is not None:
            is_strange &= ~is_null
        if is_strange.any():
            raise ValueError(f"{values[np.flatnonzero(is_strange)[0]]!r} is no {kind}")
    content = np.packbits(fitted, bitorder="little") if numpy_type is np.bool_ else fitted
    return pa.Array.from_buffers(kind, len(fitted), [_validity(is_null), pa.py_buffer(content)])


def _from_list(values: list[Any], numpy_type: type[np.generic]) -> npt.NDArray[Any]:
    try:
        return np.array(values, numpy_type)
    except (OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None


def _strings(values: npt.NDArray[Any] | Sequence[Any], is_null: Flags | None) -> pa.StringArray:
    texts = values.tolist() if isinstance(values, np.ndarray) else values
    if is_null is None and any(text is None for text in texts):
        is_null = np.array([text is None for text in texts], np.bool_)
    # File names may hold bytes that are no UTF-8.
    encoded = [b"" if text is None else text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{offsets[-1]} bytes of text do not fit into one column")
    return pa.StringArray.from_buffers(
        len(encoded),
        pa.py_buffer(offsets.astype(np.int32)),
        pa.py_buffer(b"".join(encoded)),
        _validity(is_null),
    )


def _dictionary(values: npt.NDArray[Any] | Sequence[Any], is_null: Flags | None) -> pa.DictionaryArray:
    """Words in order of their first appearance."""
    numbers: dict[str, int] = {}
    codes = np.zeros(len(values), np.int32)
    missing = np.zeros(len(values), np.bool_) if is_null is None else is_null.copy()
    texts = values.tolist() if isinstance(values, np.ndarray) else values
    for place, word in enumerate(texts):
        if word is None or missing[place]:
            missing[place] = True
        else:
            codes[place] = numbers.setdefault(word, len(numbers))
    indexes = _numbers(codes, pa.int32(), missing if missing.any() else None)
    return pa.DictionaryArray.from_arrays(indexes, strings(list(numbers)))


def _validity(is_null: Flags | None) -> pa.Buffer | None:
    if is_null is None or not is_null.any():
        return None
    return pa.py_buffer(np.packbits(~is_null, bitorder="little"))


def _bits(buffer: pa.Buffer, offset: int, count: int) -> Flags:
    raw = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(raw, count=offset + count, bitorder="little")[offset:].astype(np.bool_)
