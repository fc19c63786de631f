"""The second opinion works where an event loop runs already, as in a notebook."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from analyzer.decoders import wireshark
from tests.real import capture_path, plain_bytes


def test_wireshark_decodes_beside_a_running_event_loop(tmp_path):
    path = tmp_path / "snack.pcapng"
    path.write_bytes(plain_bytes(capture_path("snack-data-tgt")))

    async def within() -> int:
        return len(wireshark.decode([path], ports=[3270, 3271]).pdus.time_ns)

    def notebook() -> int:
        return asyncio.run(within())

    # In a thread, since a browser of other tests may have a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(notebook).result() > 20
