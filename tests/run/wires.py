"""`ctoffload run` on ports of the kernel, AF_PACKET and TAP, and on memif between two daemons; two hosts behind them.

Run by test_wires.py in namespaces of its own, as: wires.py REPORT KIND. Writes what the hosts and the daemon said.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon_lab import Daemon, running
from kernel_host import Host

LEFT, RIGHT = "10.78.0.1", "10.78.0.2"


def tap() -> list[str]:
    """The daemon makes the interfaces itself."""
    return ["--vdev", "net_tap0,iface=left", "--vdev", "net_tap1,iface=right"]


def af_packet() -> list[str]:
    """One end of two veth pairs, whose other ends go to the hosts."""
    for name in ("left", "right"):
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-wire"], check=True)
        subprocess.run(["ip", "link", "set", f"{name}-wire", "up", "promisc", "on"], check=True)
    return [
        *("--vdev", "net_af_packet0,iface=left-wire", "--vdev", "net_af_packet1,iface=right-wire"),
        *("net_af_packet0", "net_af_packet1"),
    ]


def memif(directory: Path, role: str, name: str) -> list[str]:
    """A host's TAP, and shared memory to the other daemon."""
    shared = f"net_memif0,role={role},id=0,socket={directory}/memif.sock,socket-abstract=no"
    return ["--file-prefix", f"ct-{name}-{os.getpid()}", "--vdev", f"net_tap0,iface={name}", "--vdev", shared]


@contextlib.contextmanager
def daemons(kind: str, directory: Path) -> Iterator[list[Daemon]]:
    """What joins the hosts: one daemon, or two."""
    if kind != "memif":
        with running(directory, *{"tap": tap, "af_packet": af_packet}[kind]()) as daemon:
            yield [daemon]
        return
    for name in ("left", "right"):
        (directory / name).mkdir()
    with (
        running(directory / "left", *memif(directory, "server", "left")) as left,
        running(directory / "right", *memif(directory, "client", "right")) as right,
    ):
        for daemon in (left, right):
            daemon.until(lambda at=daemon: all(port["link"] for port in at.call("ports")["ports"]), "memif has no link")
        yield [left, right]


def tell(kind: str, directory: Path) -> dict[str, Any]:
    said: dict[str, Any] = {}
    with daemons(kind, directory) as between:
        hosts = [Host("left", [f"{LEFT}/24"]), Host("right", [f"{RIGHT}/24"])]
        try:
            for i, other in enumerate((RIGHT, LEFT)):
                words = hosts[i].command("ping", "-c", "3", "-i", "0.2", "-W", "5", "-s", "1000", other)
                done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
                said[f"ping{i}"] = done.stdout + done.stderr
            said["rows"] = [daemon.rows(proto="icmp") for daemon in between]
            said["notes"] = [daemon.call("status")["notes"] for daemon in between]
            said["accounts"] = [daemon.stop() for daemon in between]
        finally:
            for host in hosts:
                host.close()
    return said


def main() -> None:
    report = Path(sys.argv[1])
    report.write_text(json.dumps(tell(sys.argv[2], report.parent)))


if __name__ == "__main__":
    main()
