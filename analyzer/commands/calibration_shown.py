"""What a replay took from the recording, in a few lines for the terminal: the rest stands in the manifest.

Decides what a reader has to know at once: where the capture was taken, what the device can do, and which
values were assumed or are only bounds, each with the key that gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

MOST_NAMES = 6
MOST_SUBJECTS = 2
MOST_SENTENCES = 8
NOT_WORTH_SAYING = ("agreed", "target.service", "target.window", "")


def calibration_lines(calibration: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Sentences about the ``calibration`` of an outcome's manifest; what holds for several is said once."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for value in calibration:
        name, _, subject = str(value["name"]).partition(", ")
        if name == "recorded at":
            place = {
                "between": "between initiator and target",
                "unknown": "at a place that nothing shows",
            }.get(str(value["value"]), f"at the {value['value']}")
            sure = {"high": "", "medium": " most likely", "low": " perhaps"}[str(value["confidence"])]
            subjects.setdefault((f"Recorded{sure} {place}", f": {value['rests_on']}"), []).append(subject)
        if name == "commands served at once" and value["value"] is not None:
            rests_on = f" serves {value['value']} commands at once: {value['rests_on']}"
            subjects.setdefault(("The device", rests_on), []).append(subject)
    for (begin, end), named in list(subjects.items())[:MOST_SENTENCES]:
        more = f" and {len(named) - MOST_SUBJECTS:,} more" if len(named) > MOST_SUBJECTS else ""
        yield f"{begin} ({', '.join(named[:MOST_SUBJECTS])}{more}){end}."
    if len(subjects) > MOST_SENTENCES:
        yield f"The same of others in {len(subjects) - MOST_SENTENCES:,} further ways; --json has them all."
    unsure = [
        value
        for value in calibration
        if value["confidence"] == "low"
        and value["key"] not in NOT_WORTH_SAYING
        and value["value"] is not None
    ]
    if unsure:
        names = [f"{value['name']} ({value['key']})" for value in unsure[:MOST_NAMES]]
        more = f" and {len(unsure) - MOST_NAMES} more" if len(unsure) > MOST_NAMES else ""
        yield f"Assumed, or known only from a bound: {'; '.join(names)}{more}."
