"""Who spoke with whom: initiators, sessions, connections and target portals, with what each carried.

Decides what is said of a session and of a connection. Knows the tables, no login.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from analyzer.report.blocks import Align, Cell, Heading, Link, Nexus, Section, Table, Topology
from analyzer.report.cells import amount_cell, count_cell, maybe, moment_cell, name_cell, records, time_cell
from analyzer.report.study import Study
from analyzer.report.words import amount, duration, plural, size, visible

_PICTURED_SESSIONS = 24
_PICTURED_LINKS = 16
_PICTURED_UNITS = 12
_ENDS = {
    "reset": "reset",
    "timeout": "timed out",
    "replaced": "replaced by a new login",
    "fin": "closed without logout",
}


def build(study: Study) -> Section:
    """The picture, and the connections as a table."""
    sessions = records(study.timeline.sessions)
    connections = records(study.timeline.connections)
    normal = [row for row in sessions if maybe(row["session_type"]) != "discovery"]
    initiators = {maybe(row["initiator_name"]) for row in normal}
    portals = {(row["target_address"], row["target_port"]) for row in connections}
    units = len(study.luns[1])
    several = sum(1 for row in normal if _links_of(connections, row["session_index"]) > 1)
    way = (
        "Several connections share one CmdSN order (MC/S)"
        if several
        else "Every session has one connection of its own; order holds in each session alone"
    )
    answer = (
        f"{plural(len(initiators), 'initiator')}, {plural(len(normal), 'session')}, "
        f"{plural(len(connections), 'connection')} to {plural(len(portals), 'portal')} and "
        f"{plural(units, 'logical unit')}. {way}."
        if connections
        else "No iSCSI connection was found."
    )
    blocks = (_picture(study, sessions, connections), _table(study, connections))
    return Section("topology", "Topology", "Who spoke with whom?", answer, blocks if connections else ())


def _links_of(connections: list[dict[str, Any]], session: int) -> int:
    return sum(1 for row in connections if maybe(row["session_index"]) == session)


def _commands_by_connection(study: Study) -> npt.NDArray[np.int64]:
    return np.bincount(study.requests.path, minlength=len(study.connection_names))


def _picture(study: Study, sessions: list[dict[str, Any]], connections: list[dict[str, Any]]) -> Topology:
    commands = _commands_by_connection(study)
    units = _units_by_session(study)
    nexuses = []
    for row in sessions[:_PICTURED_SESSIONS]:
        index = row["session_index"]
        links = [
            _link(study, connection, commands)
            for connection in connections
            if maybe(connection["session_index"]) == index
        ]
        nexuses.append(
            Nexus(
                f"Session {index}",
                visible(maybe(row["initiator_name"]) or "initiator not named in the capture"),
                visible(maybe(row["target_name"]) or "target not named in the capture"),
                tuple(_session_remarks(row)),
                tuple(links[:_PICTURED_LINKS]),
                units.get(index, ()),
            )
        )
    left_out = max(0, len(sessions) - _PICTURED_SESSIONS)
    most = max((_links_of(connections, row["session_index"]) for row in sessions), default=0)
    note = f"{plural(left_out, 'more session')} in the table only. " if left_out else ""
    note += f"At most {_PICTURED_LINKS} connections of a session are drawn." if most > _PICTURED_LINKS else ""
    return Topology(
        f"{plural(len(sessions), 'session')} with their connections from initiator to target portal and the "
        "logical units behind it; the bar under each connection is its share of all commands.",
        tuple(nexuses),
        note.strip(),
    )


def _units_by_session(study: Study) -> dict[int, tuple[str, ...]]:
    """The logical units of each session with their commands, those with the most first."""
    codes, names = study.luns
    session = study.timeline.values("tasks", "session_index").astype(np.int64)
    keys, counts = np.unique(session * len(names) + codes, return_counts=True)
    found: dict[int, list[str]] = {}
    for place in np.argsort(-counts, kind="stable"):
        owner, code = divmod(int(keys[place]), len(names))
        found.setdefault(owner, []).append(f"LUN {names[code]}: {plural(int(counts[place]), 'command')}")
    shown = {}
    for owner, units in found.items():
        rest = len(units) - _PICTURED_UNITS
        more = (f"{rest} more",) if rest > 0 else ()
        shown[owner] = (*units[:_PICTURED_UNITS], *more)
    return shown


def _session_remarks(row: dict[str, Any]) -> list[str]:
    remarks = []
    if maybe(row["session_type"]) == "discovery":
        remarks.append("discovery")
    if not row["login_seen"]:
        remarks.append("login not recorded")
    if maybe(row["error_recovery_level"]) is not None:
        remarks.append(f"ErrorRecoveryLevel {row['error_recovery_level']}")
    if maybe(row["max_connections"]) is not None:
        remarks.append(f"MaxConnections {row['max_connections']}")
    if maybe(row["isid"]) is not None:
        remarks.append(f"ISID {visible(row['isid'])}")
    if maybe(row["tsih"]) is not None:
        remarks.append(f"TSIH {row['tsih']}")
    if maybe(row["max_burst_bytes"]) is not None:
        remarks.append(f"MaxBurstLength {size(row['max_burst_bytes'])}")
    return remarks


def _link(study: Study, row: dict[str, Any], commands: npt.NDArray[np.int64]) -> Link:
    index = row["connection_index"]
    remarks = [plural(int(commands[index]), "command")]
    if maybe(row["rtt_ns_min"]) is not None:
        remarks.append(f"round trip {duration(row['rtt_ns_min'])}")
    digests = [name for name, key in (("header", "header_digest"), ("data", "data_digest")) if row[key]]
    if digests:
        remarks.append(f"{' and '.join(digests)} digest")
    if row["lost_bytes"]:
        remarks.append(f"{amount(row['lost_bytes'])} not recorded")
    ended = _ENDS.get(str(row["end"]), "")
    if ended and maybe(row["closed_ns"]) is not None:
        ended += f" at {(row['closed_ns'] - study.begin_ns) / 1e9:.3f} s"
    return Link(
        study.connection_names[index],
        study.connection_colors[index],
        _endpoint(row["initiator_address"], row["initiator_port"]),
        _endpoint(row["target_address"], row["target_port"]),
        float(commands[index]) / max(1, int(commands.sum())),
        tuple(remarks),
        ended,
    )


def _endpoint(address: str, port: int) -> str:
    return f"[{visible(address)}]:{port}" if ":" in address else f"{visible(address)}:{port}"


def _table(study: Study, connections: list[dict[str, Any]]) -> Table:
    headings = (
        Heading("Connection"),
        Heading("Initiator", Align.CODE),
        Heading("Target portal", Align.CODE),
        Heading("Opened, s", Align.NUMBER),
        Heading("Closed, s", Align.NUMBER),
        Heading("End", sentence="How the connection ended."),
        Heading("Commands", Align.NUMBER),
        Heading("Round trip", Align.NUMBER, "Smallest seen at the place of recording."),
        Heading("Packets", Align.NUMBER),
        Heading("Resent", Align.NUMBER, "TCP segments sent again."),
        Heading("Not recorded", Align.NUMBER, "TCP payload that the recorder missed."),
    )
    commands = _commands_by_connection(study)
    rows = []
    for row in connections:
        index = row["connection_index"]
        closed = maybe(row["closed_ns"])
        rows.append(
            (
                Cell(study.connection_names[index], float(index), color=study.connection_colors[index]),
                name_cell(_endpoint(row["initiator_address"], row["initiator_port"])),
                name_cell(_endpoint(row["target_address"], row["target_port"])),
                moment_cell((row["opened_ns"] - study.begin_ns) / 1e9),
                moment_cell(None if closed is None else (closed - study.begin_ns) / 1e9),
                name_cell(str(row["end"]), tone="bad" if row["end"] in ("reset", "timeout") else ""),
                count_cell(int(commands[index])),
                time_cell(maybe(row["rtt_ns_min"])),
                count_cell(row["packets"]),
                count_cell(row["retransmitted_segments"]),
                amount_cell(row["lost_bytes"]),
            )
        )
    return Table("connections", "Connections", headings, tuple(rows[:500]), searchable=len(rows) > 20)
