"""A kernel host in a network namespace of its own, at the far end of an emulated port whose wire is a TAP interface.

For scripts that run in namespaces of their own (kernel_lab.py).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence


class Host:
    """A network namespace with one interface in it. addresses: with their prefix; IPv6 is off where none is of it."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None and self.holder.stdout.readline() == b"ready\n"
        self.addresses = addresses
        if not any(":" in address for address in addresses):
            self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", check=False)
        self.run("ip", "link", "set", "lo", "up")
        self.plug()

    def plug(self) -> None:
        """Takes the interface in; again, where a new one has its name."""
        subprocess.run(["ip", "link", "set", self.name, "netns", str(self.holder.pid)], check=True)
        for address in self.addresses:
            self.run("ip", "addr", "add", address, "dev", self.name, *(["nodad"] if ":" in address else []))
        self.run("ip", "link", "set", self.name, "up")

    def command(self, *words: str) -> list[str]:
        """That of a program there. They are those of others: without sanitizers, where the suite runs below those."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "env", "--unset=LD_PRELOAD", *words]

    def run(self, *words: str, check: bool = True) -> None:
        subprocess.run(self.command(*words), check=check, stderr=None if check else subprocess.DEVNULL)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def mac(self) -> str:
        """The address of its interface."""
        words = self.command("ip", "-json", "link", "show", self.name)
        (link,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        return str(link["address"])

    def close(self) -> None:
        self.holder.communicate()
