"""Reservations of each logical unit, followed step by step: who is registered, who holds what.

Decides the state behind every RESERVE, RELEASE and PERSISTENT RESERVE OUT that succeeded, from what the
capture shows; what was reserved before the recording began is not known. Persistent reservations belong
to the I_T nexus and outlive its session; those of RESERVE end with the session and with resets. Rules:
SPC-4 sections 5.13 and 6.16, SPC-2 section 7.21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from analyzer.scsi.operations import (
    PERSISTENT_RESERVATION_TYPES,
    PERSISTENT_RESERVE_OUT,
    PERSISTENT_RESERVE_OUT_ACTIONS,
    RELEASE_6,
    RELEASE_10,
    RESERVE_6,
    RESERVE_10,
)
from analyzer.scsi.status import GOOD, RESERVATION_CONFLICT

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, REGISTER_AND_MOVE = range(
    8
)
RESERVING = (RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10, PERSISTENT_RESERVE_OUT)
"""Operation codes that change reservations."""
_ALL_REGISTRANTS = (0x7, 0x8)
_SERVICE_ACTION_MASK = 0x1F
_KEYS_BYTES = 16
_MOVE_FLAGS, _MOVE_TRANSPORT_ID = 17, 24
_UNREGISTER_BIT = 0x02


@dataclass(frozen=True, slots=True)
class ReservationCommand:
    """One command that changes or meets a reservation; ``port`` is the number of its I_T nexus."""

    task: int
    at_ns: int
    port: int
    cdb: bytes
    status: int | None
    parameters: bytes = b""
    """Parameter data of PERSISTENT RESERVE OUT, as far as it was kept."""

    @property
    def action(self) -> int:
        """Service action of PERSISTENT RESERVE OUT."""
        return self.cdb[1] & _SERVICE_ACTION_MASK

    @property
    def is_persistent(self) -> bool:
        """Whether it is PERSISTENT RESERVE OUT."""
        return self.cdb[0] == PERSISTENT_RESERVE_OUT

    @property
    def is_reserving(self) -> bool:
        """Whether it can change a reservation at all."""
        return self.cdb[0] in RESERVING

    @property
    def key(self) -> bytes | None:
        """The sender's reservation key, None where it was not recorded."""
        return self.parameters[:8] if len(self.parameters) >= _KEYS_BYTES else None

    @property
    def moves_to(self) -> bytes:
        """The TransportID in the parameters of REGISTER AND MOVE (SPC-4 section 6.16.4)."""
        return self.parameters[_MOVE_TRANSPORT_ID:]

    @property
    def is_unregistering(self) -> bool:
        """Whether REGISTER AND MOVE ends the sender's registration (its UNREG bit)."""
        return len(self.parameters) > _MOVE_FLAGS and bool(self.parameters[_MOVE_FLAGS] & _UNREGISTER_BIT)

    @property
    def action_key(self) -> bytes | None:
        """The service action reservation key, None where it was not recorded."""
        return self.parameters[8:_KEYS_BYTES] if len(self.parameters) >= _KEYS_BYTES else None


@dataclass(frozen=True, slots=True)
class LostNexus:
    """A session's end, or a reset of the unit (``port`` None): either ends a reservation made by RESERVE."""

    at_ns: int
    port: int | None


@dataclass(frozen=True, slots=True)
class ReservationStep:
    """What came of one command, and the state behind it."""

    command: ReservationCommand
    effect: str
    holder: int | None
    type: str | None
    registered: tuple[int, ...]
    preempted: tuple[int, ...] = ()
    """Ports that lost their registration by it."""


@dataclass(slots=True)
class _State:
    keys: dict[int, bytes | None] = field(default_factory=dict)
    holder: int | None = None
    kind: int | None = None
    """Type code; None with a holder for a reservation made by RESERVE."""


