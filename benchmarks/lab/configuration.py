"""What one lab run is, from workload and links to fault and recovery, as one checked value.

Decides which combinations make sense and how large a run may be; every bound on time and traffic
stands here. Starts nothing. Times are in the unit their name ends with, sizes in bytes.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analyzer.errors import UnusableInputError

BLOCK_BYTES = 512
MAX_LINKS = 8
MAX_COMMANDS = 100_000
MAX_RUN_S = 300.0


class Topology(StrEnum):
    """What the paths are: one connection, connections of one session, or sessions of one connection."""

    SINGLE = "single"
    MCS = "mcs"
    MPIO = "mpio"


class Policy(StrEnum):
    """How the initiator chooses a path, command by command, at submission."""

    ROUND_ROBIN = "round-robin"
    LEAST_QUEUE_DEPTH = "least-queue-depth"
    SERVICE_TIME = "service-time"
    FAILOVER_ONLY = "failover-only"


SHORT_POLICY_NAMES: dict[Policy, str] = {
    Policy.ROUND_ROBIN: "rr",
    Policy.LEAST_QUEUE_DEPTH: "lqd",
    Policy.SERVICE_TIME: "st",
    Policy.FAILOVER_ONLY: "fo",
}


class WriteData(StrEnum):
    """How the data of a write travels (RFC 7143 sections 13.10 to 13.14)."""

    IMMEDIATE = "immediate"  # the first segment in the command, the rest by R2T
    UNSOLICITED = "unsolicited"  # up to FirstBurstLength without an R2T
    SOLICITED = "solicited"  # all by R2T


class Digests(StrEnum):
    """Which CRC32C digests the initiator asks for."""

    NONE = "none"
    HEADER = "header"
    DATA = "data"
    BOTH = "both"


class FaultKind(StrEnum):
    """What befalls a link: a TCP reset by the initiator, a silent target, or its own port down."""

    RESET = "reset"
    BLACK_HOLE = "black-hole"
    LINK_DOWN = "link-down"


class Recovery(StrEnum):
    """What the initiator does with the commands of a lost path."""

    RETRY = "retry"
    LUN_RESET = "lun-reset"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Workload(_Value):
    """A closed loop: a fixed list of commands, a fixed number of them outstanding over all paths."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")] = "W"
    commands: Annotated[int, Field(ge=1, le=MAX_COMMANDS)] = 400
    queue_depth: Annotated[int, Field(ge=1, le=128)] = 8
    sizes: Annotated[tuple[int, ...], Field(min_length=1)] = (4096, 8192, 16384, 32768, 65536)
    read_ratio: Annotated[float, Field(ge=0, le=1)] = 0.7
    is_sequential: bool = False
    seed: int = 1
    lun_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = 256 << 20

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for size in self.sizes:
            if size % BLOCK_BYTES or not BLOCK_BYTES <= size <= 1 << 20:
                raise ValueError(
                    f"a size is {size} bytes; it must be 512 to 1048576 in steps of {BLOCK_BYTES}"
                )
        return self


class Link(_Value):
    """One link, full duplex; the rates count Ethernet frames without their check sequence, as tc does."""

    to_target_mbit: Annotated[float, Field(ge=0.1, le=10_000)] = 40
    to_initiator_mbit: Annotated[float, Field(ge=0.1, le=10_000)] = 40
    one_way_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 0


class Device(_Value):
    """Time that the device takes for each command besides its real work; the jitter is by LBA.

    ``servers`` is how many commands it works on at the same time (I/O threads of tgt).
    """

    servers: Annotated[int, Field(ge=1, le=256)] = 32
    read_ms: Annotated[float, Field(ge=0, le=5000)] = 0
    write_ms: Annotated[float, Field(ge=0, le=5000)] = 0
    jitter_ms: Annotated[float, Field(ge=0, le=5000)] = 0

    @property
    def is_delayed(self) -> bool:
        """Whether anything has to be added to what the backing file takes."""
        return bool(self.read_ms or self.write_ms or self.jitter_ms)


class Fault(_Value):
    """One path is lost, ``at_s`` after the first command of the workload was submitted."""

    kind: FaultKind
    path: Annotated[int, Field(ge=0)] = 1
    at_s: Annotated[float, Field(gt=0, lt=MAX_RUN_S)] = 0.7


