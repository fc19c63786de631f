"""The login of one connection as a state machine: requests out, responses in, agreed keys at the end.

Decides stages and keys (RFC 7143 sections 6.3 and 11.12); does no I/O. The leading connection says the
keys of the session; every other names the session by its TSIH and says those of a connection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.iscsi.headers import LOGIN_CONTINUE_BIT, LOGIN_TRANSIT_BIT
from analyzer.iscsi.opcodes import LOGIN_STATUSES, Opcode
from analyzer.iscsi.text_keys import TEXT_KEY_BY_NAME, Scope, negotiate_all, parse_text
from benchmarks.lab.initiator.pdus import Pdu, ProtocolError, encode

SECURITY, OPERATIONAL, FULL_FEATURE = 0, 1, 3
MAX_EXCHANGES = 8


class LoginRefusedError(Exception):
    """The target refused; ``str()`` is its status in words."""


@dataclass
class Login:
    """One login. ``keys`` are all that the initiator would say on a leading connection."""

    initiator_name: str
    target_name: str
    isid: bytes
    tsih: int
    cid: int
    task_tag: int
    cmd_sn: int
    keys: dict[str, str]
    answered: dict[str, str] = field(default_factory=dict)
    exp_stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    is_done: bool = False
    _stage: int = SECURITY
    _exchanges: int = 0
    _text: bytearray = field(default_factory=bytearray)

    @property
    def is_leading(self) -> bool:
        """Whether this login begins a session."""
        return self._said_tsih == 0

    def __post_init__(self) -> None:
        self._said_tsih = self.tsih

    def first_request(self) -> Pdu:
        """The request that opens the security stage."""
        names = {
            "InitiatorName": self.initiator_name,
            "TargetName": self.target_name,
            "SessionType": "Normal",
        }
        return self._request(SECURITY, names | {"AuthMethod": "None"})

    def offered(self) -> dict[str, str]:
        """The operational keys that this connection says."""
        if self.is_leading:
            return self.keys
        return {name: value for name, value in self.keys.items() if _is_of_connection(name)}

    def next_request(self, response: Pdu) -> Pdu | None:
        """What to say to a response; None once the connection is in full feature phase.

        Raises LoginRefusedError, or ProtocolError where the target does not keep to the stages.
        """
        if response.opcode is not Opcode.LOGIN_RESPONSE:
            raise ProtocolError(f"{response.opcode.name} during login")
        status = response["status_class"], response["status_detail"]
        if status[0]:
            raise LoginRefusedError(LOGIN_STATUSES.get(status, f"status {status[0]:02x}{status[1]:02x}"))
        self.exp_stat_sn = (response["stat_sn"] + 1) & 0xFFFFFFFF
        self.exp_cmd_sn, self.max_cmd_sn = response["exp_cmd_sn"], response["max_cmd_sn"]
        self._text += response.data
        flags = response["flags"]
        if flags & LOGIN_CONTINUE_BIT:
            return self._request(self._stage, {}, is_transit=False)
        self.answered |= parse_text(bytes(self._text))
        self._text.clear()
        if not flags & LOGIN_TRANSIT_BIT:
            return self._request(self._stage, {})
        if flags & 3 == FULL_FEATURE:
            self.tsih, self.is_done = response["tsih"], True
            return None
        self._stage = OPERATIONAL
        return self._request(OPERATIONAL, self.offered())

    def agreed(self) -> dict[str, str]:
        """What both sides now hold, the session's keys on a leading connection and the connection's."""
        agreed: dict[str, str] = {}
        for scope in (Scope.SESSION, Scope.CONNECTION) if self.is_leading else (Scope.CONNECTION,):
            values = negotiate_all(self.offered(), self.answered, scope)
            agreed |= {name: value for name, (value, _) in values.items()}
        return agreed

    def _request(self, stage: int, keys: dict[str, str], *, is_transit: bool = True) -> Pdu:
        self._exchanges += 1
        if self._exchanges > MAX_EXCHANGES:
            raise ProtocolError("the login does not end")
        next_stage = OPERATIONAL if stage == SECURITY else FULL_FEATURE
        return encode(
            Opcode.LOGIN_REQUEST,
            flags=(LOGIN_TRANSIT_BIT if is_transit else 0) | stage << 2 | (next_stage if is_transit else 0),
            is_immediate=True,
            data="".join(f"{name}={value}\0" for name, value in keys.items()).encode(),
            isid=self.isid,
            tsih=self._said_tsih,
            initiator_task_tag=self.task_tag,
            cid=self.cid,
            cmd_sn=self.cmd_sn,
            exp_stat_sn=self.exp_stat_sn,
        )


def _is_of_connection(name: str) -> bool:
    key = TEXT_KEY_BY_NAME[name]
    return key.scope is Scope.CONNECTION
