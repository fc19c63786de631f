"""A recording calibrated: its links, its workload and what was agreed, with all that was taken from it.

Puts together what the modules beside it work out; every scenario of one timeline starts from this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from analyzer.replay.agreements import Agreement, agreements_of
from analyzer.replay.answer_order import order_value
from analyzer.replay.calibrated import CalibratedValue
from analyzer.replay.draws import Draws, draws_of
from analyzer.replay.given import NOTHING_GIVEN, Given
from analyzer.replay.pacing import pacing_values
from analyzer.replay.recorded_links import RecordedLinks, recorded_links
from analyzer.replay.service_times import service_times
from analyzer.replay.service_values import service_values
from analyzer.replay.workload import Workload, workload_of
from analyzer.tables.folder import Timeline


@dataclass(frozen=True, slots=True)
class Calibration:
    """What all scenarios of one timeline start from; ``agreements`` has one entry for each connection."""

    recorded: RecordedLinks
    workload: Workload
    agreements: tuple[Agreement, ...]
    values: tuple[CalibratedValue, ...]
    draws: Draws


def calibration_of(timeline: Timeline, given: Given = NOTHING_GIVEN) -> Calibration:
    """Calibrate a timeline. Raises UnusableInputError where it holds no command to replay."""
    recorded = recorded_links(timeline, given)
    service = service_times(timeline, recorded)
    workload = replace(workload_of(timeline, recorded, service), has_no_think_time=given.has_no_think_time)
    agreements, agreed = agreements_of(timeline)
    return Calibration(
        recorded,
        workload,
        agreements,
        (
            *recorded.values,
            *workload.device_servers.values,
            *service_values(timeline, workload, service),
            *agreed,
            *pacing_values(workload.pacing, has_no_think_time=given.has_no_think_time),
            order_value(workload.answer_order),
            workload.queue_depth.value,
        ),
        draws_of(workload, recorded, service.kind),
    )
