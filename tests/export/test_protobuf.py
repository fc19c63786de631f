"""The wire format against the definition of its documentation and against its own library."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import DebugAnnotation, TrackEvent

from analyzer.export.protobuf import (
    close_message,
    message,
    number,
    open_message,
    put_number,
    put_varint,
    text,
    varint,
)


def test_the_example_of_the_documentation():
    """150 is 96 01, and field 1 holding it is 08 96 01 (protobuf.dev, encoding)."""
    assert varint(150) == b"\x96\x01"
    assert number(1, 150) == b"\x08\x96\x01"
    assert text(2, "testing") == bytes.fromhex("120774657374696e67")


@given(st.integers(0, 2**63 - 1), st.integers(1, 2000))
def test_the_compiled_writer_writes_the_same(value: int, field: int):
    buffer = np.zeros(32, np.uint8)
    assert buffer[: put_varint(buffer, 0, value)].tobytes() == varint(value)
    assert buffer[: put_number(buffer, 0, field, value)].tobytes() == number(field, value)
    assert buffer[: put_number.py_func(buffer, 0, field, value)].tobytes() == number(field, value)


@given(st.integers(0, 2**63 - 1))
def test_a_message_whose_length_is_filled_in_later_reads_the_same(value: int):
    buffer = np.zeros(64, np.uint8)
    begin = open_message(buffer, 0, 4)
    end = close_message(buffer, begin, put_number(buffer, begin, 3, value))
    read = TrackEvent.FromString(buffer[:end].tobytes())
    assert read.debug_annotations == [DebugAnnotation(uint_value=value)]
    assert read == TrackEvent.FromString(message(4, number(3, value)))
