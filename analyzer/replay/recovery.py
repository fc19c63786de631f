"""How a system behaves when a connection is lost: timers, ways of recovery, and presets by name.

    --recovery linux-multipath
    --recovery redhat-tuned,noop_timeout=5s
    --recovery lio-mcs-erl2,time2wait=0s

Each value of a preset is a default of the named system, with its source; any can be overridden. Decides
nothing about single commands (``failover.py`` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analyzer.errors import UnusableInputError
from analyzer.replay.quantities import nanoseconds

SECOND_NS = 10**9
Time = Annotated[int, Field(ge=0, le=10**15)]


class Recovery(BaseModel):
    """Timers and ways of recovery. Times in ns; None where there is no such timer.

    Detection: ``noop_interval_ns`` without a PDU until a NOP-Out goes out, ``noop_timeout_ns`` until its
    answer is missed; ``carrier_ns`` from the loss of the carrier; ``tcp_timeout_ns`` until TCP gives up; and
    the command timer with its ladder (abort, LUN reset, target reset), each step with a time of its own.

    MC/S: ``connection_recovery`` is ``reassign`` (ErrorRecoveryLevel 2, RFC 7143 section 7.2.2), ``retry``
    (commands are sent again on a surviving connection) or ``session`` (all connections are dropped, section
    7.1.4.4). MPIO: ``hold_ns`` from the loss until commands go to another path (recovery_tmo, LinkDownTime;
    None: never); ``cleanup`` is what is sent first to end the commands of the lost nexus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = "own"
    noop_interval_ns: Time | None = 5 * SECOND_NS
    noop_timeout_ns: Time = 5 * SECOND_NS
    carrier_ns: Time | None = None
    tcp_timeout_ns: Time | None = 924_600_000_000
    command_timer_ns: Time | None = 30 * SECOND_NS
    abort_timeout_ns: Time = 15 * SECOND_NS
    lun_reset_timeout_ns: Time = 30 * SECOND_NS
    target_reset_timeout_ns: Time = 30 * SECOND_NS
    hold_ns: Time | None = 5 * SECOND_NS
    login_retry_ns: Annotated[int, Field(ge=10**6)] = 3 * SECOND_NS
    login_ns: Time = 10_000_000
    path_check_ns: Time = 5 * SECOND_NS
    no_path_retries: Annotated[int, Field(ge=-1, le=10**6)] = 0
    """Polling intervals for which requests without a path are kept; -1: for ever (queue_if_no_path)."""
    command_retries: Annotated[int, Field(ge=0, le=10**6)] = 5
    """How often a command is sent again on its path, each time behind a lost session, until it fails there
    (SD_MAX_RETRIES of Linux's sd driver)."""
    group_switch_ns: Time = 0
    """What it takes to use another path group (RTPG, STPG, the target's transition with NOT READY 02/04/0A);
    its commands are held meanwhile, as dm-multipath's QUEUE_IO does."""
    failback_ns: Time | None = 0
    """How long a group of higher priority works again until it is used; None: the other stays (manual)."""
    cleanup: Annotated[
        str, Field(pattern="^(none|abort-task-set|clear-task-set|lun-reset|target-reset)$")
    ] = "none"
    cleanup_time_ns: Time = 0
    """What the target takes for a task management function, or the Logout or NOP that begins a recovery."""
    connection_recovery: Annotated[str, Field(pattern="^(reassign|retry|session)$")] = "retry"
    is_logout_sent: bool = True
    time2wait_ns: Time = 2 * SECOND_NS
    time2retain_ns: Time = 20 * SECOND_NS
    session_drop_ns: Time = 0
    """What passes until a target that loses one connection drops the whole session."""
    abort_time_ns: Time = 0
    """What such a function takes besides for each task at the target that it ends, one after the other."""
    reassign_time_ns: Time = 0
    """What each TASK REASSIGN takes; tasks go on when all have been answered."""
    resume_time_ns: Time = 0
    """What the target takes to let each reassigned task go on, one after the other."""
    repeat_time_ns: Time = 0
    """What the initiator takes for each command that it sends again; all of them go out behind the last."""
    is_survivor_paused: bool = False
    """No new command is sent on surviving connections until all of the lost one are sent again."""
    bond_monitor_ns: Time = 100_000_000
    """Linux bonding's miimon."""

    @property
    def detection_sentence(self) -> str:
        """Which timers notice a loss."""
        known = []
        if self.noop_interval_ns is not None:
            known.append(f"NOP {self.noop_interval_ns / 1e9:g} s + {self.noop_timeout_ns / 1e9:g} s")
        if self.carrier_ns is not None:
            known.append(f"carrier {self.carrier_ns / 1e9:g} s")
        if self.command_timer_ns is not None:
            known.append(f"command timer {self.command_timer_ns / 1e9:g} s")
        return ", ".join(known) or "none"


