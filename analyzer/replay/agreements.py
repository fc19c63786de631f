"""What initiator and target agreed on for each connection, and how they were seen to use it.

Negotiated keys come from the login where it was recorded, else from what the PDUs show, else from
the defaults of RFC 7143 section 13. An agreement that no write made use of is not used in the
replay either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.replay.calibrated import CalibratedValue, Confidence
from analyzer.replay.scenario import MAX_WINDOW, Negotiated
from analyzer.tables.folder import Timeline

Bools = npt.NDArray[np.bool_]

DEFAULT_MAX_BURST_BYTES = 262_144
DEFAULT_FIRST_BURST_BYTES = 65_536
DEFAULT_SEGMENT_BYTES = 8_192
DEFAULT_WINDOW = 64
SMALLEST_SEGMENT_BYTES = 512
MAX_R2TS = 256
DATA_OUT, LOGIN_RESPONSE, DATA_IN = 0x05, 0x23, 0x25


@dataclass(frozen=True, slots=True)
class Agreement:
    """One connection. ``immediate_bytes`` is the most immediate data of a write, 0 for none at all.

    ``is_opening_seen`` where it was recorded from its login on, so that its TCP was new.
    """

    session_index: int
    header_bytes: int = 48
    digest_bytes: int = 0
    immediate_bytes: int = 0
    first_burst_bytes: int = DEFAULT_FIRST_BURST_BYTES
    max_burst_bytes: int = DEFAULT_MAX_BURST_BYTES
    max_outstanding_r2t: int = 1
    is_initial_r2t: bool = True
    read_segment_bytes: int = DEFAULT_SEGMENT_BYTES
    write_segment_bytes: int = DEFAULT_SEGMENT_BYTES
    window: int = DEFAULT_WINDOW
    window_follows: str = "arrival"
    is_opening_seen: bool = False


def agreements_of(timeline: Timeline) -> tuple[tuple[Agreement, ...], tuple[CalibratedValue, ...]]:
    """One agreement for each connection, shape (connections,), and what agreements and windows rest on."""
    sessions = {name: _session_column(timeline, name) for name in _SESSION_DEFAULTS}
    windows, values = _windows(timeline)
    has_no_session = timeline.is_null("connections", "session_index")
    session = timeline.values("connections", "session_index", -1)
    read_segment = _segments(timeline, "initiator_max_recv_bytes", DATA_IN)
    write_segment = _segments(timeline, "target_max_recv_bytes", DATA_OUT)
    header_digest = timeline.values("connections", "header_digest")
    data_digest = timeline.values("connections", "data_digest")
    login_seen = timeline.values("connections", "login_seen")
    found = []
    for connection in range(len(session)):
        index = int(session[connection])
        if has_no_session[connection]:
            found.append(Agreement(session_index=-1))
            continue
        key = {name: int(column[index]) for name, column in sessions.items()}
        sends_immediate, sends_unsolicited = _habits(timeline, index, key)
        burst = max(key["first_burst_bytes"], 1)
        segment = int(write_segment[connection])
        window, follows = windows[index]
        found.append(
            Agreement(
                session_index=index,
                header_bytes=48 + 4 * int(header_digest[connection]),
                digest_bytes=4 * int(data_digest[connection]),
                immediate_bytes=min(burst, segment) if sends_immediate else 0,
                first_burst_bytes=burst,
                max_burst_bytes=max(key["max_burst_bytes"], SMALLEST_SEGMENT_BYTES),
                max_outstanding_r2t=min(max(key["max_outstanding_r2t"], 1), MAX_R2TS),
                is_initial_r2t=not sends_unsolicited,
                read_segment_bytes=int(read_segment[connection]),
                write_segment_bytes=segment,
                window=window,
                window_follows=follows,
                is_opening_seen=bool(login_seen[connection]),
            )
        )
    return tuple(found), (*_agreed_values(timeline, tuple(found)), *values)


_AGREED = (
    ("FirstBurstLength", "first_burst_bytes", "bytes"),
    ("MaxBurstLength", "max_burst_bytes", "bytes"),
    ("MaxOutstandingR2T", "max_outstanding_r2t", "R2Ts"),
    ("longest immediate data", "immediate_bytes", "bytes"),
    ("longest data segment of the initiator", "write_segment_bytes", "bytes"),
    ("longest data segment of the target", "read_segment_bytes", "bytes"),
)


def _agreed_values(timeline: Timeline, found: tuple[Agreement, ...]) -> tuple[CalibratedValue, ...]:
    """What was agreed, over all connections: the most frequent value, bounded by the others."""
    if not found:
        return ()
    seen = int(timeline.values("connections", "login_seen").sum())
    rests_on, confidence = f"logins of {seen} of {len(found)} connections", Confidence.HIGH
    if seen < len(found):
        rests_on += "; of the others longest segments seen, else the defaults of RFC 7143"
        confidence = Confidence.MEDIUM if seen else Confidence.LOW
    values = []
    for name, field, unit in _AGREED:
        each, counts = np.unique([getattr(one, field) for one in found], return_counts=True)
        usual = int(each[int(np.argmax(counts))])
        low, high = float(each[0]), float(each[-1])
        values.append(CalibratedValue(name, usual, unit, rests_on, confidence, low, high, "agreed"))
    return tuple(values)


def renegotiated(agreement: Agreement, given: Negotiated) -> Agreement:
    """The same connection with what a scenario gives in place of what was recorded."""
    changes: dict[str, int | bool] = {
        name: value
        for name in ("first_burst_bytes", "max_burst_bytes", "max_outstanding_r2t")
        + ("read_segment_bytes", "write_segment_bytes")
        if (value := getattr(given, name)) is not None
    }
    if given.initial_r2t is not None:
        changes["is_initial_r2t"] = given.initial_r2t
    changed = replace(agreement, **changes)  # type: ignore[arg-type]
    most = min(changed.first_burst_bytes, changed.write_segment_bytes)
    sends_immediate = (
        given.immediate_data if given.immediate_data is not None else bool(agreement.immediate_bytes)
    )
    if given == Negotiated():
        return agreement
    return replace(changed, immediate_bytes=most if sends_immediate else 0)


_SESSION_DEFAULTS = {
    "max_burst_bytes": DEFAULT_MAX_BURST_BYTES,
    "first_burst_bytes": DEFAULT_FIRST_BURST_BYTES,
    "max_outstanding_r2t": 1,
    "initial_r2t": True,
    "immediate_data": True,
}


def _session_column(timeline: Timeline, name: str) -> npt.NDArray[np.int64]:
    return timeline.values("sessions", name, _SESSION_DEFAULTS[name]).astype(np.int64)


def _habits(timeline: Timeline, session: int, key: dict[str, int]) -> tuple[bool, bool]:
    """Whether the initiator sends immediate and unsolicited data: as seen of its writes, else as agreed."""
    is_write = (timeline.values("tasks", "direction") == "write") & (
        timeline.values("tasks", "session_index") == session
    )
    expected = timeline.values("tasks", "expected_bytes")[is_write]
    if not expected.any():
        return bool(key["immediate_data"]), not key["initial_r2t"]
    immediate = timeline.values("tasks", "immediate_bytes")[is_write]
    unsolicited = timeline.values("tasks", "unsolicited_bytes")[is_write]
    could_have_more = bool((expected > immediate).any())
    sends_unsolicited = bool(unsolicited.any()) or (not could_have_more and not key["initial_r2t"])
    return bool(immediate.any()), sends_unsolicited


def _segments(timeline: Timeline, declared: str, opcode: int) -> npt.NDArray[np.int64]:
    """MaxRecvDataSegmentLength as declared, else the longest data segment seen, else the default."""
    given = timeline.values("connections", declared, 0)
    longest = np.zeros(len(given), np.int64)
    rows = timeline.values("pdus", "opcode") == opcode
    np.maximum.at(
        longest,
        timeline.values("pdus", "connection_index")[rows],
        timeline.values("pdus", "data_length")[rows],
    )
    seen = np.where(longest > 0, longest, DEFAULT_SEGMENT_BYTES)
    return np.maximum(np.where(given > 0, given, seen), SMALLEST_SEGMENT_BYTES)


def _windows(timeline: Timeline) -> tuple[list[tuple[int, str]], tuple[CalibratedValue, ...]]:
    """The command window of each session: its size, and whether it follows arrivals or completions.

    A target that moves MaxCmdSN with ExpCmdSN always shows the same size; one that moves it with each
    status shows a smaller one while commands are outstanding.
    """
    sessions = timeline.arrow["sessions"].num_rows
    opcode = timeline.values("pdus", "opcode")
    rows = timeline.values("pdus", "from_target") & (opcode >= 0x20) & (opcode != LOGIN_RESPONSE)
    rows &= ~timeline.is_null("pdus", "exp_cmd_sn") & ~timeline.is_null("pdus", "max_cmd_sn")
    expected = timeline.values("pdus", "exp_cmd_sn", 0)[rows].astype(np.int64)
    largest = timeline.values("pdus", "max_cmd_sn", 0)[rows].astype(np.int64)
    owner = timeline.values("connections", "session_index", -1)
    session = owner[timeline.values("pdus", "connection_index")[rows]]
    size = (largest - expected + 1) & 0xFFFF_FFFF
    is_plausible = size < 1 << 31
    windows, values = [], []
    for index in range(sessions):
        mine = size[(session == index) & is_plausible]
        if not len(mine) or mine.max() == 0:
            windows.append((DEFAULT_WINDOW, "arrival"))
            values.append(
                CalibratedValue(
                    f"command window, session {index}",
                    DEFAULT_WINDOW,
                    "commands",
                    "assumed: not seen",
                    key="target.window",
                )
            )
            continue
        window = int(min(mine.max(), MAX_WINDOW))
        follows = "completion" if np.percentile(mine, 5) < mine.max() - 1 else "arrival"
        windows.append((window, follows))
        values.append(
            CalibratedValue(
                f"command window, session {index}",
                window,
                "commands",
                f"largest MaxCmdSN - ExpCmdSN + 1 of {len(mine)} PDUs; it follows each {follows}",
                Confidence.HIGH,
                float(mine.min()),
                float(mine.max()),
                "target.window",
            )
        )
    return windows, tuple(values)
