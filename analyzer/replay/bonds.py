"""Bonded links: which link of a bond a connection takes, and what striping costs it.

Rules of Documentation/networking/bonding.rst. A hash looks at a packet, so all of one connection takes one
link; only balance-rr stripes a connection, and pays for it with reordering. Both ends of the links are
taken to be bonded the same way.
"""

from __future__ import annotations

from ipaddress import ip_address

from analyzer.replay.recorded_links import Endpoints
from analyzer.replay.scenario import BondMode, LinkModel

ETHERTYPE_LOW = {4: 0x00, 6: 0xDD}
PORT_STEP = 2


def bond_link(mode: BondMode, ends: Endpoints, count: int, *, mac_hash: int = 0) -> int:
    """The link of ``count`` that carries a connection, the same in both directions for powers of two.

    ``mac_hash`` is the last byte of both MAC addresses xored, which a timeline does not keep: with 0, one
    pair of hosts has one link under layer2, but which one is not known.
    """
    if mode in (BondMode.ACTIVE_BACKUP, BondMode.BALANCE_RR):
        return 0
    source, target = ip_address(ends.initiator_address), ip_address(ends.target_address)
    layer2 = mac_hash ^ ETHERTYPE_LOW[source.version]
    if mode is BondMode.LAYER2:
        return layer2 % count
    addresses = _folded(int(source)) ^ _folded(int(target))
    if mode is BondMode.LAYER2_3:
        mixed = layer2 ^ addresses
    else:
        mixed = (ends.initiator_port << 16 | ends.target_port) ^ addresses
    mixed ^= mixed >> 16
    mixed ^= mixed >> 8
    # layer3+4 drops the lowest bit, since the ports of one host go by twos.
    return (mixed >> 1 if mode is BondMode.LAYER3_4 else mixed) % count


def _folded(address: int) -> int:
    """An address as the 32 bits that the hash takes: the four words of IPv6 xored."""
    folded = 0
    while address:
        folded ^= address & 0xFFFF_FFFF
        address >>= 32
    return folded


def further_connection(ends: Endpoints, place: int) -> Endpoints:
    """The ends of a connection that was not recorded: as if opened ``place`` connections later."""
    port = 1024 + (ends.initiator_port - 1024 + PORT_STEP * place) % (65536 - 1024)
    return Endpoints(ends.initiator_address, port, ends.target_address, ends.target_port)


def striped(links: tuple[LinkModel, ...]) -> LinkModel:
    """The links of a balance-rr bond as one: packets take turns, so the slowest sets the pace."""
    slowest = min(links, key=lambda link: link.rate_to_target_bps or 0)
    back = min(link.rate_from_target_bps or 0 for link in links)
    count = len(links)
    return slowest.model_copy(
        update={
            "rate_to_target_bps": (slowest.rate_to_target_bps or 0) * count,
            "rate_from_target_bps": back * count,
            "delay_to_target_ns": max(link.delay_to_target_ns or 0 for link in links),
            "delay_from_target_ns": max(link.delay_from_target_ns or 0 for link in links),
        }
    )