@dataclass(frozen=True, slots=True)
class Preset:
    """A system's defaults. ``source`` says where they are written down."""

    name: str
    sentence: str
    source: str
    values: dict[str, Any]


_OPEN_ISCSI = {
    "noop_interval_ns": 5 * SECOND_NS,
    "noop_timeout_ns": 5 * SECOND_NS,
    "command_timer_ns": 30 * SECOND_NS,
    "abort_timeout_ns": 15 * SECOND_NS,
}
PRESETS: tuple[Preset, ...] = (
    Preset(
        "linux-multipath",
        "open-iscsi below dm-multipath: NOP 5 + 5 s, fast_io_fail_tmo 5 s.",
        "multipath-tools libmultipath/defaults.h and discovery.c; open-iscsi etc/iscsid.conf",
        {**_OPEN_ISCSI, "hold_ns": 5 * SECOND_NS},
    ),
    Preset(
        "linux-alua",
        "The same with ALUA path groups, as built in for LIO and SCST: failback immediate, no_path_retry 12.",
        "multipath-tools libmultipath/hwtable.c and defaults.h; how long a group takes is the target's",
        {**_OPEN_ISCSI, "hold_ns": 5 * SECOND_NS, "no_path_retries": 12, "failback_ns": 0},
    ),
    Preset(
        "linux-no-multipathd",
        "open-iscsi alone: NOP 5 + 5 s, replacement_timeout 120 s.",
        "open-iscsi etc/iscsid.conf",
        {**_OPEN_ISCSI, "hold_ns": 120 * SECOND_NS},
    ),
    Preset(
        "redhat-tuned",
        "The set that Red Hat recommends: NOP 5 + 10 s, replacement_timeout 15 s.",
        "Red Hat article 2876: stall = NOP interval + NOP timeout + replacement_timeout",
        {**_OPEN_ISCSI, "noop_timeout_ns": 10 * SECOND_NS, "hold_ns": 15 * SECOND_NS},
    ),
    Preset(
        "windows-mpio",
        "Windows with MPIO: the carrier is seen, LinkDownTime 15 s, PDORemovePeriod 20 s.",
        "Microsoft initiator registry defaults (LinkDownTime, DelayBetweenReconnect), Get-MPIOSetting",
        {
            "noop_interval_ns": None,
            "carrier_ns": 0,
            "command_timer_ns": 60 * SECOND_NS,
            "hold_ns": 15 * SECOND_NS,
            "login_retry_ns": 5 * SECOND_NS,
            "path_check_ns": 30 * SECOND_NS,
            "no_path_retries": 1,
        },
    ),
    Preset(
        "windows-mcs",
        "Windows with MC/S: the carrier is seen, commands go to the other connections after Time2Wait.",
        "Microsoft initiator registry defaults; RFC 7143 section 13.15",
        {
            "noop_interval_ns": None,
            "carrier_ns": 0,
            "command_timer_ns": 60 * SECOND_NS,
            "login_retry_ns": 5 * SECOND_NS,
            "connection_recovery": "retry",
            "hold_ns": 60 * SECOND_NS,
        },
    ),
    Preset(
        "esx",
        "VMware's software initiator: NOP 15 + 10 s, RecoveryTimeout 10 s; requests wait for a path.",
        "defaults of esxcli iscsi adapter param (from memory, not read again)",
        {
            "noop_interval_ns": 15 * SECOND_NS,
            "noop_timeout_ns": 10 * SECOND_NS,
            "hold_ns": 10 * SECOND_NS,
            "path_check_ns": 5 * SECOND_NS,
            "no_path_retries": 28,
        },
    ),
    Preset(
        "lio-mcs-erl2",
        "LIO at ErrorRecoveryLevel 2: Logout for recovery, Time2Wait, TASK REASSIGN for each task.",
        "RFC 7143 section 7.2; torvalds/linux drivers/target/iscsi/iscsi_target_tmr.c; captures of LIO",
        {**_OPEN_ISCSI, "connection_recovery": "reassign", "hold_ns": 120 * SECOND_NS},
    ),
    Preset(
        "lio-mcs-erl0",
        "LIO at ErrorRecoveryLevel 0: it drops the whole session 2 s after one connection.",
        "captures of LIO (kernel 6.1)",
        {
            **_OPEN_ISCSI,
            "connection_recovery": "session",
            "session_drop_ns": 2 * SECOND_NS,
            "hold_ns": 120 * SECOND_NS,
        },
    ),
    Preset(
        "istgt-mcs",
        "istgt: the session survives at ErrorRecoveryLevel 0; commands are sent again.",
        "istgt README; captures of istgt 0.4",
        {**_OPEN_ISCSI, "connection_recovery": "retry", "hold_ns": 120 * SECOND_NS},
    ),
    Preset(
        "bond-active-backup",
        "A bond below open-iscsi: miimon 100 ms; the session hardly notices.",
        "Linux Documentation/networking/bonding.rst",
        {**_OPEN_ISCSI, "bond_monitor_ns": 100_000_000},
    ),
    Preset(
        "bond-802.3ad",
        "The same with LACP, links judged by their carrier.",
        "Linux Documentation/networking/bonding.rst",
        {**_OPEN_ISCSI, "bond_monitor_ns": 100_000_000},
    ),
)
PRESET_BY_NAME = {preset.name: preset for preset in PRESETS}
DEFAULT_MCS, DEFAULT_OTHER = "lio-mcs-erl2", "linux-multipath"


