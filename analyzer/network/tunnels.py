"""Tunnels in which mirror ports and overlay networks wrap whole frames: where the inner IP header begins.

VXLAN (RFC 7348), GRE (RFC 2784, RFC 2890) with IP or Ethernet inside, and ERSPAN types I to III
(draft-foschiano-erspan). One small function per tunnel and one line in ``find_inner_network_layer``.
"""

from __future__ import annotations

from analyzer.byte_order import Bytes, big_16, wide
from analyzer.compilation import njit
from analyzer.network.link_layers import NOT_IP, find_network_layer

_UDP, _GRE = 17, 47
_VXLAN_PORT, _OLD_VXLAN_PORT = 4789, 8472
_ETHERNET = 1
_IPV4, _IPV6, _BRIDGED_ETHERNET, _ERSPAN_2, _ERSPAN_3 = 0x0800, 0x86DD, 0x6558, 0x88BE, 0x22EB
_CHECKSUM_BIT, _KEY_BIT, _SEQUENCE_BIT, _ROUTING_AND_VERSION = 0x8000, 0x2000, 0x1000, 0x4007


@njit(cache=True, nogil=True)
def find_inner_network_layer(data: Bytes, at: int, end: int) -> int:
    """First byte of the IP header inside the tunnel whose own one is at ``at``; NOT_IP where it is none."""
    if at + 40 > end:
        return NOT_IP
    version = data[at] >> 4
    if version == 4:
        kind, inside = wide(data[at + 9]), at + wide(data[at] & 0x0F) * 4
        if big_16(data, at + 6) & 0x3FFF:
            return NOT_IP
    elif version == 6:
        kind, inside = wide(data[at + 6]), at + 40
    else:
        return NOT_IP
    if kind == _UDP:
        return _behind_vxlan(data, inside, end)
    if kind == _GRE:
        return _behind_gre(data, inside, end)
    return NOT_IP


@njit(cache=True, nogil=True)
def _behind_vxlan(data: Bytes, at: int, end: int) -> int:
    """UDP and VXLAN header of eight bytes each; the flag says that a network identifier is there."""
    if at + 16 > end:
        return NOT_IP
    port = big_16(data, at + 2)
    if (port != _VXLAN_PORT and port != _OLD_VXLAN_PORT) or not data[at + 8] & 0x08:
        return NOT_IP
    return find_network_layer(data, at + 16, end, _ETHERNET)


@njit(cache=True, nogil=True)
def _behind_gre(data: Bytes, at: int, end: int) -> int:
    if at + 4 > end:
        return NOT_IP
    flags, kind = big_16(data, at), big_16(data, at + 2)
    if flags & _ROUTING_AND_VERSION:
        return NOT_IP
    at += 4
    for bit in (_CHECKSUM_BIT, _KEY_BIT, _SEQUENCE_BIT):
        if flags & bit:
            at += 4
    if kind in (_IPV4, _IPV6):
        return at
    if kind == _ERSPAN_2:
        # Type I has neither sequence number nor header of its own.
        at += 8 if flags & _SEQUENCE_BIT else 0
    elif kind == _ERSPAN_3:
        if at + 12 > end:
            return NOT_IP
        at += 20 if data[at + 11] & 0x01 else 12
    elif kind != _BRIDGED_ETHERNET:
        return NOT_IP
    return find_network_layer(data, at, end, _ETHERNET)
