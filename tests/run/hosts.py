"""Two kernel hosts joined by `ctoffload run`: emulated NIC ports, whose wires are TAP interfaces.

Run by test_hosts.py in namespaces of its own, as: hosts.py REPORT STORY. Writes what the hosts and the daemon said.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from daemon_lab import BIN, Daemon, running
from kernel_host import Host

LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
PORTS = [
    *("--vdev", "net_tap0,iface=left", "--vdev", "net_tap1,iface=right"),
    *("--vdev", "net_nicsim0,switch=1,capacity=8192,wire=port:net_tap0"),
    *("--vdev", "net_nicsim1,switch=1,capacity=8192,wire=port:net_tap1"),
    *("net_nicsim0", "net_nicsim1"),
]
Story = Callable[[Path], dict[str, Any]]


class Bench:
    """The daemon and the two hosts."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.hosts = [Host("left", [f"{LEFT}/24"]), Host("right", [f"{RIGHT}/24"])]
        self.servers: list[subprocess.Popen[str]] = []

    def ask(self, *words: str, host: int = 0) -> str:
        """What a command on a host said."""
        done = subprocess.run(self.hosts[host].command(*words), capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def serve(self, *words: str, host: int = 1) -> None:
        self.servers.append(self.hosts[host].start(*words))

    def iperf(self, *words: str, port: int = 5201, address: str = RIGHT) -> dict[str, Any]:
        """What iperf3 on the left says after a run to the right; tried again while the server is not up yet."""
        said = ""
        for _ in range(20):
            said = self.ask("iperf3", "--json", "-c", address, "-p", str(port), *words)
            with contextlib.suppress(ValueError):
                report: dict[str, Any] = json.loads(said)
                if "error" not in report:
                    return report
            time.sleep(0.3)
        raise AssertionError(f"iperf3 did not run: {said[-2000:]}")

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.communicate()
        for host in self.hosts:
            host.close()


@contextlib.contextmanager
def bench_of(directory: Path, *arguments: str) -> Iterator[Bench]:
    with running(directory, *PORTS, *arguments) as daemon:
        bench = Bench(daemon)
        try:
            yield bench
        finally:
            bench.close()


def forwarded(daemon: Daemon) -> int:
    """Packets that rules carried, as last told."""
    return sum(sum(tracker["nic_packets"]) for tracker in daemon.call("stats")["trackers"])


def traffic(directory: Path) -> dict[str, Any]:
    """TCP, UDP, ping, HTTP; meanwhile the connections are in the NIC."""
    said: dict[str, Any] = {}
    with bench_of(directory) as bench:
        daemon = bench.daemon
        said["ping"] = bench.ask("ping", "-c", "3", "-i", "0.2", "-s", "1400", RIGHT)
        bench.serve("iperf3", "-s")
        (directory / "page").write_bytes(bytes(i * 7 % 251 for i in range(300_000)))
        bench.serve(sys.executable, "-m", "http.server", "8000", "--bind", RIGHT, "--directory", str(directory))
        tcp = bench.iperf("-t", "2", "-b", "40M")
        said["tcp_bytes"] = tcp["end"]["sum_received"]["bytes"]
        udp = bench.iperf("-u", "-t", "2", "-b", "5M", "-l", "1000")
        said["udp_lost_percent"] = udp["end"]["sum"]["lost_percent"]
        got = directory / "got"
        said["curl"] = bench.ask("curl", "-sS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o",
                                 str(got), f"http://{RIGHT}:8000/page")  # fmt: skip
        said["page_is_whole"] = got.read_bytes() == (directory / "page").read_bytes()
        said["in_hardware"] = daemon.rows(offloaded="yes")
        said["stats"] = daemon.call("stats")
        said["account"] = daemon.stop()
    return said


def policy(directory: Path) -> dict[str, Any]:
    """A denied port, a translated source, a translated destination, a reload in between."""
    said: dict[str, Any] = {}
    settings = directory / "lab.toml"
    settings.write_text(
        '[other_config]\nct-offload-rules = """\n'
        f"deny tcp to {RIGHT} port 5202   # the second server\n"
        "deny icmp on net_nicsim1\n"
        '"""\n'
        f"ct-offload-nat = 'snat 10.77.0.100:20000-20099 tcp to {RIGHT} port 5203 on net_nicsim0'\n"
    )
    with bench_of(directory, "--config", str(settings)) as bench:
        for port in ("5201", "5202", "5203"):
            bench.serve("iperf3", "-s", "-p", port)
        bench.hosts[1].run("ip", "route", "add", "10.77.0.100", "via", LEFT)
        said["allowed"] = bench.iperf("-n", "100K")["end"]["sum_sent"]["bytes"]
        said["denied"] = bench.ask("timeout", "3", "iperf3", "-c", RIGHT, "-p", "5202", "--connect-timeout", "1500")
        said["ping_there"] = bench.ask("ping", "-c", "2", "-i", "0.2", "-W", "1", RIGHT)
        said["ping_back"] = bench.ask("ping", "-c", "2", "-i", "0.2", "-W", "1", LEFT, host=1)
        said["translated"] = bench.iperf("-t", "1", "-b", "10M", port=5203)["end"]["sum_received"]["bytes"]
        said["rows"] = bench.daemon.rows(dport=5203)
        said["dropped"] = bench.daemon.call("stats")["packets"]["sw_dropped"]["denied"]
        settings.write_text("[other_config]\n")
        bench.daemon.process.send_signal(1)
        bench.daemon.until(
            lambda: not bench.daemon.call("config", name="ct-offload-rules")["settings"]["ct-offload-rules"]["value"],
            "the file was not read again",
        )
        said["after_reload"] = bench.iperf("-n", "100K", port=5202)["end"]["sum_sent"]["bytes"]
        said["account"] = bench.daemon.stop()
    return said


def killed(directory: Path) -> dict[str, Any]:
    """One TCP connection through the switch, off and on, a reload, and a kill -9 with a new daemon; its events."""
    said: dict[str, Any] = {}
    settings = directory / "lab.toml"
    settings.write_text("[other_config]\n")
    with bench_of(directory, "--config", str(settings)) as bench:
        daemon = bench.daemon
        bench.serve("iperf3", "-s")
        bench.iperf("-n", "10K")
        listen = [BIN, "--socket", daemon.socket, "events", "--json", "-p", "tcp", "--dport", "5201"]
        events = subprocess.Popen(list(map(str, listen)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        daemon.until(lambda: daemon.call("status")["listeners"], "nobody listens to events")
        through = bench.hosts[0].start("iperf3", "--json", "-c", RIGHT, "-t", "8", "-b", "2M")

        def busy(state: str) -> Callable[[], list[dict[str, Any]]]:
            return lambda: daemon.rows(offloaded=state, proto="tcp", dport=5201, state="ESTABLISHED")

        daemon.until(busy("yes"), "it did not go in")
        daemon.call("offload", action="off")
        said["off"] = daemon.until(busy("no"), "it did not come out")[0]["offload"]
        daemon.call("offload", action="on")
        daemon.until(busy("yes"), "it did not go in again")
        settings.write_text("[other_config]\nct-offload-timeout-tcp-established = 4242\n")
        daemon.process.send_signal(signal.SIGHUP)
        timeout = "ct-offload-timeout-tcp-established"
        daemon.until(
            lambda: daemon.call("config", name=timeout)["settings"][timeout]["value"] == 4242, "it was not read again"
        )
        said["reloaded"] = busy("yes")()[0]["offload"]
        said["events"] = until_one_is_in_again(events)
        daemon.kill()
        _, said["events_end"] = events.communicate(timeout=20)
        with running(directory, *PORTS) as again:
            for host in bench.hosts:
                host.plug()
            said["picked_up"] = again.until(
                lambda: again.rows(proto="tcp", dport=5201, state="ESTABLISHED"), "the connection did not go on"
            )
            output, _ = through.communicate(timeout=60)
            said["through"] = json.loads(output)["end"]["sum_received"]["bytes"]
            said["after"] = bench.iperf("-n", "100K")["end"]["sum_sent"]["bytes"]
            said["account"] = again.stop()
    return said


def until_one_is_in_again(events: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What `ctoffload events` says of the first connection that came out of the NIC and went in again, until then."""
    said: list[dict[str, Any]] = []
    came_out: set[str] = set()
    assert events.stdout is not None
    for line in events.stdout:
        said.append(json.loads(line))
        if said[-1]["event"] == "returned":
            came_out.add(said[-1]["id"])
        elif said[-1]["event"] == "offloaded" and said[-1]["id"] in came_out:
            return [event for event in said if event["id"] == said[-1]["id"]]
    raise AssertionError(said)


STORIES: dict[str, Story] = {"traffic": traffic, "policy": policy, "killed": killed}


def main() -> None:
    report = Path(sys.argv[1])
    report.write_text(json.dumps(STORIES[sys.argv[2]](report.parent)))


if __name__ == "__main__":
    main()
