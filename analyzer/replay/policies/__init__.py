"""The path policies: one file each, and one line in ``POLICIES``."""

from __future__ import annotations

from analyzer.replay.policies import (
    active_read,
    as_recorded,
    failover_only,
    historical_service_time,
    io_affinity,
    least_blocks,
    least_queue_depth,
    logical_block,
    order_safe,
    round_robin,
    round_robin_subset,
    service_time,
    vmw_latency,
    vmw_rr,
    weighted_paths,
)
from analyzer.replay.policies.interface import Policy

POLICIES: tuple[Policy, ...] = (
    as_recorded.POLICY,
    failover_only.POLICY,
    round_robin.POLICY,
    round_robin_subset.POLICY,
    least_queue_depth.POLICY,
    least_blocks.POLICY,
    weighted_paths.POLICY,
    service_time.POLICY,
    historical_service_time.POLICY,
    io_affinity.POLICY,
    vmw_rr.POLICY,
    vmw_latency.POLICY,
    logical_block.POLICY,
    active_read.POLICY,
    order_safe.POLICY,
)
POLICY_BY_NAME: dict[str, Policy] = {
    name: policy for policy in POLICIES for name in (policy.name, *policy.aliases)
}