def follow_reservations(
    commands: Sequence[ReservationCommand],
    losses: Sequence[LostNexus] = (),
    port_named: Callable[[bytes], int | None] = lambda _: None,
) -> list[ReservationStep]:
    """The steps of one logical unit, in order of time; ``port_named`` finds the port of a TransportID."""
    state = _State()
    steps: list[ReservationStep] = []
    pending = sorted(losses, key=lambda loss: loss.at_ns)
    for command in sorted(commands, key=lambda one: (one.at_ns, one.task)):
        while pending and pending[0].at_ns <= command.at_ns:
            loss = pending.pop(0)
            is_own = loss.port is None or loss.port == state.holder
            if state.holder is not None and state.kind is None and is_own:
                state.holder = None
        before = set(state.keys)
        effect = _apply(state, command, port_named)
        steps.append(
            ReservationStep(
                command,
                effect,
                state.holder,
                _type_name(state),
                tuple(sorted(state.keys)),
                tuple(sorted(before - set(state.keys) - {command.port})),
            )
        )
    return steps


def _type_name(state: _State) -> str | None:
    if state.holder is None:
        return None
    return (
        "RESERVE"
        if state.kind is None
        else PERSISTENT_RESERVATION_TYPES.get(state.kind, f"type {state.kind:X}h")
    )


def _apply(state: _State, command: ReservationCommand, port_named: Callable[[bytes], int | None]) -> str:
    if not command.is_reserving:
        return "refused" if command.status == RESERVATION_CONFLICT else "nothing"
    if command.status != GOOD:
        return "nothing: no answer seen" if command.status is None else "refused"
    if not command.is_persistent:
        return _apply_plain(state, command)
    action = command.action
    if action in (REGISTER, REGISTER_AND_IGNORE):
        return _register(state, command)
    if action == RESERVE:
        state.keys.setdefault(command.port, command.key)
        state.holder, state.kind = command.port, command.cdb[2] & 0x0F
        return "reserved"
    if action == RELEASE:
        return _release(state, command)
    if action == CLEAR:
        state.keys.clear()
        state.holder = None
        return "cleared"
    if action in (PREEMPT, PREEMPT_AND_ABORT):
        return _preempt(state, command)
    if action == REGISTER_AND_MOVE:
        return _move(state, command, port_named(command.moves_to))
    return f"{PERSISTENT_RESERVE_OUT_ACTIONS.get(action, 'service action')} done"


def _move(state: _State, command: ReservationCommand, port: int | None) -> str:
    """The reservation goes to ``port``, which is registered by it; None for a nexus not recorded."""
    if command.is_unregistering:
        state.keys.pop(command.port, None)
    state.holder = port
    if port is None:
        return "moved to a nexus that was not recorded"
    state.keys[port] = command.action_key
    return "moved"


def _apply_plain(state: _State, command: ReservationCommand) -> str:
    if command.cdb[0] in (RESERVE_6, RESERVE_10):
        state.holder, state.kind = command.port, None
        return "reserved"
    if state.holder == command.port and state.kind is None:
        state.holder = None
        return "released"
    return "nothing: it held none"


def _register(state: _State, command: ReservationCommand) -> str:
    if command.action_key is None or any(command.action_key):
        is_new = command.port not in state.keys
        state.keys[command.port] = command.action_key
        return "registered" if is_new else "key changed"
    state.keys.pop(command.port, None)
    is_shared = state.kind in _ALL_REGISTRANTS
    if state.holder == command.port and not (is_shared and state.keys):
        state.holder = None
        return "unregistered, reservation released"
    if state.holder == command.port:
        state.holder = min(state.keys)
    return "unregistered"


def _release(state: _State, command: ReservationCommand) -> str:
    is_shared = state.kind in _ALL_REGISTRANTS and command.port in state.keys
    if state.holder is not None and (state.holder == command.port or is_shared):
        state.holder = None
        return "released"
    return "nothing: it held none" if state.holder is not None else "nothing: none was held"


def _preempt(state: _State, command: ReservationCommand) -> str:
    """Remove the registrations under the named key; take the reservation over where its holder's is one."""
    named = command.action_key
    holder_before = state.holder
    takes_over = state.holder is not None and (
        named is None
        or state.keys.get(state.holder) in (named, None)
        or (state.kind in _ALL_REGISTRANTS and not any(named))
    )
    for port, key in list(state.keys.items()):
        if port != command.port and (key == named or key is None or named is None):
            del state.keys[port]
    state.keys.setdefault(command.port, command.key)
    if takes_over:
        state.holder, state.kind = command.port, command.cdb[2] & 0x0F
        return "took the reservation over" if holder_before != command.port else "changed its reservation"
    return "preempted registrations"