class Configuration(_Value):
    """One lab run. The defaults are those of the reference recordings."""

    workload: Workload = Workload()
    links: Annotated[tuple[Link, ...], Field(min_length=1, max_length=MAX_LINKS)] = (Link(), Link())
    topology: Topology = Topology.MCS
    policy: Policy = Policy.ROUND_ROBIN
    writes: WriteData = WriteData.IMMEDIATE
    digests: Digests = Digests.NONE
    device: Device = Device()
    fault: Fault | None = None
    recovery: Recovery = Recovery.RETRY
    nop_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    nop_timeout_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    first_burst_bytes: Annotated[int, Field(ge=512, le=1 << 24)] = 65536
    max_burst_bytes: Annotated[int, Field(ge=512, le=1 << 24)] = 262144
    initiator_segment_bytes: Annotated[int, Field(ge=512, le=1 << 24)] = 65536
    target_segment_bytes: Annotated[int, Field(ge=512, le=1 << 24)] = 8192
    deadline_s: Annotated[float, Field(gt=0, le=MAX_RUN_S)] = 60.0

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        if self.topology is Topology.SINGLE and len(self.links) != 1:
            raise ValueError("topology single has one link")
        if self.first_burst_bytes > self.max_burst_bytes:
            raise ValueError("FirstBurstLength exceeds MaxBurstLength")
        if self.fault and self.fault.path >= len(self.links):
            raise ValueError(f"the fault names path {self.fault.path} of {len(self.links)}")
        if self.fault and len(self.links) == 1:
            raise ValueError("a fault needs a second path")
        if self.recovery is Recovery.LUN_RESET and self.topology is not Topology.MPIO:
            raise ValueError("recovery lun-reset is for mpio")
        return self

    @property
    def paths(self) -> int:
        """How many paths the policy chooses from: one on each link."""
        return len(self.links)

    @property
    def is_silent_fault(self) -> bool:
        """Whether the initiator has to find out by itself that a path is lost."""
        return self.fault is not None and self.fault.kind is not FaultKind.RESET

    @property
    def name(self) -> str:
        """Short name for files, for example ``asym-mcs2-rr`` or ``fail-mpio2-rr-lunreset``."""
        if self.topology is Topology.SINGLE:
            name = "single"
        else:
            name = f"{self.topology}{self.paths}-{SHORT_POLICY_NAMES[self.policy]}"
        if len(set(self.links)) > 1:
            name = f"asym-{name}"
        if self.fault:
            way = self.recovery.replace("-", "")
            silent = "" if self.fault.kind is FaultKind.RESET else f"-{self.fault.kind.replace('-', '')}"
            name = f"fail-{name}-{way}{silent}"
        return name if self.digests is Digests.NONE else f"{name}-digest-{self.digests}"


_PATHS = re.compile(r"(?P<topology>single|mcs|mpio)(?::(?P<paths>\d+))?(?:/(?P<policy>[a-z-]+))?")


def parse_paths(text: str) -> tuple[Topology, int, Policy]:
    """``TOPOLOGY[:N][/POLICY]`` as the analyzer's ``--with`` has it, for example ``mcs:2/round-robin``.

    Raises UnusableInputError where it is none; ``/-`` stands for a single path without a choice.
    """
    found = _PATHS.fullmatch(text.removesuffix("/-"))
    policy_name = (found and found["policy"]) or Policy.ROUND_ROBIN.value
    if not found or policy_name not in list(Policy):
        policies = ", ".join(Policy)
        raise UnusableInputError(
            f"{text!r} is not single, mcs:N/POLICY or mpio:N/POLICY with one of {policies}", source="--with"
        )
    topology = Topology(found["topology"])
    paths = int(found["paths"] or (1 if topology is Topology.SINGLE else 2))
    if not 1 <= paths <= (1 if topology is Topology.SINGLE else MAX_LINKS):
        raise UnusableInputError(f"{text!r}: single has 1 path, others 1 to {MAX_LINKS}", source="--with")
    return topology, paths, Policy(policy_name)


def parse_fault(text: str) -> Fault:
    """``KIND:PATH@SECONDS``, for example ``reset:1@0.7``. Raises UnusableInputError where it is none."""
    found = re.fullmatch(r"([a-z-]+):(\d+)@([\d.]+)", text)
    try:
        if found:
            return Fault(kind=FaultKind(found[1]), path=int(found[2]), at_s=float(found[3]))
    except ValueError:
        pass
    kinds = ", ".join(FaultKind)
    raise UnusableInputError(f"{text!r} is not KIND:PATH@SECONDS with one of {kinds}", source="--fault")


def one_line(error: ValidationError) -> UnusableInputError:
    """The first thing that is wrong with a configuration, as a message for the user."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return UnusableInputError(
        first["msg"].removeprefix("Value error, "), source="lab configuration", place=place
    )
