"""Compares a timeline with what the initiator of a capture wrote down about itself (its truth file).

Gives differences as sentences, none where both agree, so that a test can show all of them at once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from analyzer.tables.folder import Timeline

SENT_AS_COMMAND = ("initial", "retry-same-cmdsn", "reissue-new-cmdsn", "reissue-new-session")


def differences(timeline: Timeline, truth: dict[str, Any]) -> list[str]:
    """Every way in which ``timeline`` disagrees with ``truth``."""
    found: list[str] = []
    tasks = _rows_by_identity(timeline)
    known = set()
    for command in truth["commands"]:
        for identity, attempts in _identities(command).items():
            known.add(identity)
            rows = tasks.get(identity, [])
            if len(rows) != 1:
                found.append(f"{identity}: {len(rows)} tasks, not one")
                continue
            found += [f"{identity}: {text}" for text in _compare(rows[0], command, attempts)]
    found += [f"{identity}: a task that the truth does not know" for identity in tasks.keys() - known]
    return found + _compare_counts(timeline, truth)


def _rows_by_identity(timeline: Timeline) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Task rows by (ISID, ITT, CmdSN), each with the CIDs that it names."""
    isid = dict(enumerate(timeline.arrow["sessions"]["isid"].to_pylist()))
    cid = dict(enumerate(timeline.arrow["connections"]["cid"].to_pylist()))
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in timeline.arrow["tasks"].to_pylist():
        row["first_cid"] = cid[row["connection_index"]]
        row["final_cid"] = cid.get(row["response_connection_index"])
        rows.setdefault((isid[row["session_index"]], row["initiator_task_tag"], row["cmd_sn"]), []).append(
            row
        )
    return rows


def _identities(command: dict[str, Any]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """The attempts at a command, by the ITT and CmdSN under which they were sent."""
    by_identity: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for attempt in command["attempts"]:
        if attempt["t_send"] is None:
            continue
        identity = (attempt.get("isid", command["isid"]), attempt["itt"], attempt["cmdsn"])
        if attempt["kind"] in SENT_AS_COMMAND or identity in by_identity:
            by_identity.setdefault(identity, []).append(attempt)
    return by_identity


def _compare(row: dict[str, Any], command: dict[str, Any], attempts: list[dict[str, Any]]) -> list[str]:
    expected: dict[str, Any] = {
        "first_cid": attempts[0]["cid"],
        "cdb": command["cdb"],
        "lba": command["lba"],
        "blocks": command["blocks"],
        "direction": command["direction"],
        "expected_bytes": command["edtl"],
        "lun": command["lun"],
        "is_immediate": command["immediate"],
        "retry_count": sum(attempt["kind"] == "retry-same-cmdsn" for attempt in attempts[1:]),
    }
    if command["opcode_name"] != "SERVICE ACTION IN(16)":  # named by its service action here
        expected["operation"] = command["opcode_name"]
    completed = attempts[-1]
    if completed.get("t_complete") is not None and completed is command["attempts"][-1]:
        expected["final_cid"] = completed["cid"]
        expected["status"] = command["status"]
        expected["response"] = command["response"]
        expected["end"] = "responded"
        expected["reassign_count"] = sum(attempt["kind"] == "reassign" for attempt in attempts)
        # A busy initiator writes its time down some while after the packet.
        late_s = completed["t_complete"] - row["response_ns"] / 1e9 if row["response_ns"] else 0.0
        if not -0.005 < late_s < 0.25:
            return [f"completed {late_s:.3f} s from the truth"]
    return [f"{key} is {row[key]!r}, not {value!r}" for key, value in expected.items() if row[key] != value]


def _compare_counts(timeline: Timeline, truth: dict[str, Any]) -> list[str]:
    kinds = Counter(timeline.arrow["events"]["kind"].to_pylist())
    events = truth["events"]
    expected = {
        "login": sum(e["event"] == "login" and e["phase"] == "ffp" for e in events),
        "login-failed": sum(e["event"] == "login" and e["phase"] == "failed" for e in events),
        "logout": sum(e["event"] == "logout" for e in events),
        "task-management": sum(e["event"] == "tmf" for e in events),
    }
    return [
        f"{kinds[kind]} {kind} events, not {count}"
        for kind, count in expected.items()
        if kinds[kind] != count
    ]
