"""Every capture at hand against Wireshark: which PDUs differ, and by which rule.

Goes over ``traces/`` and over the folders given, one capture at a time. The exit code is 1 where a difference
stays unexplained.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import zstandard

from analyzer.decoders import native, wireshark
from analyzer.decoders.verification import Verification, verify

ROOT = Path(__file__).parents[2]
PLACES = (ROOT / "traces", ROOT.parent / "shared" / "captures")


def verified(path: Path) -> Verification:
    """Both decodings of one capture, compared."""
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".zst":  # not every build of tshark reads zstd
            plain = Path(folder) / path.with_suffix("").name
            plain.write_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))
            path = plain
        ours = native.decode([path])
        ports = sorted({int(port) for port in ours.connections.target_port})
        return verify(ours, wireshark.decode([path], ports=ports))


def main() -> int:
    """One line per capture, then the sum by rule: how many differences stayed unexplained, at most 1."""
    folders = [Path(word) for word in sys.argv[1:]] or [place for place in PLACES if place.exists()]
    by_rule: Counter[str] = Counter()
    captures = pdus = equal = 0
    for path in sorted(path for folder in folders for path in folder.rglob("*.pcap*")):
        result = verified(path)
        rules = Counter(difference.rule or "UNEXPLAINED" for difference in result.differences)
        told = ", ".join(f"{count:,} {rule}" for rule, count in sorted(rules.items())) or "all equal"
        print(f"{path.name}: {result.native:,} PDUs, {result.equal:,} equal; {told}", flush=True)
        by_rule += rules
        captures, pdus, equal = captures + 1, pdus + result.native, equal + result.equal
    print(f"{captures} captures, {pdus:,} PDUs, {equal:,} equal in header bytes and packet")
    for rule, count in sorted(by_rule.items()):
        print(f"  {count:,} {rule}")
    return 1 if by_rule["UNEXPLAINED"] else 0


if __name__ == "__main__":
    sys.exit(main())
