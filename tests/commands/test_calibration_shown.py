"""What was taken from a recording is said in a few lines, however many links it has."""

from __future__ import annotations

from typing import Any

from analyzer.commands.calibration_shown import MOST_SENTENCES, calibration_lines


def place(
    number: int, value: str = "initiator", rests_on: str = "seen", confidence: str = "high"
) -> dict[str, Any]:
    return {
        "name": f"recorded at, link {number}",
        "value": value,
        "rests_on": rests_on,
        "confidence": confidence,
        "key": "",
    }


def test_what_holds_for_many_links_is_said_once() -> None:
    lines = list(calibration_lines([place(number) for number in range(450)]))
    assert lines == ["Recorded at the initiator (link 0, link 1 and 448 more): seen."]


def test_what_differs_is_said_apart_and_not_without_end() -> None:
    lines = list(calibration_lines([place(number, rests_on=f"reason {number}") for number in range(20)]))
    assert len(lines) == MOST_SENTENCES + 1
    assert lines[1] == "Recorded at the initiator (link 1): reason 1."
    assert lines[-1] == "The same of others in 12 further ways; --json has them all."
    two = list(calibration_lines([place(0), place(1, "target", confidence="low")]))
    assert two == [
        "Recorded at the initiator (link 0): seen.",
        "Recorded perhaps at the target (link 1): seen.",
    ]
