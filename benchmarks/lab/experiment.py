"""One repeat of one run: network, target, recorder and initiator up, the fault made, all down again.

Decides the order of these and their deadlines. What it gives back is plain data; nothing is measured
here.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Configuration, FaultKind
from benchmarks.lab.device_latency import shim_environment
from benchmarks.lab.leftovers import temporary_folder
from benchmarks.lab.machine_load import describe, sample
from benchmarks.lab.network import PORTAL_PORT, Network, running_network
from benchmarks.lab.processes import inside, stop, tool
from benchmarks.lab.recorder import recorded
from benchmarks.lab.target import running_tgt, target_keys
from benchmarks.lab.workload import Item

ROOT = Path(__file__).parents[2]
TOOLS = ("ip", "tc", "ethtool", "tgtd", "tgtadm", "dumpcap")
OPENING_DEADLINE_S = 30.0
CLOSING_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Repeat:
    """What one repeat gave: the initiator's truth and facts, and what the machine said."""

    truth: dict[str, Any]
    facts: dict[str, Any]
    cpu: dict[str, float]
    qdisc_drops: int
    capture_drops: int | None
    target_retransmissions: int


def require_machine() -> None:
    """Raises UnusableInputError, in one line, where this machine cannot be a lab."""
    if not sys.platform.startswith("linux"):
        raise UnusableInputError("the lab needs Linux network namespaces")
    if os.geteuid() != 0:
        raise UnusableInputError("the lab builds network namespaces and has to be run as root")
    for name in TOOLS:
        tool(name)


def perform(configuration: Configuration, items: Sequence[Item], capture: Path) -> Repeat:
    """Do one repeat and record it into ``capture`` (pcapng, one interface per link).

    Raises UnusableInputError where the machine cannot, or the initiator fails.
    """
    require_machine()
    with (
        temporary_folder() as folder,
        running_network(configuration.links) as network,
        running_tgt(
            folder,
            namespace=network.target,
            unit_bytes=configuration.workload.lun_bytes,
            keys=target_keys(configuration),
            environment=shim_environment(configuration.device, folder),
            servers=configuration.device.servers,
        ) as target,
    ):
        interfaces = [network.initiator_interface(path) for path in range(configuration.paths)]
        longest_s = configuration.deadline_s + OPENING_DEADLINE_S + CLOSING_DEADLINE_S
        with recorded(
            capture, interfaces, PORTAL_PORT, longest_s=longest_s, namespace=network.initiator
        ) as recording:
            started = _run_initiator(configuration, items, network, folder)
            with started as (initiator, announced):
                began_at = _announcement(initiator, announced)
                before = sample(target.pid)
                fault_event = _make_silent_fault(configuration, network, began_at, initiator)
                _await_end(initiator, configuration.deadline_s + CLOSING_DEADLINE_S)
                _require_target(target)
                after = sample(target.pid)
        told = json.loads((folder / "initiator.json").read_text())
        drops = network.dropped_packets()
    truth, facts = told["truth"], told["facts"]
    truth["events"] = sorted([*truth["events"], *fault_event], key=lambda event: float(event["t"]))
    truth["meta"] |= {"capture": capture.name, "capture_command": recording.command}
    truth["meta"] |= {"packets": recording.packets, "dropped": recording.dropped}
    facts["t_fault"] = fault_event[0]["t"] if fault_event else None
    cpu = describe(before, after, facts["cpu_s"])
    resent = after.target_retransmissions - before.target_retransmissions
    return Repeat(truth, facts, cpu, drops, recording.dropped, resent)


@contextlib.contextmanager
def _run_initiator(
    configuration: Configuration, items: Sequence[Item], network: Network, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], queue.Queue[bytes]]]:
    """Start the initiator in its namespace; gives it and what it says. Never leaves it behind."""
    plan = {
        "configuration": configuration.model_dump(mode="json"),
        "items": items,
        "output": str(folder / "initiator.json"),
    }
    command = inside(network.initiator, [sys.executable, "-m", "benchmarks.lab.initiator"])
    with (folder / "plan.json").open("w+") as file:
        json.dump(plan, file)
        file.flush()
        file.seek(0)
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    said: queue.Queue[bytes] = queue.Queue()
    assert process.stdout is not None
    listener = threading.Thread(
        target=lambda out: said.put(out.readline()), args=(process.stdout,), daemon=True
    )
    listener.start()
    try:
        yield process, said
    finally:
        stop(process, signal.SIGKILL)
        listener.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _announcement(initiator: subprocess.Popen[bytes], said: queue.Queue[bytes]) -> float:
    """Wait for the first command; the time of it, in epoch seconds."""
    try:
        line = said.get(timeout=OPENING_DEADLINE_S)
    except queue.Empty:
        raise UnusableInputError(f"no login after {OPENING_DEADLINE_S:.0f} s", source="initiator") from None
    if not line:
        raise UnusableInputError(_last_words(initiator))
    return float(json.loads(line)["t_first_submit"])


def _make_silent_fault(
    configuration: Configuration, network: Network, began_at: float, initiator: subprocess.Popen[bytes]
) -> list[dict[str, Any]]:
    """At its time break the link behind the initiator's back; the event of it, if any."""
    fault = configuration.fault
    if fault is None or not configuration.is_silent_fault:
        return []
    due = began_at + fault.at_s
    while time.time() < due:
        if initiator.poll() is not None:
            return []
        time.sleep(min(0.05, max(0.0, due - time.time())))
    event = {"t": time.time(), "event": "link_fault", "mode": fault.kind.value, "path": fault.path}
    if fault.kind is FaultKind.BLACK_HOLE:
        network.swallow(fault.path)
    else:
        network.take_down(fault.path)
    return [event | {"t_after": time.time()}]


def _await_end(initiator: subprocess.Popen[bytes], deadline_s: float) -> None:
    try:
        code = initiator.wait(deadline_s)
    except subprocess.TimeoutExpired:
        raise UnusableInputError(f"no end after {deadline_s:.0f} s", source="initiator") from None
    if code:
        raise UnusableInputError(_last_words(initiator))


def _require_target(target: subprocess.Popen[bytes]) -> None:
    """Raises UnusableInputError where tgt did not live through the run; docs/lab.md says when it does not."""
    code = target.poll()
    if code is not None:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise UnusableInputError(
            f"tgt ended in the middle of the run ({how}); see docs/lab.md", source="tgtd"
        )


def _last_words(initiator: subprocess.Popen[bytes]) -> str:
    assert initiator.stderr is not None
    lines = initiator.stderr.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the initiator ended without a word"
