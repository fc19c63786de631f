"""What a replay is asked to do, as one validated value: topology, policy, pacing, links, target, seed.

Knows no timeline: what a scenario leaves open (``None``) is filled from calibration. The words of
``--with`` are read in ``words.py``, scenario files in ``scenario_files.py``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from analyzer.replay.faults import MOST_FAULTS, Fault
from analyzer.replay.policies.interface import Policy
from analyzer.replay.policies.loading import policy_named
from analyzer.replay.recovery import Recovery
from analyzer.replay.state import GATES

MAX_LINKS = 64
MAX_WINDOW = 4096
BASELINE = "as-recorded"
LOSS_UNIT = 1_000_000_000
DEFAULT_REORDER_LINKS = 2.3


class Topology(StrEnum):
    """What paths exist, and over what set CmdSN order is kept."""

    SINGLE = "single"  # one session with one connection
    MCS = "mcs"  # one session, one connection on each link: one order over all
    MPIO = "mpio"  # one session with one connection on each link: an order for each
    BOND = "bond"  # several links under one address; sessions and connections do not see them
    AS_RECORDED = "as-recorded"  # the recorded sessions, connections and links


class BondMode(StrEnum):
    """How a bond of links chooses one (Linux Documentation/networking/bonding.rst)."""

    BALANCE_RR = "balance-rr"  # packet by packet: one connection uses all links, and is reordered
    ACTIVE_BACKUP = "active-backup"  # one link, the others stand by
    LAYER2 = "layer2"  # 802.3ad or balance-xor by MAC addresses
    LAYER2_3 = "layer2+3"  # by MAC and IP addresses
    LAYER3_4 = "layer3+4"  # by IP addresses and ports


class Pacing(StrEnum):
    """When the application asks for the next request."""

    RECORDED = "recorded"  # open loop: at the recorded time
    CLOSED = "closed"  # closed loop: when the completion came that the request followed in the recording
    DEPTH = "depth"  # closed loop: so many at any time, in recorded order


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Rate = Annotated[int, Field(ge=0, le=10**13)]
Delay = Annotated[int, Field(ge=0, le=10**11)]


class LinkModel(_Value):
    """One link, both directions. At rate 0 sending takes no time; None is taken from the capture."""

    rate_to_target_bps: Rate | None = None
    rate_from_target_bps: Rate | None = None
    delay_to_target_ns: Delay | None = None
    delay_from_target_ns: Delay | None = None
    mtu_bytes: Annotated[int, Field(ge=128, le=1 << 20)] | None = None
    # Per packet, of which header_in_mtu_bytes (IP and TCP) count towards the MTU.
    packet_overhead_bytes: Annotated[int, Field(ge=0, le=1000)] | None = None
    header_in_mtu_bytes: Annotated[int, Field(ge=0, le=120)] | None = None
    # A token bucket lets so much pass at once behind an idle time; 0 is a wire.
    bucket_bytes: Annotated[int, Field(ge=0, le=1 << 30)] | None = None
    # A packet leaves first and is paid for then, whatever its size.
    is_postpaid: bool = False
    # An acknowledgement goes back for so many packets; 0: they take no time.
    packets_per_ack: Annotated[int, Field(ge=0, le=64)] | None = None
    # So much of a connection lies in the queue of its host's interface, below TCP, where acknowledgements of
    # the other direction wait behind it; 0 both ways: nothing waits, and no congestion window limits.
    queue_to_target_bytes: Annotated[int, Field(ge=0, le=1 << 34)] | None = None
    queue_from_target_bytes: Annotated[int, Field(ge=0, le=1 << 34)] | None = None
    # What TCP adds to every connection on the link.
    jitter_ns: Annotated[int, Field(ge=0, le=10**11)] = 0
    loss_per_billion: Annotated[int, Field(ge=0, le=LOSS_UNIT // 10)] = 0
    window_bytes: Annotated[int, Field(ge=0, le=1 << 34)] = 0
    idle_restart_ns: Annotated[int, Field(ge=0, le=10**12)] = 0

    @property
    def on_a_wire(self) -> LinkModel:
        """The same with what is open as on Ethernet with IPv4 and TCP's time stamps."""
        usual = {
            "packet_overhead_bytes": 90,
            "header_in_mtu_bytes": 52,
            "bucket_bytes": 0,
            "packets_per_ack": 0,
            "queue_to_target_bytes": 0,
            "queue_from_target_bytes": 0,
        }
        return self.model_copy(
            update={name: value for name, value in usual.items() if getattr(self, name) is None}
        )


