"""The palette for every eye: what means something stays apart for the colour-blind, words stay readable.

Colour blindness is simulated as Viénot, Brettel and Mollon have it (1999): linear RGB to cone responses, the
missing cone's response from the other two. Distances are CIE 1976 ones in L*a*b*; below about 2.3 nobody sees
a difference.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from analyzer.report.palette import PALETTE, SERIES_COLORS

TO_CONES = np.array(
    [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
)
MISSING = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    "deuteranopia": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)
MEANINGS = ("read", "write", "other", "wait", "unanswered")
APART = 12.0
"""Well above what is just noticed: marks are small."""
LINES_APART = 10.0


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def seen_lab(color: str, eye: str) -> np.ndarray:
    rgb = np.linalg.inv(TO_CONES) @ MISSING[eye] @ TO_CONES @ linear(color)
    xyz = TO_XYZ @ rgb.clip(0, 1) / WHITE
    cube = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])])


def distance(one: str, other: str, theme: int, eye: str) -> float:
    return float(np.linalg.norm(seen_lab(PALETTE[one][theme], eye) - seen_lab(PALETTE[other][theme], eye)))


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2."""
    bright = sorted(float(TO_XYZ[1] @ linear(color)) for color in (one, other))
    return (bright[1] + 0.05) / (bright[0] + 0.05)


def test_the_simulation_knows_red_from_green_as_the_eye_does():
    """Pure red and an olive that deuteranopes confuse: far apart for most, close for them. White is white."""
    for eye in MISSING:
        assert seen_lab("#ffffff", eye) == pytest.approx([100, 0, 0], abs=1.0)
    apart = {eye: np.linalg.norm(seen_lab("#ff0000", eye) - seen_lab("#a39000", eye)) for eye in MISSING}
    assert apart["deuteranopia"] < 12 < 50 < apart["all cones"]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eye", MISSING)
def test_colours_with_a_meaning_stay_apart(eye: str, theme: int):
    """What a command does, and good from bad."""
    pairs = [*combinations(MEANINGS, 2), ("good", "bad")]
    assert {pair for pair in pairs if distance(*pair, theme, eye) < APART} == set()


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eye", MISSING)
def test_the_colours_of_series_stay_apart(eye: str, theme: int):
    """All eight of each other, and of the ground they are drawn on."""
    roles = [f"series-{place}" for place in range(SERIES_COLORS)]
    close = {pair: distance(*pair, theme, eye) for pair in combinations([*roles, "ground"], 2)}
    assert {pair: apart for pair, apart in close.items() if apart < LINES_APART} == {}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_can_be_read(theme: int):
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for what a figure is made of."""
    for ground in ("ground", "panel"):
        for role in ("ink", "ink-soft", "link", "good", "warning", "bad"):
            assert contrast(PALETTE[role][theme], PALETTE[ground][theme]) >= 4.5, (role, ground)
    for role in ("read", "unanswered", "wait", "event"):
        assert contrast(PALETTE[role][theme], PALETTE["ground"][theme]) >= 3.0, role
