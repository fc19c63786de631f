"""From capture files to a timeline: decodes, builds, and writes down how.

Decides which decoder reads the files, and again where their clocks disagree, what goes on beside it, and
what the manifest says. Knows neither packets nor protocol.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.alongside import Alongside
from analyzer.errors import UnusableInputError
from analyzer.provenance import provenance

if TYPE_CHECKING:
    from analyzer.decoders.decoded import DecodedCapture
    from analyzer.tables.folder import Timeline

DECODERS = ("native", "wireshark")

Progress = Callable[[int, int | None], None]
"""Bytes read so far, and in all where that is known."""


def analyze(
    *captures: str | Path,
    decoder: str = "native",
    ports: Sequence[int] = (),
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Timeline:
    """Read one or more captures as one timeline.

    ``ports`` are TCP ports to take for iSCSI beside 3260; ``meanwhile`` is called while they are read.
    Raises UnusableInputError for a file that is no capture, cannot be read, or a decoder that does not exist;
    what a capture lacks is a diagnostic.
    """
    if not captures:
        raise UnusableInputError("no capture was given")
    from analyzer.decoders import native

    has_several_clocks = len(captures) > 1

    def decode() -> DecodedCapture:
        # Here, so that who stops a compilation does not stop Numba in the middle of it.
        native.prepare(has_several_clocks=has_several_clocks, is_stages_only=True)
        return _decode(decoder, captures, ports, progress)

    decoding = Alongside("decoder", decode)
    # What builds the timeline is imported, and its compiled code loaded, while the captures are read.
    from analyzer.timeline.build import build

    build(native.nothing_decoded())
    if meanwhile is not None:
        meanwhile()
    decoded = decoding.result()
    if has_several_clocks:
        decoded = _with_clocks_set(decoded, decoder, captures, ports, progress)
    manifest: dict[str, Any] = {
        "provenance": provenance(),
        "inputs": [{"name": file.name, "sha256": file.sha256} for file in decoded.files],
        "options": {"decoder": decoder, "ports": [int(port) for port in ports]},
        "decoder": decoded.decoder,
        "notes": copy.deepcopy(decoded.notes),
    }
    return build(decoded, manifest)


def _with_clocks_set(
    decoded: DecodedCapture,
    decoder: str,
    captures: Sequence[str | Path],
    ports: Sequence[int],
    progress: Progress | None,
) -> DecodedCapture:
    """The same, read again where the clocks of the files disagree; says what was found out about them."""
    from analyzer.timeline.clock_evidence import clock_bounds
    from analyzer.timeline.clock_offsets import clock_offsets, emit_clock_diagnostics

    offsets = clock_offsets(len(captures), clock_bounds(decoded))
    offsets_ns = [offset.offset_ns for offset in offsets]
    if any(offsets_ns):
        decoded = _decode(decoder, captures, ports, progress, offsets_ns)
    emit_clock_diagnostics(offsets, decoded.files, decoded.diagnostics)
    return decoded


def _decode(
    decoder: str,
    captures: Sequence[str | Path],
    ports: Sequence[int],
    progress: Progress | None,
    clock_offsets_ns: Sequence[int] = (),
) -> DecodedCapture:
    if decoder == "native":
        from analyzer.decoders.native import decode as native_decode

        return native_decode(captures, ports=ports, clock_offsets_ns=clock_offsets_ns, progress=progress)
    if decoder == "wireshark":
        from analyzer.decoders.wireshark import decode as wireshark

        return wireshark(captures, ports=ports, clock_offsets_ns=clock_offsets_ns, progress=progress)
    raise UnusableInputError(f"is no decoder; there are {' and '.join(DECODERS)}", source=decoder)
