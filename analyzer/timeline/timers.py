"""Which timer held the commands: names the delays of a recovery and their likely settings.

Decides from durations alone. Settings are whole seconds in every initiator known, and timers fire late,
never early, so a measured delay lies a little above its setting. Knows neither PDUs nor tasks. Rules:
open-iscsi README section 8.1 (NOP-Out interval and timeout, recovery timer), libmultipath discovery.c
(fast_io_fail_tmo becomes the recovery timer), RFC 7143 section 13.15 (Time2Wait).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SECOND_NS = 1_000_000_000

# A Linux timer fires up to an eighth of its length late (kernel/time/timer.c); then comes the requeueing.
_LATEST_SHARE = 1 / 8
_LATEST_NS = 150_000_000

# Recovery timers by what sets them: multipathd 5, open-iscsi 120, Red Hat and Windows 15, Pure 10.
RECOVERY_SETTINGS_S = (5, 120, 15, 10, 20, 30, 60, 1, 2, 3)
# NOP-Out timeouts: open-iscsi 5, tuned for failover 2, Red Hat 10, older open-iscsi 15.
NOOP_TIMEOUTS_S = (5, 2, 10, 15, 1, 3, 4, 20, 30)


@dataclass(frozen=True, slots=True)
class SilenceTimers:
    """How the time from the last PDU heard to the first repetition elsewhere divides."""

    interval_s: int
    timeout_s: int
    recovery_s: int

    @property
    def detected_after_ns(self) -> int:
        """From the last PDU heard to the connection error."""
        return (self.interval_s + self.timeout_s) * SECOND_NS


def is_timer(delay_ns: int, setting_s: float) -> bool:
    """Whether a timer of ``setting_s`` seconds can have taken ``delay_ns``."""
    late_ns = delay_ns - setting_s * SECOND_NS
    return -20_000_000 <= late_ns <= setting_s * SECOND_NS * _LATEST_SHARE + _LATEST_NS


def noop_interval_s(idle_ns: Sequence[int]) -> int | None:
    """The NOP-Out interval from how long initiators had heard nothing when they sent one, None if unknown.

    A NOP-Out is sent when nothing was received for the interval, so the shortest such time is the interval
    and what the timer was late.
    """
    known = sorted(idle for idle in idle_ns if idle >= SECOND_NS - 20_000_000)
    if not known:
        return None
    seconds = (known[0] + 20_000_000) // SECOND_NS
    return seconds if is_timer(known[0], seconds) else None


def divide_silence(silence_ns: int, interval_s: int | None) -> SilenceTimers | None:
    """NOP-Out interval, timeout and recovery timer that add up to ``silence_ns``, the usual settings first.

    ``interval_s`` is the measured interval, where there is one; else it is taken equal to the timeout, as
    the defaults are. None where no usual settings add up.
    """
    for recovery_s in RECOVERY_SETTINGS_S:
        for timeout_s in NOOP_TIMEOUTS_S:
            interval = timeout_s if interval_s is None else interval_s
            if is_timer(silence_ns, interval + timeout_s + recovery_s):
                return SilenceTimers(interval, timeout_s, recovery_s)
    return None


def recovery_setting_s(hold_ns: int) -> int | None:
    """The usual setting of a recovery timer that held commands for ``hold_ns``, None where none fits."""
    return next((setting for setting in RECOVERY_SETTINGS_S if is_timer(hold_ns, setting)), None)
