"""No request is ever lost: whatever combination of faults strikes, each ends once and no rule is broken."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.replay.faults import FaultKind
from analyzer.replay.made import made_workload
from analyzer.replay.recovery import PRESETS
from tests.replay.played import disturbed, ideal_link

TOPOLOGIES = (
    "single/-",
    "mcs:2/round-robin",
    "mcs:3/least-queue-depth",
    "mpio:2/round-robin",
    "mpio:2/service-time",
    "mpio:3/failover-only(priorities=2:2:1)",
    "mpio:2/round-robin(priorities=50:10)",
    "mpio:2xmcs:2/round-robin+least-queue-depth",
    "bond:2:active-backup/-",
    "bond:2:balance-rr/-",
    "bond:3:layer3+4xmpio:2/round-robin",
)
MOMENTS = st.one_of(
    st.integers(1, 3000).map(lambda ms: f"{ms}ms"),
    st.integers(1, 99).map(lambda share: f"{share}%"),
    st.integers(1, 60).map(lambda count: f"after-task:{count}"),
    st.just("peak"),
)


@st.composite
def faults(draw, links):
    """The words of one fault of any kind."""
    kind = draw(st.sampled_from([str(kind) for kind in FaultKind]))
    link = draw(st.one_of(st.just("all"), st.integers(0, links - 1)))
    words = f"{kind},link={link},at={draw(MOMENTS)}"
    if kind == "flap" or draw(st.booleans()):
        words += f",for={draw(st.integers(1, 40_000))}ms"
    if kind == "flap":
        words += f",period={draw(st.integers(100, 5000))}ms"
    if kind == "slow":
        words += f",factor={draw(st.sampled_from([0.0001, 0.01, 0.3]))},delay={draw(st.integers(0, 50))}ms"
    if kind == "lossy":
        words += f",loss={draw(st.sampled_from([0.1, 5]))}%"
    return words


RECOVERIES = st.tuples(
    st.sampled_from([preset.name for preset in PRESETS]),
    st.sampled_from(["", ",time2wait=0s", ",noop_interval=off", ",noop_interval=off,command_timer=off"]),
    st.sampled_from(["", ",cleanup=lun-reset,abort_time=2ms", ",cleanup=clear-task-set,cleanup_time=300ms"]),
    st.sampled_from(
        [
            "",
            ",connection_recovery=session,session_drop=700ms",
            ",connection_recovery=reassign,resume_time=3ms",
        ]
    ),
    st.sampled_from(["", ",is_survivor_paused=true", ",no_path_retries=-1", ",no_path_retries=3"]),
    st.sampled_from(["", ",command_retries=0", ",command_retries=2"]),
    st.sampled_from(["", ",group_switch=300ms", ",failback=off", ",failback=2s,group_switch=1s"]),
).map("".join)
TARGETS = st.fixed_dictionaries(
    {
        "gate": st.sampled_from(["in-order", "none", "istgt", "spdk"]),
        "window": st.integers(1, 20),
        "servers": st.integers(0, 2),
        "depth": st.sampled_from([0, 0, 4]),
        "attributes": st.sampled_from(["as-timed", "honoured"]),
        "task_sets": st.sampled_from(["shared", "per-nexus"]),
        "tasks_begin": st.sampled_from(["with-command", "with-data"]),
        "is_abort_told": st.booleans(),
        "q_err": st.sampled_from([0, 0, 1, 3]),
        "scheduler": st.sampled_from(["arrival", "sorting"]),
        "write_cache_bytes": st.sampled_from([0, 100_000]),
    }
)


@st.composite
def workloads(draw, hosts):
    """Few requests of any kind, with chains."""
    count = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    is_write = random.random(count) < draw(st.sampled_from([0.0, 0.4, 1.0]))
    size = random.integers(0, 200_000, count)
    predecessor = np.full(count, -1, np.int32)
    issued = np.sort(random.integers(0, 2_000_000_000, count))
    owner = random.integers(0, hosts, count)
    free = list(range(count))
    for place in range(1, count):
        before = int(random.integers(0, place))
        if random.random() < 0.6 and before in free and owner[before] == owner[place]:
            predecessor[place] = before
            free.remove(before)
    return made_workload(
        count,
        read_bytes=np.where(is_write, 0, size),
        write_bytes=np.where(is_write, size, 0),
        service_ns=random.integers(0, 300_000_000, count),
        predecessor=predecessor,
        issued_ns=issued,
        host=owner,
        lun_index=owner,
        device=0,
        attribute=np.where(random.random(count) < 0.8, 0, random.integers(0, 3, count)),
        is_immediate=random.random(count) < 0.05,
        ends_in_check=random.random(count) < 0.1,
    )


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_is_ever_lost(data):
    words = data.draw(st.sampled_from(TOPOLOGIES))
    hosts = data.draw(st.integers(1, 2))
    links = int(words.split("/")[0].split(":")[1][0]) if ":" in words else 1
    if "xmcs" in words and words.startswith("mpio"):
        links = 2
    link = ideal_link(
        data.draw(st.sampled_from([0, 10_000_000, 10**9])),
        data.draw(st.sampled_from([0, 50_000, 5_000_000])),
        mtu_bytes=data.draw(st.sampled_from([1500, 1 << 20])),
        queue_to_target_bytes=data.draw(st.sampled_from([0, 0, 30_000])),
        queue_from_target_bytes=data.draw(st.sampled_from([0, 0, 150_000])),
        idle_restart_ns=data.draw(st.sampled_from([0, 0, 10**8])),
    )
    disturbed(
        data.draw(workloads(hosts)),
        words,
        data.draw(st.lists(faults(links), min_size=1, max_size=3)),
        data.draw(RECOVERIES),
        (link,),
        pacing=data.draw(st.sampled_from(["closed", "recorded", "depth:7"])),
        target=data.draw(TARGETS),
        hosts=hosts,
        is_initial_r2t=data.draw(st.booleans()),
        immediate_bytes=data.draw(st.sampled_from([0, 8192])),
        first_burst_bytes=65536,
        is_opening_seen=data.draw(st.booleans()),
    )
