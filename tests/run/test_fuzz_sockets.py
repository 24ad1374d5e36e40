"""All four sockets of a running `ctoffload run` under minutes of requests that are nearly right: it goes on as before.

Requests are made of the right words, then cut, doubled, mixed up and overwritten. CTOFFLOAD_FUZZ_S says for how long at
each socket, CTOFFLOAD_FUZZ_SEED from which dice.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from daemon_lab import EMULATED, Daemon, running

from ctoffload_dpdk.control.client import Client
from ctoffload_dpdk.control.front_ends import UNIXCTL
from ctoffload_dpdk.nicsim import NicsimError, driver_path

SECONDS = float(os.environ.get("CTOFFLOAD_FUZZ_S", "60"))
SEED = int(os.environ.get("CTOFFLOAD_FUZZ_SEED", "1"))
ANSWER_LIMIT_S = 20
MOST_GROWTH_MB = 64
# What a daemon does not do by itself, said once in its log for each request that found a bug.
BUGS = ("Traceback", "a bug in ctoffload", "failed\n")

VALUES: list[Any] = [
    *(
        "",
        "tcp",
        "udp",
        "10.0.0.1",
        "10.0.0.0/8",
        "fc00::/7",
        "0x10/0xf0",
        "ESTABLISHED",
        "yes",
        "no",
        "closing",
        "list",
    ),
    *(
        "net_nicsim0",
        "net_nicsim1",
        "dpdk",
        "on",
        "off",
        "hw-offload",
        "true",
        "ct-offload-rate",
        "pmd-cpu-mask",
        "0x1",
    ),
    *(0, 1, -1, 5, 80, 65535, 65536, 2**31, 2**63, 2**64, 1e308, 0.5, True, False, None, [], {}, ["x"], {"a": [1]}),
    *("x" * 5000, "\u0000", "\ud800", "\u2028", "%s%n", "../../etc", "-m", "--more", "zone=5", "zone=", "mark=1/2"),
    *("ct_nw_src=10.0.0.1,ct_nw_proto=6", "ct_tp_dst=80", "limit=3", "zone=1,limit=2", "default=5", "netdev@ctoffload"),
]
DPCTL = [
    *("dump-conntrack", "dump-conntrack-exp", "ct-stats-show", "ct-bkts", "ct-get-nconns", "flush-conntrack"),
    *("ct-set-maxconns", "ct-get-maxconns", "ct-set-limits", "ct-get-limits", "ct-del-limits", "ipf-get-status"),
    *("ct-enable-tcp-seq-chk", "ct-disable-tcp-seq-chk", "ct-get-tcp-seq-chk", "ipf-set-enabled", "ipf-set-disabled"),
    *("ipf-set-min-frag", "ipf-set-max-nfrags", "offload-stats-show", "ct-get-sweep-interval", "dump-dps"),
]
TELEMETRY = ["/ctoffload/status", "/ctoffload/stats", "/ctoffload/providers", "/ctoffload/conntrack", "/ctoffload/"]
HTTP = [
    *(
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"/metrics",
        b"/",
        b"?a=b",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r\n\r\n",
        b"\xff",
    ),
    *(
        b"Accept: ",
        b"application/openmetrics-text; version=1.0.0",
        b"*/*;q=",
        b"Host: x",
        b"Content-Length: 99",
        b"\x00",
    ),
]


class Fuzzer:
    """Requests for a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.dice = random.Random(SEED)
        self.table = daemon.call("commands")["commands"]

    def damaged(self, data: bytes) -> bytes:
        """The same, with a few accidents; often none."""
        for _ in range(self.dice.choice([0, 0, 1, 1, 2, 5])):
            at, size = self.dice.randrange(len(data) + 1), self.dice.randrange(1, 20)
            junk = self.dice.choice([self.dice.randbytes(size), b"\n", b"{", b"}", b"[", b'"', b"\\", b"9" * size, b""])
            cut = self.dice.choice([0, 0, 1, size])
            data = data[:at] + junk + data[at + cut :]
            if self.dice.random() < 0.1:
                data += data[at : at + 500]
        return data

    def control(self) -> bytes:
        command = self.dice.choice(self.table)
        names = [one["name"] for one in command["parameters"]] or ["x"]
        given = {self.dice.choice(names): self.dice.choice(VALUES) for _ in range(self.dice.randrange(4))}
        request = {"id": self.dice.choice(VALUES), "command": command["name"], "parameters": given}
        return self.damaged(json.dumps(request).encode()) + b"\n"

    def unixctl(self) -> bytes:
        method = self.dice.choice([*(f"dpctl/{name}" for name in DPCTL), "list-commands", "version", "set-options"])
        words = [self.dice.choice(VALUES) for _ in range(self.dice.randrange(5))]
        if self.dice.random() < 0.7:
            words = [word for word in words if isinstance(word, str)]
        return self.damaged(json.dumps({"id": self.dice.choice(VALUES), "method": method, "params": words}).encode())

    def metrics(self) -> bytes:
        right = b"GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n"
        return self.damaged(right if self.dice.random() < 0.5 else b"".join(self.dice.choices(HTTP, k=8)))

    def telemetry(self) -> bytes:
        path = self.dice.choice(TELEMETRY)
        word = self.dice.choice([str(value) for value in VALUES] + [str(self.dice.randint(-5, 2**70))])
        tail = self.damaged(word.encode("utf-8", "replace"))[:400]
        return (path.encode() + b"," + tail).replace(b"\0", b"x")[:900]

    def run(
        self, seconds: float, made: Callable[[], bytes], exchange: Callable[[list[bytes]], None], at_once: int
    ) -> int:
        """How many requests were sent in this time, some of them on one connection."""
        n, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            requests = [made() for _ in range(self.dice.randrange(1, at_once + 1))]
            exchange(requests)
            n += len(requests)
            assert self.daemon.process.poll() is None, (requests, self.daemon.log[-3000:])
        return n