class TargetModel(_Value):
    """The target. None is taken from the capture; a number of 0 is no limit, or leaves the thing out.

    ``depth`` commands are taken by a logical unit; one more meets TASK SET FULL and comes again after
    ``retry_ns``. ``bytes_per_s`` is the medium, ``seek_ns`` what a broken sequence costs.
    """

    gate: Annotated[str, Field(pattern="^(" + "|".join(GATES) + ")$")] = "in-order"
    window: Annotated[int, Field(ge=1, le=MAX_WINDOW)] | None = None
    window_follows: Annotated[str, Field(pattern="^(arrival|completion)$")] | None = None
    # None is also no limit where service_ns is given.
    servers: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    service_ns: Annotated[int, Field(ge=0, le=10**12)] | None = None
    depth: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    retry_ns: Annotated[int, Field(ge=1, le=10**12)] = 3_000_000
    # TST of the Control mode page: one task set for all nexuses (0), or one for each (1).
    task_sets: Annotated[str, Field(pattern="^(shared|per-nexus)$")] = "per-nexus"
    # Whether a write is a task of its logical unit from its command on, or as tgt has it from the end of its
    # data: until then a reset does not end it, and it meets no unit attention.
    tasks_begin: Annotated[str, Field(pattern="^(with-command|with-data)$")] = "with-command"
    # TAS of the Control mode page: commands that another nexus ends are answered with TASK ABORTED.
    is_abort_told: bool = False
    # QERR of the Control mode page: a CHECK CONDITION lets the other commands of its task set go on (0), ends
    # them all (1), or ends those of its nexus (3).
    q_err: Literal[0, 1, 3] = 0
    # QUEUE ALGORITHM MODIFIER of the Control mode page: 1 or 0.
    reordering: Annotated[str, Field(pattern="^(unrestricted|restricted)$")] = "unrestricted"
    # Recorded service times hold what the target did with task attributes already; "honoured" keeps
    # SIMPLE, ORDERED and HEAD OF QUEUE on top of them.
    attributes: Annotated[str, Field(pattern="^(as-timed|honoured)$")] = "as-timed"
    scheduler: Annotated[str, Field(pattern="^(arrival|sorting)$")] = "arrival"
    seek_ns: Annotated[int, Field(ge=0, le=10**12)] = 0
    bytes_per_s: Annotated[int, Field(ge=0, le=10**13)] = 0
    cached_ns: Annotated[int, Field(ge=0, le=10**12)] = 0
    read_ahead_blocks: Annotated[int, Field(ge=0, le=1 << 32)] = 0
    write_cache_bytes: Annotated[int, Field(ge=0, le=1 << 50)] = 0


class Negotiated(_Value):
    """What initiator and target would agree on instead of what they did; None is as recorded."""

    immediate_data: bool | None = None
    initial_r2t: bool | None = None
    first_burst_bytes: Annotated[int, Field(ge=512, le=(1 << 24) - 1)] | None = None
    max_burst_bytes: Annotated[int, Field(ge=512, le=(1 << 24) - 1)] | None = None
    max_outstanding_r2t: Annotated[int, Field(ge=1, le=256)] | None = None
    read_segment_bytes: Annotated[int, Field(ge=512, le=(1 << 24) - 1)] | None = None
    write_segment_bytes: Annotated[int, Field(ge=512, le=(1 << 24) - 1)] | None = None


Count = Annotated[int, Field(ge=1, le=MAX_LINKS)]
OptionValue = float | str | tuple[int, ...]


