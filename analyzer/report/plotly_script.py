"""The plotly.js that the page embeds: the script of the installed package, deflated.

The package decides the version; nothing is kept beside it. Deflated and in base64 it takes 2.0 MB of
the page instead of 4.8 (plotly 6), and the browser inflates it beside everything else that it does.
"""

from __future__ import annotations

import base64
import functools
import zlib


@functools.cache
def plotly_script() -> str:
    """The script as base64 of a zlib stream of UTF-8."""
    from plotly.offline import get_plotlyjs  # heavy, and of no use without figures

    return base64.b64encode(zlib.compress(get_plotlyjs().encode("utf-8"), 9)).decode("ascii")