def streamed(address: Any, requests: list[bytes]) -> None:
    """Sends all, half closes, and takes what comes until the other side closes."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as client:
        client.settimeout(ANSWER_LIMIT_S)
        client.connect(address)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for request in requests:
                client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 20):
                pass


def in_packets(address: str, requests: list[bytes]) -> None:
    """As DPDK's telemetry wants it: a packet a request, a packet an answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(ANSWER_LIMIT_S)
        client.connect(address)
        client.recv(16384)
        for request in requests:
            client.send(request)
            assert client.recv(65536)


def resident_mb(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 / 1e6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 8 + 120)
def test_minutes_of_requests_that_are_nearly_right_leave_it_as_it_was(tmp_path, capsys):
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    port = free_port()
    with running(tmp_path, *EMULATED, "--ct-offload-metrics-port", str(port)) as daemon:
        fuzzer, pid = Fuzzer(daemon), daemon.process.pid
        appctl = daemon.socket.with_name(UNIXCTL)
        telemetry = next(Path("/var/run/dpdk").glob(f"ct-test-{os.getpid()}/dpdk_telemetry.v2"))
        ways: dict[str, Callable[[float], int]] = {
            "control": lambda s: fuzzer.run(s, fuzzer.control, partial(streamed, str(daemon.socket)), 8),
            "unixctl": lambda s: fuzzer.run(s, fuzzer.unixctl, partial(streamed, str(appctl)), 8),
            "metrics": lambda s: fuzzer.run(s, fuzzer.metrics, partial(streamed, ("127.0.0.1", port)), 1),
            "telemetry": lambda s: fuzzer.run(s, fuzzer.telemetry, partial(in_packets, str(telemetry)), 8),
        }
        for way in ways.values():  # what is loaded late is loaded then
            way(1.0)
        began_mb, files = resident_mb(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))
        done = {name: way(SECONDS) for name, way in ways.items()}
        grown_mb = resident_mb(pid) - began_mb
        with Client(daemon.socket) as client:
            assert client.call("count")["connections"] == 0
        assert not [word for word in BUGS if word in daemon.log], daemon.log[-3000:]
        assert grown_mb < MOST_GROWTH_MB
        assert abs(len(list(Path(f"/proc/{pid}/fd").iterdir())) - files) < 8
        assert daemon.stop()["closed"]
    with capsys.disabled():
        print(f"\nfuzzed {SECONDS:.0f} s each, seed {SEED}: {done}, {grown_mb:.1f} MB more")
    assert min(done.values()) > SECONDS
