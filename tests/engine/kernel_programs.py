"""Real programs across two kernels, an engine between them: a client at the left, servers at the right.

Run by test_programs.py in namespaces of its own: kernel_programs.py REPORT SITUATION. Writes, by program: its status,
what it said, whether its file arrived whole, and what NIC and tracker counted meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kernel_host import Host

from ctoffload_dpdk.conntrack import Nat, ovs_lines
from ctoffload_dpdk.engine import Eal, Engine, Settings
from ctoffload_dpdk.nicsim import Nic

EAL = "--no-pci --no-huge -m 256 --no-shconf --no-telemetry -l 0"
PORTS = ("net_nicsim0", "net_nicsim1")
LIMIT_S = 40
FILE = bytes(i * 7 % 251 for i in range(300_000))
CLIENT, SERVER, PUBLIC, SHOWN, FAR = "10.77.0.1", "10.77.0.2", "10.77.0.100", "10.77.0.200", "10.78.0.2"
CLIENT6, SERVER6, PUBLIC6 = "fc77::1", "fc77::2", "fc77::100"
HELPERS = "ftp=21,tftp=69"


@dataclass(frozen=True)
class Situation:
    """nat: of connections that begin at the left; server: as the client knows it."""

    nat: str = ""
    server: str = SERVER
    offload: bool = True

    @property
    def host(self) -> str:
        """The server in a URL."""
        return f"[{self.server}]" if ":" in self.server else self.server


SITUATIONS = {
    "plain": Situation(),
    "plain6": Situation(server=SERVER6),
    "source": Situation(nat=f"src={PUBLIC}"),
    "source6": Situation(nat=f"src=[{PUBLIC6}]", server=SERVER6),
    "destination": Situation(nat=f"dst={SERVER}", server=SHOWN),
    "both": Situation(nat=f"src={PUBLIC}:20000-29999,dst={SERVER}", server=SHOWN),
    "software": Situation(nat=f"src={PUBLIC}", offload=False),
}


def curl(*words: str) -> list[str]:
    return ["curl", "--silent", "--show-error", "--globoff", "--max-time", "20", *words]


def programs(host: str, server: str, out: str, file: str) -> dict[str, list[str]]:
    """The command lines of the client; what they fetch goes to `out`."""
    far = ["traceroute", "-n", "-q", "1", "-w", "2", "-m", "4", FAR]
    # curl goes on with the address of the control connection unless it is told to believe what a server says.
    believe = ["--no-ftp-skip-pasv-ip", "--output", out, f"ftp://{host}/file"]
    found = {
        "http": curl("--output", out, f"http://{host}:8000/file"),
        "ftp extended passive": curl(*believe),
        "ftp extended active": curl("--ftp-port", "-", "--output", out, f"ftp://{host}/file"),
        "ftp upload": curl("--upload-file", file, f"ftp://{host}/up"),
        "tftp": curl("--output", out, f"tftp://{host}/file"),
        "ping": ["ping", "-c", "3", "-i", "0.2", "-W", "3", "-s", "4000", server],
    }
    if ":" not in server:
        found["ftp passive"] = curl("--disable-epsv", *believe)
        found["ftp active"] = curl("--ftp-port", "-", "--disable-eprt", "--output", out, f"ftp://{host}/file")
        found["traceroute"] = far
    return found


def knows(host: Host, shown: str, other: Host) -> None:
    """An address that only translation knows answers no ARP: the host has it from here."""
    host.run("ip", "neigh", "add", shown, "lladdr", other.mac(), "dev", host.name)


class Hosts:
    """The client's kernel, the servers' kernel, and one behind that; files and servers."""

    def __init__(self, directory: str) -> None:
        self.left = Host("left", [f"{CLIENT}/24", f"{CLIENT6}/64"])
        self.right = Host("right", [f"{SERVER}/24", f"{SERVER6}/64"])
        subprocess.run(["ip", "link", "add", "near", "type", "veth", "peer", "name", "far"], check=True)
        self.far = Host("far", [f"{FAR}/24"])
        subprocess.run(["ip", "link", "set", "near", "netns", str(self.right.holder.pid)], check=True)
        self.right.run("ip", "addr", "add", "10.78.0.1/24", "dev", "near")
        self.right.run("ip", "link", "set", "near", "up")
        self.right.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.far.run("ip", "route", "add", "default", "via", "10.78.0.1")
        self.left.run("ip", "route", "add", "10.78.0.0/24", "via", SERVER)
        for shown in (PUBLIC, PUBLIC6):
            knows(self.right, shown, self.left)
        knows(self.left, SHOWN, self.right)
        (Path(directory) / "file").write_bytes(FILE)
        self.servers = [
            self.right.start(sys.executable, "-m", "http.server", "8000", "--bind", "::", "--directory", directory),
            *(
                self.right.start(sys.executable, "-m", "pyftpdlib", "-p", "21", "-w", "-i", address, "-d", directory)
                for address in (SERVER, SERVER6)
            ),
            self.right.start(
                *("dnsmasq", "--no-daemon", "--port=0", "--enable-tftp", f"--tftp-root={directory}"),
                *("--pid-file=", "--conf-file=/dev/null"),  # not a daemon, it stays who it is
            ),
        ]

    def are_serving(self) -> bool:
        """Each server listens: HTTP, FTP twice, TFTP."""
        ended = [server.communicate()[0] for server in self.servers if server.poll() is not None]
        assert not ended, f"a server did not start: {ended}"
        listening = subprocess.run(self.right.command("cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp"),
                                   check=True, capture_output=True, text=True).stdout.upper()  # fmt: skip
        return listening.count(":1F40 ") == 1 and listening.count(":0015 ") == 2 and ":0045 " in listening

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.communicate()
        for host in (self.left, self.right, self.far):
            host.close()


class Bench:
    """An engine over two emulated ports, run by the real clock."""

    def __init__(self, eal: Eal, situation: Situation) -> None:
        self.pool = eal.mempool(4095, cache_size=0)
        self.nics = [Nic.create(eal, name, wire=f"port:net_tap{n}", switch=1) for n, name in enumerate(PORTS)]
        self.engine = Engine(eal, Settings(hw_offload=situation.offload, ct_offload_helpers=HELPERS), events=65536)
        for name in PORTS:
            self.engine.add_port(name, self.pool)
        self.engine.join(*PORTS)
        self.engine.set_nat(PORTS[0], Nat.parse(situation.nat))
        self.start_s = time.monotonic()

    def until(self, is_over: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not is_over():
            assert time.monotonic() < end, f"{what} took longer than {LIMIT_S} s"
            for _ in range(20):
                self.engine.run_once(round((time.monotonic() - self.start_s) * 1000))

    def counts(self) -> dict[str, int]:
        tracker, software = self.engine.conntrack.counters(), self.engine.packets()
        fragments = self.engine.conntrack.fragments()
        return {
            "nic_forwarded": sum(nic.counters().nic_forwarded for nic in self.nics),
            "host_rx": software.host_rx,
            "expected": tracker.expected,
            "invalid": tracker.invalid,
            "completed": fragments["v4_completed"] + fragments["v6_completed"],
        }

    def run(self, host: Host, words: list[str]) -> dict[str, Any]:
        """What a program said, and what was counted meanwhile."""
        before = self.counts()
        self.engine.conntrack.events()
        process = host.start(*words)
        self.until(lambda: process.poll() is not None, " ".join(words))
        assert process.stdout is not None
        counted = {name: value - before[name] for name, value in self.counts().items()}
        connections = ovs_lines(self.engine.conntrack.connections())
        return counted | {"status": process.returncode, "said": process.stdout.read(), "connections": connections}

    def books(self) -> dict[str, int]:
        """What came to software and went, and what is left in the NIC once everything was taken out."""
        self.engine.drain(round((time.monotonic() - self.start_s) * 1000))
        software = self.engine.packets()
        left = sum(nic.audit().rules.live for nic in self.nics) - self.engine.provider.stats().rules_static
        gone = software.host_tx + sum(software.sw_dropped.values()) + software.held
        return {"came": software.host_rx, "went": gone, "rules_left": left}


def main() -> None:
    situation = SITUATIONS[sys.argv[2]]
    taps = [word for n, name in enumerate(("left", "right")) for word in ("--vdev", f"net_tap{n},iface={name}")]
    said: dict[str, Any] = {}
    with Eal.start([*EAL.split(), *taps]) as eal, TemporaryDirectory() as directory:
        bench, hosts = Bench(eal, situation), Hosts(directory)
        try:
            bench.until(hosts.are_serving, "the start of the servers")
            out, up = Path(directory) / "out", Path(directory) / "up"
            source = str(Path(directory) / "file")
            for name, words in programs(situation.host, situation.server, str(out), source).items():
                said[name] = bench.run(hosts.left, words)
                arrived = up if name == "ftp upload" else out
                said[name]["whole"] = arrived.exists() and arrived.read_bytes() == FILE
                arrived.unlink(missing_ok=True)
            said["books"] = bench.books()
        finally:
            hosts.close()
            bench.engine.close()
    Path(sys.argv[1]).write_text(json.dumps(said))


if __name__ == "__main__":
    main()
