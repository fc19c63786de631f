"""Recording packets: dumpcap started, watched and stopped, and the files it writes.

Decides how dumpcap is called and what its words mean. pyshark finds it (its settings may name another
place) but does not run it: pyshark's live capture sends every packet through tshark as XML, a few
hundred packets a second, and knows neither snap length nor buffer size. Knows nothing of what is recorded.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import UnusableInputError

BUFFER_MIB = 32
STOP_TIMEOUT_S = 10.0
_FILE_NAMED = b"File: "
_COUNTS = re.compile(rb"received/dropped on interface '[^']*': (\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What is recorded, and when it ends by itself. ``snap_length`` 0 keeps packets whole."""

    interfaces: tuple[str, ...]
    capture_filter: str
    snap_length: int = 0
    duration_s: float | None = None
    packets: int | None = None
    ring_files: int | None = None
    ring_file_megabytes: int | None = None


def portal_filter(portals: Sequence[str], ports: Sequence[int]) -> str:
    """The capture filter (pcap-filter language) for iSCSI portals ``HOST[:PORT]`` and for ports of any host.

    Raises UnusableInputError for what is no portal.
    """
    parts = [_one_portal(portal) for portal in portals]
    parts += [f"tcp port {port}" for port in ports]
    return " or ".join(f"({part})" for part in parts) if parts else "tcp"


def _one_portal(portal: str) -> str:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?", portal)
    if match is None and re.fullmatch(r"[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*", portal):
        return f"host {portal} and tcp"
    if match is None or (match[3] and not 0 < int(match[3]) < 65536):
        raise UnusableInputError("is no portal; HOST, HOST:PORT or [ADDRESS]:PORT is one", source=portal)
    host = match[1] or match[2]
    return f"host {host} and tcp port {match[3]}" if match[3] else f"host {host} and tcp"


def dumpcap_path() -> str:
    """Where dumpcap is. Raises UnusableInputError where it is not installed."""
    from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path

    try:
        return str(get_process_path(process_name="dumpcap"))
    except TSharkNotFoundException:
        raise UnusableInputError("recording needs dumpcap (of Wireshark), which is not installed") from None


class Recorder:
    """A running dumpcap. Use as a context manager: it is stopped on the way out."""

    def __init__(self, options: RecordingOptions, output: Path) -> None:
        """Start recording into ``output``, or into files named after it where a ring is asked for.

        Returns once dumpcap listens. Under load libpcap may lose packets in its first milliseconds: it opens
        the interface, then shuts all packets out while it sets the filter, but keeps those before. Raises
        UnusableInputError, with dumpcap's own reason, where it does not listen.
        """
        self.files: list[Path] = []
        """Files in order; the last one is being written. A ring deletes the oldest."""
        self.packets: int | None = None
        self.dropped: int | None = None
        """Counts of dumpcap itself, known once it has ended."""
        self._said: list[bytes] = []
        self._listens = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 - no shell; the words are ours or checked options
            [dumpcap_path(), *_arguments(options, output)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C is for us: we ask dumpcap to end, and then read what it still had.
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, name="dumpcap-words", daemon=True)
        self._listener.start()
        self._listens.wait()
        if not self.files:
            self.stop()
            raise UnusableInputError(
                f"dumpcap cannot record: {self._reason()}", source=",".join(options.interfaces)
            )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether packets are still being recorded."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask dumpcap to write what it has and to end; kill it where it does not."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(STOP_TIMEOUT_S)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith(_FILE_NAMED):
                self.files.append(Path(line[len(_FILE_NAMED) :].decode(errors="surrogateescape").strip()))
                self._listens.set()
            elif counts := _COUNTS.search(line):
                self.packets = (self.packets or 0) + int(counts[1])
                self.dropped = (self.dropped or 0) + int(counts[2])
            elif line.strip():
                self._said.append(line.strip())
        self._listens.set()

    def _reason(self) -> str:
        told = [
            line for line in self._said if not line.startswith((b"Capturing on", b"Please", b"(You might"))
        ]
        return (told or [b"no reason given"])[0].decode(errors="replace").removeprefix("dumpcap: ")


def _arguments(options: RecordingOptions, output: Path) -> list[str]:
    words = ["-q", "-B", str(BUFFER_MIB)]
    for interface in options.interfaces:
        words += ["-i", interface, "-f", options.capture_filter]
        if options.snap_length:
            words += ["-s", str(options.snap_length)]
    if options.duration_s is not None:
        words += ["-a", f"duration:{options.duration_s:g}"]
    if options.packets is not None:
        words += ["-c", str(options.packets)]
    if options.ring_files is not None:
        words += [
            "-b",
            f"files:{options.ring_files}",
            "-b",
            f"filesize:{(options.ring_file_megabytes or 100) * 1000}",
        ]
    return [*words, "-w", str(output)]
