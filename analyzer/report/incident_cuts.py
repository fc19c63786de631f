"""An incident cut into what its time went to: until it was noticed, held by a timer, and sent again.

Decides what the parts are called and how they look. Works on one row of a table ``incidents``, recorded or
replayed.
"""

from __future__ import annotations

from typing import Any

TIMERS = {
    "recovery-timer": "recovery timer",
    "time2wait": "Time2Wait",
    "login": "new login",
    "task-management": "task management",
    "none": "nothing that shows",
}
"""What held commands, in words."""
STRETCHES = (
    ("unnoticed", "not yet noticed", "series-7"),
    ("noticed", "noticed, not yet held", "series-4"),
    ("held", "held by a timer", "series-1"),
    ("again", "sent again", "series-2"),
)
"""The parts of an incident in order: kind, name and colour."""


def cuts(row: dict[str, Any]) -> tuple[tuple[str, str, str, int], ...]:
    """An incident cut at what is known of it, in order of time: kind, label, colour and length in ns.

    Stretches of no length are left out.
    """
    end = row["last_completion_ns"] or row["ended_ns"]
    begun = [("unnoticed", "unnoticed", row["failed_ns"])]
    if row["detected_ns"] is not None:
        begun.append(("noticed", "noticed", row["detected_ns"]))
    if row["hold_from_ns"] is not None:
        setting = "" if row["hold_setting_s"] is None else f" of {row['hold_setting_s']:.3g} s"
        timer = TIMERS.get(row["hold_timer"], row["hold_timer"])
        begun.append(("held", f"held by {timer}{setting}", row["hold_from_ns"]))
    again_ns = row["hold_to_ns"] if row["hold_to_ns"] is not None else row["first_retry_ns"]
    if again_ns is not None:
        begun.append(("again", "sent again", again_ns))
    begun.sort(key=lambda stretch: stretch[2])
    colors = {kind: color for kind, _, color in STRETCHES}
    ends = [*(at_ns for _, _, at_ns in begun[1:]), end]
    found = [
        (kind, label, colors[kind], min(after, end) - at_ns)
        for (kind, label, at_ns), after in zip(begun, ends, strict=True)
    ]
    return tuple(stretch for stretch in found if stretch[3] > 0)
