"""What a reader must know before believing an outcome, in whole sentences.

Decides nothing about the replay; says what its model takes for granted, and only what this scenario does.
"""

from __future__ import annotations

from analyzer.replay.calibrated import Confidence
from analyzer.replay.failover import Failover
from analyzer.replay.scenario import BondMode, Pacing, Scenario
from analyzer.replay.state import NONE, SIMPLE
from analyzer.replay.topology import Network, holds_acknowledgements, servers_of
from analyzer.replay.workload import Workload

HIDDEN_SHARE = 0.05


def assumptions_of(
    scenario: Scenario, network: Network, workload: Workload, failover: Failover | None = None
) -> tuple[str, ...]:
    """The assumptions of one replay: what the recording lacks, then the loop, then the rest."""
    return (
        *workload.limits,
        *_about_pacing(scenario, workload),
        *_about_faults(scenario, workload, failover),
        *_about_target(scenario, workload),
        *_about_servers(scenario, workload),
        *_about_links(scenario, network),
        *workload.assumptions,
    )


def _about_pacing(scenario: Scenario, workload: Workload) -> list[str]:
    linked = int((workload.pacing.predecessor != NONE).sum())
    total = len(workload)
    depth = workload.queue_depth
    loops = {
        Pacing.RECORDED: "Open loop: every request is asked for at its recorded time, however slow the "
        "replay is.",
        Pacing.CLOSED: f"Closed loop: {linked} of {total} requests wait for the completion that they "
        "followed in the recording and then for the think time seen; the others are asked for at "
        "their recorded time."
        if depth.depth is None
        else f"Closed loop: {depth.depth} requests are kept outstanding, as the application did in the "
        "recording; the next is asked for when any completes, after the think time seen.",
        Pacing.DEPTH: f"Closed loop: {scenario.depth} requests are outstanding at any time, in recorded "
        "order.",
    }
    found = [loops[scenario.pacing]]
    if scenario.time_scale != 1 and scenario.pacing is not Pacing.DEPTH:
        found.append(f"Recorded times and think times are multiplied by {scenario.time_scale:g}.")
    if workload.has_no_think_time and scenario.pacing is not Pacing.RECORDED:
        found.append(
            "The application is said not to think: what passes between a completion and the next request is "
            "the initiator's own time, and counts as latency."
        )
    hidden = total - int(workload.pacing.is_exact.sum())
    if scenario.pacing is Pacing.CLOSED and hidden > HIDDEN_SHARE * total:
        if depth.value.confidence is Confidence.LOW:
            found.append(
                f"{hidden} of {total} commands were recorded leaving behind other data, so when they were "
                "asked for is not known; more may have been outstanding than it seems. If the queue "
                "depth is known, --pacing depth:N replays it."
            )
        else:
            found.append(
                f"{hidden} of {total} commands waited unseen behind other data; when they were asked for "
                "follows from the statuses that they acknowledge."
            )
    return found


def _about_faults(scenario: Scenario, workload: Workload, failover: Failover | None) -> list[str]:
    if failover is None:
        return []
    recovery = failover.recovery
    way = {
        "reassign": f"Time2Wait {recovery.time2wait_ns / 1e9:g} s, then TASK REASSIGN",
        "retry": f"Time2Wait {recovery.time2wait_ns / 1e9:g} s, then commands are sent again",
        "session": "the whole session is dropped and logged in again",
    }[recovery.connection_recovery]
    hold = "for ever" if recovery.hold_ns is None else f"for {recovery.hold_ns / 1e9:g} s"
    found = [
        f"Recovery as {recovery.preset}: a loss is noticed by {recovery.detection_sentence}; a session "
        f"without connections holds its commands {hold}; a session with others left: {way}."
    ]
    if recovery.cleanup != "none" and (workload.write_bytes > 0).any():
        found.append(
            "A task management function ends writes that wait for their data too."
            if scenario.target.tasks_begin == "with-command"
            else "A write is a task only when all its data is in, as tgt has it; no function ends it before."
        )
    missed = [
        fault.words for fault in scenario.faults if fault not in [one.fault for one in failover.disturbances]
    ]
    if missed:
        found.append(f"The workload ended before these faults could strike: {'; '.join(missed)}.")
    return found


def _about_target(scenario: Scenario, workload: Workload) -> list[str]:
    target = scenario.target
    found = []
    if target.service_ns is None:
        found.append(
            "Each request is served as long as its task was in the recording, whatever else the device does."
            if not any(servers_of(scenario, workload))
            else "Each request is served as long as its task was in the recording, once its turn has come."
        )
    if target.attributes == "as-timed" and (workload.attribute != SIMPLE).any():
        found.append(
            "Task attributes are not applied again: what the target did with them is in its service times."
        )
    if target.gate == "spdk":
        found.append("A command below ExpCmdSN fails; a real target would drop its connection then.")
    if target.read_ahead_blocks:
        found.append("Reading ahead takes no time of the device.")
    return found


def _about_servers(scenario: Scenario, workload: Workload) -> list[str]:
    """How many requests the device serves at once, and whether more may come to it than was ever seen."""
    if scenario.target.servers is not None or scenario.target.service_ns is not None:
        return []
    recorded = workload.device_servers
    limited = [f"{servers}" for servers in recorded.servers if servers]
    found = []
    if limited:
        found.append(f"The device serves {', '.join(limited)} requests at once, as the recording shows.")
    unlimited = [
        most
        for servers, most in zip(recorded.servers, recorded.most_at_once, strict=True)
        if not servers and most
    ]
    if scenario.depth and unlimited and scenario.depth > max(unlimited):
        found.append(
            f"The recording had at most {max(unlimited)} commands at the device at once, none of which was "
            f"seen to wait for it; whether it serves {scenario.depth} at once is not known. If it does not, "
            "give target.servers."
        )
    return found


def _about_links(scenario: Scenario, network: Network) -> list[str]:
    has_loss = any(link.loss_per_billion for link in network.links)
    has_acknowledgements = all(link.packets_per_ack for link in network.links)
    said = "Links do not fail" if not scenario.faults else "Links fail as told"
    said += ", and lost packets cost a repair each but no rate" if has_loss else ", and TCP loses nothing"
    found = [said + ("." if has_acknowledgements else "; its acknowledgements take no time on the links.")]
    if any(holds_acknowledgements(link) for link in network.links):
        found.append(
            "Acknowledgements wait behind data of the other direction that lies in the queue of a host, and "
            "a sender whose congestion window is used up waits for them."
        )
    found.append("An initiator writes to a connection first in, first out: commands wait behind data.")
    if scenario.bond_mode is BondMode.BALANCE_RR:
        found.append(
            f"Both ends stripe packets over the bond; one connection fills {scenario.reorder_links:g} links "
            "at most, for its packets arrive out of order."
        )
    elif scenario.bond_mode is not None:
        found.append("Both ends of the bond choose the same link for a connection.")
    elif not scenario.is_baseline and not scenario.are_links_shared:
        found.append("Every path has a link of its own.")
    return found
