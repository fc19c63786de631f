"""A table that does not fit its declaration is refused when it is built, not when it is read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from analyzer.tables.outcome_tables import OUTCOME_TABLES
from analyzer.tables.schema import Column, Table
from analyzer.tables.timeline_tables import TIMELINE_TABLES

POINTS = Table(
    "points",
    "one point",
    (
        Column("x", "int64", "Place."),
        Column("note", "text", "Remark.", null="none was made"),
        Column("colour", "category", "Colour.", values=("red", "blue")),
    ),
)


def test_arrays_lists_and_masked_arrays_become_the_declared_types() -> None:
    table = POINTS.build({"x": np.array([1, 2], np.int32), "note": [None, "b"], "colour": ["red", "blue"]})
    assert table.schema == POINTS.schema
    assert table.column("note").null_count == 1
    masked = np.ma.MaskedArray(np.array([5, 6]), mask=[True, False])
    optional = Table("optional", "one", (Column("y", "int64", "Value.", null="not seen"),))
    assert optional.build({"y": masked}).column("y").to_pylist() == [None, 6]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"x": [1], "note": ["a"]}, "missing columns"),
        ({"x": [1], "note": ["a"], "colour": ["red"], "z": [1]}, "undeclared columns"),
        ({"x": [1, 2], "note": ["a"], "colour": ["red"]}, "differ in length"),
        ({"x": [None], "note": ["a"], "colour": ["red"]}, "may not be null"),
        ({"x": [1], "note": ["a"], "colour": ["green"]}, "undeclared"),
    ],
)
def test_what_breaks_the_declaration_is_named(columns: dict[str, list[object]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        POINTS.build(columns)


def test_a_foreign_table_is_checked_against_the_declaration() -> None:
    with pytest.raises(ValueError, match="has columns"):
        POINTS.check(pa.table({"x": [1]}))
    with pytest.raises(ValueError, match="column x is double"):
        POINTS.check(pa.table({"x": [1.5], "note": ["a"], "colour": ["red"]}))


@pytest.mark.parametrize("table", [*TIMELINE_TABLES, *OUTCOME_TABLES], ids=lambda table: table.name)
def test_every_column_has_a_sentence_and_times_have_a_unit(table: Table) -> None:
    for column in table.columns:
        assert column.sentence.endswith("."), column.name
        if column.name.endswith("_ns"):
            assert (column.type, column.unit) == ("int64", "ns"), column.name
        if column.name.endswith("_bytes"):
            assert column.unit == "bytes", column.name
    assert len({column.name for column in table.columns}) == len(table.columns)


CONTRACT = {
    "sessions": """session_index initiator_name target_name isid tsih target_portal_group_tag session_type
        max_connections error_recovery_level max_burst_bytes first_burst_bytes initial_r2t immediate_data
        time2wait_s time2retain_s login_seen first_ns last_ns""",
    "connections": """connection_index session_index cid initiator_address initiator_port target_address
        target_port header_digest data_digest login_seen opened_ns closed_ns end retransmitted_segments
        lost_bytes rtt_ns_min""",
    "pdus": """pdu_index time_ns time_last_ns packet file_index connection_index from_target opcode
        is_immediate is_final flags lun initiator_task_tag target_transfer_tag cmd_sn stat_sn exp_cmd_sn
        max_cmd_sn exp_stat_sn data_sn buffer_offset data_length header_digest_ok data_digest_ok""",
    "tasks": """task_index session_index connection_index response_connection_index initiator_task_tag
        cmd_sn lun is_immediate attribute operation cdb lba blocks direction expected_bytes
        transferred_bytes residual_bytes command_ns command_packet first_data_ns last_data_ns response_ns
        response_packet latency_ns order_wait_ns outstanding r2t_count data_in_count data_out_count status
        response sense_key asc ascq end retry_count reassign_count retry_of_task_index""",
    "events": "event_index at_ns packet session_index connection_index task_index kind detail",
    "requests": """request_index task_index path_index ready_ns dispatched_ns arrived_ns released_ns
        started_ns completed_ns latency_ns end retry_count reassign_count""",
}


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_the_columns_that_others_rely_on_are_there(name: str) -> None:
    table = next(table for table in (*TIMELINE_TABLES, *OUTCOME_TABLES) if table.name == name)
    assert set(CONTRACT[name].split()) <= {column.name for column in table.columns}
