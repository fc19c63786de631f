"""A tgt of our own: one target with one logical unit over a sparse file, in a namespace or on loopback.

Decides how tgt is started, set up and ended; tests use it too. Everything it writes lies in the folder
it is given. Keys are set at the target, because most are settled by the stricter side.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from analyzer.errors import UnusableInputError
from benchmarks.lab.configuration import Configuration, Device, Digests, WriteData
from benchmarks.lab.processes import inside, stop, tool, wait_for

TARGET_NAME = "iqn.2026-11.example.lab:disk"
LUN = 1


def target_keys(configuration: Configuration) -> dict[str, str]:
    """The text keys that the target has to hold for a run (RFC 7143 section 13)."""
    digest = configuration.digests
    return {
        "MaxConnections": str(configuration.paths),
        "InitialR2T": "No" if configuration.writes is WriteData.UNSOLICITED else "Yes",
        "ImmediateData": "No" if configuration.writes is WriteData.SOLICITED else "Yes",
        "FirstBurstLength": str(configuration.first_burst_bytes),
        "MaxBurstLength": str(configuration.max_burst_bytes),
        "MaxOutstandingR2T": "1",
        "MaxRecvDataSegmentLength": str(configuration.target_segment_bytes),
        "HeaderDigest": "CRC32C" if digest in (Digests.HEADER, Digests.BOTH) else "None",
        "DataDigest": "CRC32C" if digest in (Digests.DATA, Digests.BOTH) else "None",
    }


@contextmanager
def running_tgt(
    folder: Path,
    *,
    namespace: str | None = None,
    portal: str | None = None,
    name: str = TARGET_NAME,
    unit_bytes: int = 32 << 20,
    is_tape: bool = False,
    keys: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    servers: int = Device().servers,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run tgt over a sparse file of ``unit_bytes`` in ``folder``; kill it and remove the file afterwards.

    ``is_tape`` makes it a tape drive with a cartridge in it. Without ``portal`` (``address:port``) it listens
    on every address of its namespace. It works on ``servers`` commands at the same time.
    Raises UnusableInputError where it does not start or refuses a key.
    """
    disk = folder / "disk.img"
    if is_tape:
        _make_cartridge(disk, unit_bytes)
    else:
        with disk.open("wb") as file:
            file.truncate(unit_bytes)
    # The control number names a socket of tgt; the path of it is ours, so numbers never meet.
    control = "1"
    tgt_environment = {**os.environ, **(environment or {}), "TGT_IPC_SOCKET": str(folder / "tgt")}
    arguments = [tool("tgtd"), "-f", "-C", control, "-t", str(servers)]
    if portal:
        arguments += ["--iscsi", f"portal={portal}"]
    with (folder / "tgtd.log").open("wb") as log:
        server = subprocess.Popen(inside(namespace, arguments), env=tgt_environment, stdout=log, stderr=log)
    plain_environment = {**os.environ, "TGT_IPC_SOCKET": str(folder / "tgt")}
    admin = inside(namespace, [tool("tgtadm"), "-C", control, "--lld", "iscsi"])

    def administer(*words: str) -> bool:
        if server.poll() is not None:
            raise UnusableInputError("tgtd ended by itself", source=str(folder / "tgtd.log"))
        done = subprocess.run(
            [*admin, *words], env=plain_environment, capture_output=True, check=False, timeout=10
        )
        return done.returncode == 0

    def require(*words: str) -> None:
        if not administer(*words):
            raise UnusableInputError(f"tgtadm {' '.join(words)}: refused")

    target = ("--mode", "target", "--tid", "1")
    try:
        wait_for(lambda: administer("--op", "new", *target, "-T", name), "tgt did not start")
        unit = ("--mode", "logicalunit", "--tid", "1", "--lun", str(LUN))
        kind = ("--device-type", "tape", "--bstype", "ssc") if is_tape else ()
        require("--op", "new", *unit, "-b", str(disk), *kind)
        for key, value in (keys or {}).items():
            require("--op", "update", *target, "--name", key, "--value", value)
        require("--op", "bind", *target, "-I", "ALL")
        yield server
    finally:
        stop(server, signal.SIGKILL)
        disk.unlink(missing_ok=True)


def _make_cartridge(image: Path, size_bytes: int) -> None:
    """An empty tape; raises UnusableInputError where tgt cannot make one."""
    words = [
        "--op",
        "new",
        "--device-type",
        "tape",
        "--barcode",
        "LAB001",
        "--type",
        "data",
        "--thin-provisioning",
    ]
    size = ["--size", str(size_bytes >> 20), "--file", str(image)]
    done = subprocess.run([tool("tgtimg"), *words, *size], capture_output=True, check=False, timeout=10)
    if done.returncode:
        raise UnusableInputError(done.stderr.decode(errors="replace").strip(), source="tgtimg")
