"""The path policies: one file each, and one line in ``POLICIES``."""

from __future__ import annotations

from analyzer.replay.policies import (
    as_recorded,
    failover_only,
    least_queue_depth,
    round_robin,
    service_time,
)
from analyzer.replay.policies.interface import Policy

POLICIES: tuple[Policy, ...] = (
    as_recorded.POLICY,
    failover_only.POLICY,
    round_robin.POLICY,
    least_queue_depth.POLICY,
    service_time.POLICY,
)
POLICY_BY_NAME: dict[str, Policy] = {
    name: policy for policy in POLICIES for name in (policy.name, *policy.aliases)
}
