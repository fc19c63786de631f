"""Every colour of the page, declared once: roles with a value for light and for dark ground.

The qualitative colours are those of Okabe and Ito (*Color Universal Design*, 2008), which stay apart for all
common kinds of colour blindness; the dark values are the same hues for a dark ground. Figures name
roles, never values; the page turns roles into values when it knows its theme.
"""

from __future__ import annotations

PALETTE: dict[str, tuple[str, str]] = {
    # role: (on light ground, on dark ground)
    "ground": ("#ffffff", "#14171a"),
    "panel": ("#f6f7f8", "#1c2024"),
    "line": ("#d9dde1", "#343a40"),
    "grid": ("#e8ebee", "#2a2f34"),
    "ink": ("#16191d", "#e8eaed"),
    "ink-soft": ("#545c66", "#a3acb6"),
    "link": ("#005a96", "#7cc0f0"),
    "good": ("#00694d", "#4cc9a0"),
    "warning": ("#8a5a00", "#eab54f"),
    "bad": ("#a83e00", "#ff9a5c"),
    # what a command does
    "read": ("#0072b2", "#56a9e0"),
    "write": ("#e08600", "#f0ad3c"),
    "other": ("#7d8790", "#8f99a3"),
    "unanswered": ("#b0005a", "#e0557f"),
    "wait": ("#16191d", "#f4f5f6"),
    "event": ("#a83e00", "#ff9a5c"),
    # series without a meaning of their own, in order
    "series-0": ("#0072b2", "#56a9e0"),
    "series-1": ("#d55e00", "#f58a3c"),
    "series-2": ("#009e73", "#35c79c"),
    "series-3": ("#cc79a7", "#e2a3c6"),
    "series-4": ("#e69f00", "#f2be55"),
    "series-5": ("#4a9fcf", "#9fd4f5"),
    "series-6": ("#4527b8", "#a05cf0"),
    "series-7": ("#5f6770", "#6f757c"),
}

SERIES_COLORS = 8


def series_color(index: int) -> str:
    """The role of the ``index``-th of several like things; the colours come round after eight."""
    return f"series-{index % SERIES_COLORS}"
