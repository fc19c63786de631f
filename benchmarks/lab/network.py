"""The links: two network namespaces, a veth pair per link, a rate limiter at both ends of each.

Decides addresses, names and queueing disciplines, and takes all of it down again. A limiter is a token
bucket of one packet (``tbf``): a packet pays for its time on the wire after it has left, so an idle
link delivers its first 2000 bytes at once. Delay needs ``netem`` as well. Offloads are off, so that
every packet on the wire is in the capture as it was. Does not know iSCSI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Link
from benchmarks.lab.leftovers import namespace_name, remove_leftovers, remove_namespace
from benchmarks.lab.processes import run_tool

MTU_BYTES = 1500
BUCKET_BYTES = 2000
QUEUE_BYTES = 400_000
DELAYED_PACKETS = 20_000
PORTAL_PORT = 3260
CONGESTION_CONTROL = "cubic"

_OFFLOADS = ("tso", "gso", "gro", "sg", "tx", "rx")


@dataclass(frozen=True)
class Network:
    """Two namespaces and the links between them, as they stand while the lab runs."""

    initiator: str
    target: str
    links: tuple[Link, ...]

    @staticmethod
    def initiator_address(path: int) -> str:
        """The initiator's address on a link."""
        return f"10.77.{path}.1"

    @staticmethod
    def target_address(path: int) -> str:
        """The target's address on a link; its portal is at PORTAL_PORT."""
        return f"10.77.{path}.2"

    @staticmethod
    def initiator_interface(path: int) -> str:
        """The initiator's end of a link, where captures are taken."""
        return f"wi{path}"

    @staticmethod
    def target_interface(path: int) -> str:
        """The target's end of a link."""
        return f"wt{path}"

    def swallow(self, path: int) -> None:
        """Make the target's end of a link deaf and mute: packets to it vanish without an answer."""
        address = f"{self.target_address(path)}/24"
        run_tool("ip", "-n", self.target, "address", "del", address, "dev", self.target_interface(path))

    def take_down(self, path: int) -> None:
        """Take the initiator's end of a link down."""
        run_tool("ip", "-n", self.initiator, "link", "set", self.initiator_interface(path), "down")

    def dropped_packets(self) -> int:
        """Packets that the limiters have dropped so far, both directions of all links."""
        drops = 0
        for namespace in (self.initiator, self.target):
            with suppress(ValueError):
                shown = json.loads(run_tool("tc", "-n", namespace, "-s", "-j", "qdisc", "show"))
                drops += sum(int(row.get("drops", 0)) for row in shown)
        return drops


@contextmanager
def running_network(links: Sequence[Link]) -> Iterator[Network]:
    """Build the links, and remove them on the way out whatever happened.

    Raises UnusableInputError, with the kernel's own words, where this machine cannot build them.
    """
    remove_leftovers()
    network = Network(namespace_name("initiator"), namespace_name("target"), tuple(links))
    try:
        for namespace in (network.initiator, network.target):
            run_tool("ip", "netns", "add", namespace)
            run_tool("ip", "-n", namespace, "link", "set", "lo", "up")
        for path, link in enumerate(links):
            _build_link(network, path, link)
        yield network
    finally:
        for namespace in (network.initiator, network.target):
            remove_namespace(namespace)


def _build_link(network: Network, path: int, link: Link) -> None:
    near, far = network.initiator_interface(path), network.target_interface(path)
    ends = (
        (network.initiator, near, network.initiator_address(path), link.to_target_mbit),
        (network.target, far, network.target_address(path), link.to_initiator_mbit),
    )
    peer = ("type", "veth", "peer", "name", far, "netns", network.target)
    run_tool("ip", "link", "add", near, "netns", network.initiator, *peer)
    for namespace, interface, address, rate_mbit in ends:
        ip = ("ip", "-n", namespace)
        # Without IPv6 an idle link is silent: nothing but the traffic of the run spends tokens.
        run_tool(*ip, "link", "set", interface, "addrgenmode", "none", "mtu", str(MTU_BYTES))
        run_tool(*ip, "address", "add", f"{address}/24", "dev", interface)
        run_tool(*ip, "link", "set", interface, "up")
        # A namespace may not choose any congestion control for itself, but its routes may.
        way = ("dev", interface, "src", address, "congctl", CONGESTION_CONTROL)
        run_tool(*ip, "route", "replace", address.rpartition(".")[0] + ".0/24", *way)
        switches = [word for name in _OFFLOADS for word in (name, "off")]
        run_tool("ip", "netns", "exec", namespace, "ethtool", "-K", interface, *switches)
        _limit(namespace, interface, rate_mbit, link.one_way_delay_ms)


def _limit(namespace: str, interface: str, rate_mbit: float, delay_ms: float) -> None:
    tc = ("tc", "-n", namespace, "qdisc", "add", "dev", interface)
    bucket = (
        "tbf",
        "rate",
        f"{round(rate_mbit * 1e6)}bit",
        "burst",
        str(BUCKET_BYTES),
        "limit",
        str(QUEUE_BYTES),
    )
    if not delay_ms:
        run_tool(*tc, "root", "handle", "1:", *bucket)
        return
    try:
        delay = ("delay", f"{round(delay_ms * 1000)}us", "limit", str(DELAYED_PACKETS))
        run_tool(*tc, "root", "handle", "1:", "netem", *delay)
        run_tool(*tc, "parent", "1:1", "handle", "2:", *bucket)
    except UnusableInputError as error:
        raise UnusableInputError(f"a delay needs the kernel's netem ({error})", source="--delay-ms") from None
