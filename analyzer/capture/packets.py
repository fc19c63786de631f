"""A batch of packets as records: when each was recorded and where its bytes lie in a chunk.

This is all that the layers above know of a capture file. What the bytes mean is not decided here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PACKETS_PER_BATCH = 4096
"""Small enough for the records of all stages to stay in the processor's cache."""

LARGEST_PACKET_BYTES = 4 << 20
"""Far above every snap length in use (libpcap's own limit is 256 KiB); a longer record is damage."""


PACKET = np.dtype(
    (
        np.record,
        [
            ("time_ns", "i8"),  # since the epoch
            ("link_type", "i8"),  # LINKTYPE_ number (www.tcpdump.org/linktypes.html)
            ("offset", "i8"),  # first byte of the packet in the chunk
            ("captured", "i8"),  # bytes recorded
            ("original", "i8"),  # bytes on the wire, never less than those recorded
        ],
    )
)

Packets = npt.NDArray[np.void]
"""Records of PACKET, shape (PACKETS_PER_BATCH,); a walk fills the first so many of them."""


def empty_batch() -> Packets:
    """A batch to be filled."""
    return np.zeros(PACKETS_PER_BATCH, PACKET)


# Why a walk over a chunk stopped.
WALK_MORE = 0
"""The batch is full."""
WALK_CHUNK_DONE = 1
"""What is left of the chunk holds no whole record."""
WALK_DAMAGED = 2
"""The next record has impossible lengths."""
WALK_DECLARATION = 3
"""The next record is no packet; the format itself reads it."""
