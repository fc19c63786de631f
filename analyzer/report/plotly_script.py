"""Which plotly.js the page embeds: the small bundle kept here, or the whole script of the installed package.

The installed package decides the version. The bundle has all that the page draws and is a third
of the size, so it is taken where it is of that very version; after an upgrade of the package the
page has the upgraded script, whole.
"""

from __future__ import annotations

import re
from pathlib import Path

BUNDLE = Path(__file__).parent / "template" / "plotly" / "plotly-cartesian.min.js"
_VERSION = re.compile(r"plotly\.js \(cartesian - minified\) v([\d.]+)")


def plotly_script() -> str:
    """The script as text."""
    from plotly.offline import get_plotlyjs, get_plotlyjs_version  # heavy, and of no use without figures

    bundle = BUNDLE.read_text(encoding="utf-8")
    found = _VERSION.search(bundle[:400])
    return bundle if found and found[1] == get_plotlyjs_version() else str(get_plotlyjs())