RECORDED = "as-recorded"


def recovery_of(words: str, *, source: str = "--recovery") -> Recovery:
    """The recovery that ``PRESET,key=value,...`` describes; keys are fields without ``_ns``.

    Raises UnusableInputError naming what is wrong.
    """
    name, *rest = (part.strip() for part in words.split(","))
    given: dict[str, Any] = {}
    for part in rest:
        key, _, value = (piece.strip() for piece in part.partition("="))
        given[key] = value
    return recovery_from(name, given, source=source, place=words)


def recovery_from(name: str, given: dict[str, Any], *, source: str, place: str) -> Recovery:
    """The preset ``name`` with the values of ``given`` in place of its own."""
    if name not in PRESET_BY_NAME and name != RECORDED:
        names = ", ".join((*PRESET_BY_NAME, RECORDED))
        raise UnusableInputError(f"no preset {name!r}; there are {names}", source=source, place=place)
    preset = PRESET_BY_NAME[DEFAULT_OTHER if name == RECORDED else name]
    values: dict[str, Any] = {"preset": name, **preset.values}
    fields = Recovery.model_fields
    for key, value in given.items():
        if f"{key}_ns" in fields:
            try:
                values[f"{key}_ns"] = None if value in ("off", None) else nanoseconds(value)
            except ValueError as error:
                raise UnusableInputError(f"{key} {error}", source=source, place=place) from None
        elif key in fields and key != "preset":
            values[key] = value
        else:
            known = sorted(field.removesuffix("_ns") for field in fields if field != "preset")
            raise UnusableInputError(
                f"no key {key!r}; there are {', '.join(known)}", source=source, place=place
            )
    try:
        return Recovery.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]).removesuffix("_ns")
        raise UnusableInputError(f"{key}: {first['msg'].lower()}", source=source, place=place) from None
