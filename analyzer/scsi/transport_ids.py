"""TransportIDs of iSCSI initiators: how SCSI parameter data name a port of an initiator.

Source: SPC-4 section 7.6.4.6. Knows no session; what it names is looked up elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

_ISCSI = 0x5
_PROTOCOL_MASK = 0x0F
_WITH_ISID = 1
_SEPARATOR = ",i,0x"


@dataclass(frozen=True, slots=True)
class InitiatorPort:
    """An initiator by its name, and one port of it where the TransportID names one."""

    name: str
    isid: str | None
    """12 hexadecimal digits."""


def initiator_port(transport_id: bytes) -> InitiatorPort | None:
    """What a TransportID names; None where it is cut, of another protocol, or no text."""
    if len(transport_id) < 4 or transport_id[0] & _PROTOCOL_MASK != _ISCSI:
        return None
    length = int.from_bytes(transport_id[2:4], "big")
    content = transport_id[4 : 4 + length]
    if len(content) < length:
        return None
    try:
        text = content.split(b"\0")[0].decode()
    except UnicodeDecodeError:
        return None
    if transport_id[0] >> 6 != _WITH_ISID:
        return InitiatorPort(text, None)
    name, separator, isid = text.partition(_SEPARATOR)
    return InitiatorPort(name, isid.lower()) if separator else None
