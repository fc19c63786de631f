"""One TCP connection as a stream of PDUs: framing, digests, buffers, and the ways to end it.

Sockets never block. What is handed over goes out first in, first out. Does not know what a PDU means;
it counts bytes, so that its owner can tell what has left and what has not.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import socket
import struct
from collections import deque

import numpy as np

from analyzer.iscsi.digests import CRC_START, crc32c_end, crc32c_more
from analyzer.iscsi.headers import HEADER_BYTES
from benchmarks.lab.initiator.pdus import Pdu, ProtocolError, segment_lengths

RECEIVE_BYTES = 1 << 18
DIGEST_BYTES = 4
LARGEST_SEGMENT_BYTES = 1 << 24
_BUFFERS_AT_ONCE = 64
_UNSENT = 0x894B  # SIOCOUTQNSD of linux/sockios.h: bytes that TCP has accepted and not yet sent


class ConnectionLostError(Exception):
    """The connection is gone; ``str()`` says how."""


def digest(data: bytes | memoryview) -> bytes:
    """CRC32C as it stands on the wire (RFC 7143 section 13.1)."""
    array = np.frombuffer(data, np.uint8)
    return struct.pack("<I", int(crc32c_end(crc32c_more(CRC_START, array, 0, array.size))))


class Wire:
    """A connected, non-blocking socket, with digests once the login has settled them."""

    def __init__(self, local: str, remote: tuple[str, int], timeout_s: float) -> None:
        """Connect from an address to a portal. Raises ConnectionLostError where that fails in time."""
        try:
            self._socket = socket.create_connection(remote, timeout_s, source_address=(local, 0))
        except OSError as error:
            raise ConnectionLostError(f"no connection to {remote[0]}: {error.strerror or error}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.local: tuple[str, int] = self._socket.getsockname()[:2]
        self.remote = remote
        self.has_header_digest = False
        self.has_data_digest = False
        self.queued_bytes = 0
        self.accepted_bytes = 0
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for room in the socket."""
        return bool(self._outgoing)

    def queue(self, pdu: Pdu) -> int:
        """Append a PDU; the position in the stream at which its header ends."""
        header = pdu.header + digest(pdu.header) if self.has_header_digest else pdu.header
        end_of_header = self.queued_bytes + len(header)
        parts: list[bytes | memoryview] = [header]
        if pdu.data:
            padding = bytes(-len(pdu.data) % 4)
            parts += [pdu.data, padding] if padding else [pdu.data]
            if self.has_data_digest:
                parts.append(digest(bytes(pdu.data) + padding))
        for part in parts:
            self._outgoing.append(memoryview(part))
            self.queued_bytes += len(part)
        return end_of_header

    def flush(self) -> None:
        """Hand to TCP what it takes. Raises ConnectionLostError."""
        while self._outgoing:
            try:
                count = self._socket.sendmsg(itertools.islice(self._outgoing, _BUFFERS_AT_ONCE))
            except BlockingIOError:
                return
            except OSError as error:
                raise ConnectionLostError(errno.errorcode.get(error.errno or 0, "error")) from None
            self.accepted_bytes += count
            while count:
                first = self._outgoing[0]
                if count < len(first):
                    self._outgoing[0] = first[count:]
                    break
                count -= len(first)
                self._outgoing.popleft()

    def receive(self) -> list[Pdu]:
        """The PDUs that are complete by now. Raises ConnectionLostError, ProtocolError."""
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ConnectionLostError(errno.errorcode.get(error.errno or 0, "error")) from None
        if not received:
            raise ConnectionLostError("closed by the target")
        self._incoming += received
        return self._take_pdus()

    def _take_pdus(self) -> list[Pdu]:
        pdus: list[Pdu] = []
        start = 0
        while len(self._incoming) - start >= HEADER_BYTES:
            additional, length = segment_lengths(memoryview(self._incoming)[start : start + HEADER_BYTES])
            if length > LARGEST_SEGMENT_BYTES:
                raise ProtocolError(f"a data segment of {length} bytes")
            end_of_headers = start + HEADER_BYTES + additional
            data_at = end_of_headers + (DIGEST_BYTES if self.has_header_digest else 0)
            data_end = data_at + length + -length % 4
            end = data_end + (DIGEST_BYTES if self.has_data_digest and length else 0)
            if len(self._incoming) < end:
                break
            if self.has_header_digest:
                self._check(start, end_of_headers, "header")
            if self.has_data_digest and length:
                self._check(data_at, data_end, "data")
            header = bytes(self._incoming[start : start + HEADER_BYTES])
            pdus.append(Pdu(header, bytes(self._incoming[data_at : data_at + length])))
            start = end
        del self._incoming[:start]
        return pdus

    def _check(self, start: int, end: int, what: str) -> None:
        if digest(bytes(self._incoming[start:end])) != self._incoming[end : end + DIGEST_BYTES]:
            raise ProtocolError(f"{what} digest does not fit")

    def retransmissions(self) -> int:
        """Segments that TCP sent again (``tcpi_total_retrans`` of linux/tcp.h)."""
        information = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        count: int = struct.unpack_from("=I", information, 100)[0]
        return count

    def reset(self) -> int:
        """End the connection at once with a TCP reset; bytes of the stream that have left before it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        answer = fcntl.ioctl(self._socket.fileno(), _UNSENT, bytes(4))
        self._socket.close()
        unsent: int = struct.unpack("=i", answer)[0]
        return self.accepted_bytes - unsent

    def close(self) -> None:
        """End the connection in order."""
        self._socket.close()
