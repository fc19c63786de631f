"""PDUs whose header was not recorded, inferred from what surrounds them.

Between two PDUs of one stream lie bytes of which only the number is known: their headers were cut by the
snap length. Two things follow from that number and are said:

* Data-Out answers an R2T, which tells tags, LUN, offset and length of the whole burst (RFC 7143 section
  11.8). Where the rest of one burst, whole unanswered bursts in the order of their R2Ts and the beginning
  of another fill the bytes in one way only, these PDUs were sent. A few commands without data may stand
  between them; what those were stays unknown.
* A read that was never answered otherwise, and whose data fill the bytes exactly, was answered here by one
  Data-In with status, where exactly its StatSN is missing between its neighbours.

What is inferred has the time at which the PDU before it was whole, and its ExpStatSN or ExpCmdSN and
MaxCmdSN, which could have moved on by then. Works on rows of ``frames`` in the order of framing. Does no I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.iscsi.headers import (
    COMMAND_READ_BIT,
    COMMAND_WRITE_BIT,
    DATA_IN_STATUS_BIT,
    FINAL_BIT,
    HEADER_BYTES,
    OPCODE_MASK,
)
from analyzer.iscsi.opcodes import Opcode

Rows = npt.NDArray[np.void]
Int64s = npt.NDArray[np.int64]

_LARGEST_BURST_PDUS = 4096
_LARGEST_UNKNOWN_COMMANDS = 16


@dataclass(frozen=True, slots=True)
class Inferred:
    """One PDU to be inserted behind row ``behind``."""

    behind: int
    header: bytes


@dataclass(frozen=True, slots=True)
class _Gap:
    """Bytes between two rows of one stream."""

    behind: int
    before: int
    size: int
    overhead: int
    """Bytes of a PDU with data beside its data and padding."""


@dataclass(frozen=True, slots=True)
class _Burst:
    """What one R2T asked for."""

    time_ns: int
    lun: bytes
    task_tag: bytes
    transfer_tag: bytes
    offset: int
    end: int


def infer(
    rows: Rows,
    is_eligible: npt.NDArray[np.bool_],
    header_digest: npt.NDArray[np.bool_],
    data_digest: npt.NDArray[np.bool_],
) -> list[Inferred]:
    """What can be said of the bytes between ``rows``, in order of their places.

    ``rows`` holds no void ones. The others say by stream whether anything is to be inferred in it, and
    which digests are in force.
    """
    gaps = _gaps(rows, header_digest, data_digest)
    found: list[Inferred] = []
    by_connection: dict[int, list[_Gap]] = defaultdict(list)
    for gap in gaps:
        if not is_eligible[rows["stream"][gap.behind]]:
            continue
        by_connection[int(rows["stream"][gap.behind]) >> 1].append(gap)
    if not by_connection:
        return found
    chosen = np.flatnonzero(np.isin(rows["stream"] >> 1, list(by_connection)))
    for members in np.split(chosen, _boundaries(rows, chosen)):
        connection = int(rows["stream"][members[0]]) >> 1
        surroundings = _Surroundings(rows, members)
        for gap in by_connection[connection]:
            found += surroundings.fill(gap)
    return sorted(found, key=lambda inferred: inferred.behind)


def with_inferred(rows: Rows, inferred: Sequence[Inferred]) -> Rows:
    """``rows`` with the inferred ones in their places."""
    behind = np.array([entry.behind for entry in inferred], np.int64)
    new = rows[behind]
    new["header"] = np.frombuffer(b"".join(entry.header for entry in inferred), np.uint8).reshape(
        -1, HEADER_BYTES
    )
    new["time_ns"] = new["time_last_ns"]
    for name in ("ahs_bytes", "segment_bytes", "header_digest", "data_digest", "is_resynchronised"):
        new[name] = 0
    new["is_inferred"] = 1
    together: Rows = np.insert(rows, behind + 1, new)
    return together


def _boundaries(rows: Rows, chosen: Int64s) -> Int64s:
    """Where in ``chosen``, put in order of connections, another connection begins."""
    connections = rows["stream"][chosen] >> 1
    order = np.argsort(connections, kind="stable")
    chosen[:] = chosen[order]
    ends: Int64s = np.flatnonzero(np.diff(connections[order])) + 1
    return ends


def _gaps(rows: Rows, header_digest: npt.NDArray[np.bool_], data_digest: npt.NDArray[np.bool_]) -> list[_Gap]:
    """Where more bytes lie between two neighbouring rows of a stream than the first one takes."""
    if not len(rows):
        return []
    order = np.argsort(rows["stream"], kind="stable")
    streams = rows["stream"][order].astype(np.int64)
    headers = rows["header"][order].astype(np.int64)
    data_bytes = (headers[:, 5] << 16) | (headers[:, 6] << 8) | headers[:, 7]
    opcodes = headers[:, 0] & OPCODE_MASK
    has_digests = ~np.isin(opcodes, (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE))
    header_overhead = HEADER_BYTES + 4 * (has_digests & header_digest[streams])
    data_overhead = 4 * (has_digests & data_digest[streams])
    size = header_overhead + 4 * headers[:, 4] + (data_bytes + 3) // 4 * 4 + data_overhead * (data_bytes > 0)
    gap = rows["position"][order][1:] - (rows["position"][order] + size)[:-1]
    places = np.flatnonzero((streams[1:] == streams[:-1]) & (gap >= HEADER_BYTES))
    overhead = HEADER_BYTES + 4 * header_digest[streams] + 4 * data_digest[streams]
    return [
        _Gap(int(order[place]), int(order[place + 1]), int(gap[place]), int(overhead[place]))
        for place in places.tolist()
    ]


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def _data_bytes(header: bytes) -> int:
    return int.from_bytes(header[5:8], "big")


class _Surroundings:
    """The PDUs of one connection, as far as they tell what was asked for and what was answered."""

    def __init__(self, rows: Rows, members: Int64s) -> None:
        self._rows = rows
        self._bursts: dict[bytes, list[_Burst]] = defaultdict(list)
        self._answered: Counter[bytes] = Counter()
        self._data_out_bytes = 0
        self._data_in_with_status = b""
        self._reads: list[tuple[int, bytes]] = []
        self._task_answers: dict[bytes, list[int]] = defaultdict(list)
        for row in members.tolist():
            self._note(rows["header"][row].tobytes(), int(rows["time_ns"][row]))

    def _note(self, header: bytes, time_ns: int) -> None:
        opcode = header[0] & OPCODE_MASK
        if opcode == Opcode.R2T:
            offset = _number(header, 40)
            burst = _Burst(
                time_ns, header[8:16], header[16:20], header[20:24], offset, offset + _number(header, 44)
            )
            self._bursts[header[16:24]].append(burst)
        elif opcode == Opcode.DATA_OUT:
            self._answered[header[16:24]] += 1
            self._data_out_bytes = max(self._data_out_bytes, _data_bytes(header))
        elif opcode == Opcode.SCSI_COMMAND:
            if header[1] & COMMAND_READ_BIT and not header[1] & COMMAND_WRITE_BIT:
                self._reads.append((time_ns, header))
        elif opcode in (Opcode.DATA_IN, Opcode.SCSI_RESPONSE):
            self._task_answers[header[16:20]].append(time_ns)
            if opcode == Opcode.DATA_IN and header[1] & DATA_IN_STATUS_BIT and header[1] & 0x06 == 0:
                self._data_in_with_status = header

    def fill(self, gap: _Gap) -> list[Inferred]:
        """What the gap held; nothing where that is open."""
        first = self._rows["header"][gap.behind].tobytes()
        second = self._rows["header"][gap.before].tobytes()
        until_ns = int(self._rows["time_ns"][gap.before])
        if first[0] & OPCODE_MASK < 0x20:
            headers = self._data_outs(gap, first, second, until_ns)
        else:
            headers = self._data_in(gap, first, second, until_ns)
        return [Inferred(gap.behind, header) for header in headers]

    def _data_outs(self, gap: _Gap, first: bytes, second: bytes, until_ns: int) -> list[bytes]:
        """The Data-Outs that filled the gap, commands without data aside."""
        begun, rest = self._rest_of(first, second, until_ns), self._beginning_of(first, second, until_ns)
        if begun is None or rest is None:
            return []
        left = gap.size - _wire_bytes([*begun, *rest], gap)
        fitting = [0] if begun or rest else []
        fitting = fitting if _is_commands_only(left) else []
        whole: list[bytes] = []
        wholes: list[list[bytes]] = [[]]
        for burst in self._unanswered(until_ns):
            parts = _parts(burst, 0, burst.offset, self._data_out_bytes)
            whole = [*whole, *parts]
            wholes.append(whole)
            if not parts or _wire_bytes(whole, gap) > left:
                break
            if _is_commands_only(left - _wire_bytes(whole, gap)):
                fitting.append(len(wholes) - 1)
        if len(fitting) != 1:
            return []
        headers = [*begun, *wholes[fitting[0]], *rest]
        self._answered.update(header[16:24] for header in headers)
        return [header[:28] + first[28:32] + header[32:] for header in headers]

    def _rest_of(self, first: bytes, second: bytes, until_ns: int) -> list[bytes] | None:
        """Data-Outs that finish the burst of ``first``, up to ``second`` where that is one of them."""
        if first[0] & OPCODE_MASK != Opcode.DATA_OUT or first[1] & FINAL_BIT:
            return []
        burst = self._burst_of(first, until_ns)
        if burst is None or not _data_bytes(first):
            return None
        parts = _parts(
            burst, _number(first, 36) + 1, _number(first, 40) + _data_bytes(first), _data_bytes(first)
        )
        if _is_same_burst(first, second):
            parts = [part for part in parts if _number(part, 36) < _number(second, 36)]
            if parts and _number(parts[-1], 40) + _data_bytes(parts[-1]) != _number(second, 40):
                return None
        return parts

    def _beginning_of(self, first: bytes, second: bytes, until_ns: int) -> list[bytes] | None:
        """Data-Outs of the burst of ``second`` that came before it, where ``first`` is not among them."""
        if (
            second[0] & OPCODE_MASK != Opcode.DATA_OUT
            or not _number(second, 36)
            or _is_same_burst(first, second)
        ):
            return []
        burst = self._burst_of(second, until_ns)
        count = _number(second, 36)
        if burst is None or count > _LARGEST_BURST_PDUS or (_number(second, 40) - burst.offset) % count:
            return None
        size = (_number(second, 40) - burst.offset) // count
        return _parts(burst, 0, burst.offset, size)[:count] if size > 0 else None

    def _burst_of(self, data_out: bytes, until_ns: int) -> _Burst | None:
        bursts = self._bursts.get(data_out[16:24], [])
        place = bisect_right([burst.time_ns for burst in bursts], until_ns)
        if not place or not bursts[place - 1].offset <= _number(data_out, 40) < bursts[place - 1].end:
            return None
        return bursts[place - 1]

    def _unanswered(self, until_ns: int) -> Iterator[_Burst]:
        """Bursts asked for before a time of which no Data-Out was seen at all, in order."""
        unanswered = [
            bursts[0]
            for key, bursts in self._bursts.items()
            if key not in self._answered and bursts[0].time_ns <= until_ns
        ]
        return iter(sorted(unanswered, key=lambda burst: burst.time_ns))

    def _data_in(self, gap: _Gap, first: bytes, second: bytes, until_ns: int) -> list[bytes]:
        """The one Data-In with status that filled the gap."""
        template = self._data_in_with_status
        has_numbers = _has_stat_sn(first) and _has_stat_sn(second)
        if not template or not has_numbers:
            return []
        stat_sn = (_number(first, 24) + 1) & 0xFFFFFFFF
        if _number(second, 24) != (stat_sn + 1) & 0xFFFFFFFF:
            return []
        size = gap.size - gap.overhead
        fitting = [
            header
            for time_ns, header in self._reads
            if time_ns <= until_ns
            and (_number(header, 20) + 3) // 4 * 4 == size
            and not any(at >= time_ns for at in self._task_answers[header[16:20]])
        ]
        if len(fitting) != 1 or size <= 0:
            return []
        self._task_answers[fitting[0][16:20]].append(until_ns)
        length = _number(fitting[0], 20).to_bytes(3, "big")
        header = template[:5] + length + template[8:16] + fitting[0][16:20] + template[20:24]
        return [header + stat_sn.to_bytes(4, "big") + first[28:36] + bytes(8) + template[44:48]]


def _is_commands_only(size: int) -> bool:
    """Whether so many bytes may be a few commands without data, of which nothing can be said."""
    return 0 <= size <= _LARGEST_UNKNOWN_COMMANDS * HEADER_BYTES and size % HEADER_BYTES == 0


def _has_stat_sn(header: bytes) -> bool:
    opcode = header[0] & OPCODE_MASK
    if opcode == Opcode.DATA_IN:
        return bool(header[1] & DATA_IN_STATUS_BIT)
    return opcode == Opcode.SCSI_RESPONSE


def _is_same_burst(first: bytes, second: bytes) -> bool:
    both = (first[0] & OPCODE_MASK, second[0] & OPCODE_MASK)
    return both == (Opcode.DATA_OUT, Opcode.DATA_OUT) and first[16:24] == second[16:24]


def _wire_bytes(headers: Sequence[bytes], gap: _Gap) -> int:
    return sum(gap.overhead + (_data_bytes(header) + 3) // 4 * 4 for header in headers)


def _parts(burst: _Burst, data_sn: int, offset: int, size: int) -> list[bytes]:
    """Data-Out headers for the rest of a burst from ``offset`` on, in PDUs of ``size`` bytes."""
    if size <= 0 or (burst.end - offset) // size > _LARGEST_BURST_PDUS:
        return []
    parts = []
    while offset < burst.end:
        length = min(size, burst.end - offset)
        flags = FINAL_BIT if offset + length == burst.end else 0
        head = bytes([Opcode.DATA_OUT, flags, 0, 0, 0]) + length.to_bytes(3, "big") + burst.lun
        tags = burst.task_tag + burst.transfer_tag
        parts.append(
            head + tags + bytes(12) + data_sn.to_bytes(4, "big") + offset.to_bytes(4, "big") + bytes(4)
        )
        data_sn, offset = data_sn + 1, offset + length
    return parts
