"""A batch of packets as columns: when each was recorded and where its bytes lie in a chunk.

This is all that the layers above know of a capture file. What the bytes mean is not decided here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PACKETS_PER_BATCH = 4096
"""Small enough for the columns of all stages to stay in the processor's cache."""

LARGEST_PACKET_BYTES = 4 << 20
"""Far above every snap length in use (libpcap's own limit is 256 KiB); a longer record is damage."""


class PacketBatch(NamedTuple):
    """Columns of shape (PACKETS_PER_BATCH,); a walk fills the first so many of them."""

    time_ns: npt.NDArray[np.int64]
    """Nanoseconds since the epoch."""
    link_type: npt.NDArray[np.int64]
    """LINKTYPE_ number (www.tcpdump.org/linktypes.html)."""
    offset: npt.NDArray[np.int64]
    """First byte of the packet in the chunk."""
    captured: npt.NDArray[np.int64]
    """Bytes recorded."""
    original: npt.NDArray[np.int64]
    """Bytes on the wire; never less than ``captured``."""


def empty_batch() -> PacketBatch:
    """A batch to be filled."""
    return PacketBatch(*(np.zeros(PACKETS_PER_BATCH, np.int64) for _ in PacketBatch._fields))


# Why a walk over a chunk stopped.
WALK_MORE = 0
"""The batch is full."""
WALK_CHUNK_DONE = 1
"""What is left of the chunk holds no whole record."""
WALK_DAMAGED = 2
"""The next record has impossible lengths."""
WALK_DECLARATION = 3
"""The next record is no packet; the format itself reads it."""
