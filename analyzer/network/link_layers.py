"""Where the network layer begins in a packet, by LINKTYPE (www.tcpdump.org/linktypes.html).

One small function per link layer and one line in ``find_network_layer``. Whether it is IPv4 or IPv6
is read from the IP header itself; only frames that say they carry something else are refused here.
"""

from __future__ import annotations

from analyzer.byte_order import Bytes, big_16
from analyzer.compilation import njit

UNKNOWN_LINK_TYPE = -1
NOT_IP = -2

_IPV4 = 0x0800
_IPV6 = 0x86DD
_LARGEST_VLAN_DEPTH = 4


@njit(cache=True, nogil=True)
def _behind_ether_type(data: Bytes, at: int, end: int) -> int:
    """Skip VLAN tags (IEEE 802.1Q, 802.1ad and the old 0x9100); ``at`` is at an EtherType."""
    for _ in range(_LARGEST_VLAN_DEPTH + 1):
        if at + 2 > end:
            return NOT_IP
        ether_type = big_16(data, at)
        at += 2
        if ether_type in (_IPV4, _IPV6):
            return at
        if ether_type != 0x8100 and ether_type != 0x88A8 and ether_type != 0x9100:
            return NOT_IP
        at += 2
    return NOT_IP


@njit(cache=True, nogil=True)
def _ethernet(data: Bytes, at: int, end: int) -> int:
    return _behind_ether_type(data, at + 12, end)


@njit(cache=True, nogil=True)
def _linux_cooked(data: Bytes, at: int, end: int) -> int:
    return _behind_ether_type(data, at + 14, end)


@njit(cache=True, nogil=True)
def _linux_cooked_2(data: Bytes, at: int, end: int) -> int:
    """The protocol stands first; the header has 20 bytes. A VLAN tag would stand behind the header."""
    if at + 20 > end:
        return NOT_IP
    protocol = big_16(data, at)
    if protocol in (_IPV4, _IPV6):
        return at + 20
    if protocol == 0x8100 or protocol == 0x88A8:
        return _behind_ether_type(data, at + 22, end)
    return NOT_IP


@njit(cache=True, nogil=True)
def find_network_layer(data: Bytes, at: int, end: int, link_type: int) -> int:
    """First byte of the IP header of the packet in ``data[at:end]``, or UNKNOWN_LINK_TYPE or NOT_IP."""
    if link_type == 1:
        return _ethernet(data, at, end)
    if link_type == 113:
        return _linux_cooked(data, at, end)
    if link_type == 276:
        return _linux_cooked_2(data, at, end)
    if link_type == 0 or link_type == 108:
        # BSD null and loopback: four bytes of address family, whose numbers differ by system.
        return at + 4
    if link_type == 101 or link_type == 12 or link_type == 14 or link_type == 228 or link_type == 229:
        return at
    return UNKNOWN_LINK_TYPE