class Scenario(_Value):
    """One what-if. ``link_count`` None is the recorded number; ``links`` are used in turn by the paths.

    ``sessions`` and ``connections`` (of each session) are what a bond carries; for ``mpio`` the sessions
    are the links' and ``connections`` those of each session. Where both are more than one, ``policy``
    chooses a session and ``inner_policy`` a connection of it.
    """

    name: str | None = None
    topology: Topology
    link_count: Count | None = None
    sessions: Count = 1
    connections: Count = 1
    bond_mode: BondMode | None = None
    reorder_links: Annotated[float, Field(ge=1, le=MAX_LINKS)] = DEFAULT_REORDER_LINKS
    policy: str
    policy_options: dict[str, OptionValue] = {}
    inner_policy: str = "round-robin"
    inner_policy_options: dict[str, OptionValue] = {}
    pacing: Pacing = Pacing.CLOSED
    depth: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    time_scale: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    links: Annotated[tuple[LinkModel, ...], Field(min_length=1)] = (LinkModel(),)
    are_links_shared: bool = False
    target: TargetModel = TargetModel()
    negotiated: Negotiated = Negotiated()
    processor_ns: Annotated[int, Field(ge=0, le=10**10)] = 0
    faults: Annotated[tuple[Fault, ...], Field(max_length=MOST_FAULTS)] = ()
    recovery: Recovery | None = None
    neighbours: Annotated[int, Field(ge=0, le=16)] = 0
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0

    @model_validator(mode="after")
    def _keeps_initiators_apart(self) -> Scenario:
        if self.neighbours and self.pacing is Pacing.DEPTH:
            raise ValueError("neighbours want the pacing closed or recorded: a depth is of one initiator")
        return self

    @property
    def is_baseline(self) -> bool:
        """Whether this repeats the recording: recorded topology, recorded path of each task."""
        return self.topology is Topology.AS_RECORDED

    @property
    def is_nested(self) -> bool:
        """Whether first a session is chosen and then one of its connections."""
        several = self.sessions > 1 or self.topology is Topology.MPIO
        return several and self.connections > 1

    @property
    def is_by_session(self) -> bool:
        """Whether the policy chooses among sessions, for each logical unit."""
        return self.topology is Topology.MPIO or self.sessions > 1

    def shape(self, recorded_paths: int) -> tuple[int, int]:
        """Sessions of a host and connections of each, for a host with so many recorded paths."""
        count = self.link_count or recorded_paths
        if self.topology is Topology.MCS:
            return 1, count
        if self.topology is Topology.MPIO:
            return count, self.connections
        return self.sessions, self.connections

    @property
    def label(self) -> str:
        """The name given to it, or the scenario in the words of ``--with``."""
        return self.name or self.words

    @property
    def words(self) -> str:
        """The scenario in the words of ``--with``."""
        if self.is_baseline:
            return BASELINE
        topology = str(self.topology)
        if self.topology is not Topology.SINGLE and self.link_count:
            topology += f":{self.link_count}"
        if self.bond_mode:
            topology += f":{self.bond_mode}"
            topology += f"xmpio:{self.sessions}" if self.sessions > 1 else ""
        topology += f"xmcs:{self.connections}" if self.connections > 1 else ""
        policy = self.policy + _options_text(self.policy_options)
        is_alone = self.topology in (Topology.SINGLE, Topology.BOND) and self.shape(1) == (1, 1)
        if is_alone and policy == "failover-only":
            policy = "-"
        if self.is_nested:
            policy += f"+{self.inner_policy}" + _options_text(self.inner_policy_options)
        return f"{topology}/{policy}"

    @property
    def pacing_text(self) -> str:
        """The pacing in the words of ``--pacing``."""
        return f"depth:{self.depth}" if self.pacing is Pacing.DEPTH else str(self.pacing)

    @property
    def declared_policy(self) -> Policy:
        """The policy that ``policy`` names."""
        return policy_named(self.policy)

    @property
    def declared_inner_policy(self) -> Policy:
        """The policy that ``inner_policy`` names."""
        return policy_named(self.inner_policy)

    @property
    def option_values(self) -> list[float]:
        """The scalar options of the policy in declared order, choices as their place."""
        return _option_values(self.declared_policy, self.policy_options)

    @property
    def inner_option_values(self) -> list[float]:
        """The same of the inner policy."""
        return _option_values(self.declared_inner_policy, self.inner_policy_options)


def path_values(policy: Policy, options: dict[str, OptionValue], count: int) -> list[int]:
    """What the option of ``policy`` with a number for each path gives ``count`` paths."""
    option = policy.path_option
    if option is None:
        return [0] * count
    given = options.get(option.name, ())
    assert isinstance(given, tuple)
    return [int(one) for one in given[:count]] + [int(option.default)] * (count - len(given))


def _option_values(policy: Policy, options: dict[str, OptionValue]) -> list[float]:
    values = []
    for option in policy.scalar_options:
        given = options.get(option.name, option.default)
        assert not isinstance(given, tuple)
        values.append(float(option.choices.index(given)) if isinstance(given, str) else float(given))
    return values


def _options_text(options: dict[str, OptionValue]) -> str:
    if not options:
        return ""
    return "(" + ",".join(f"{name}={_value_text(value)}" for name, value in options.items()) + ")"


def _value_text(value: OptionValue) -> str:
    if isinstance(value, tuple):
        return ":".join(str(one) for one in value)
    return value if isinstance(value, str) else f"{value:.15g}"
