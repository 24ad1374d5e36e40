"""Real ovsdb-servers with Open vSwitch's schema, one or a cluster, and ovs-vsctl."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from build_support.ovs_tools import SCHEMA, VSCTL, tools  # noqa: E402

PATIENCE_S = 30


def place() -> Path:
    """Where the schema and ovs-vsctl are; skips the test where they were not fetched."""
    found = tools(ROOT)
    if found is None:
        pytest.skip("Open vSwitch's schema and ovs-vsctl were not fetched here (python -m build_support.ovs_tools)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*command: str | Path) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


@dataclass
class Server:
    """One ovsdb-server process over a database file; `stop` and `start` it at will."""

    directory: Path
    database: Path
    remotes: list[str]
    options: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def unix(self) -> str:
        return f"unix:{self.directory / 'db.sock'}"

    def start(self) -> Server:
        listen = [f"--remote=p{self.unix}", *(f"--remote={r}" for r in self.remotes)]
        log = self.directory / "ovsdb.log"
        self.process = subprocess.Popen(
            [
                "ovsdb-server",
                "--no-chdir",
                f"--unixctl={self.directory / 'ctl'}",
                f"--log-file={log}",
                *self.options,
                *listen,
                str(self.database),
            ],
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
        )
        until(lambda: (self.directory / "db.sock").exists() and self.appctl("version"), "ovsdb-server did not start")
        return self

    def appctl(self, *words: str) -> str:
        command = ["ovs-appctl", "-t", str(self.directory / "ctl"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            (self.directory / "db.sock").unlink(missing_ok=True)

    def vsctl(self, *words: str, wait: bool = False) -> str:
        """ovs-vsctl; without `wait` it does not wait for cur_cfg to follow."""
        return run(place() / VSCTL, f"--db={self.unix}", "--timeout=20", *([] if wait else ["--no-wait"]), *words)

    def set(self, **values: str) -> None:
        self.vsctl("set", "Open_vSwitch", ".", *(f"other_config:{k.replace('_', '-')}={v}" for k, v in values.items()))


def until(condition: Callable[[], Any], complaint: str, between: Callable[[], Any] | None = None) -> None:
    """Waits for what other processes do; `between` is called meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, complaint
        if between is not None:
            between()
        else:
            time.sleep(0.01)


def single(directory: Path, *remotes: str, options: list[str] | None = None) -> Server:
    """A server of a database of its own, with its row made."""
    database = directory / "conf.db"
    run("ovsdb-tool", "create", database, place() / SCHEMA)
    server = Server(directory, database, list(remotes), options or []).start()
    server.vsctl("init")
    return server


def cluster(directory: Path, n: int = 3) -> list[Server]:
    """Servers of one Raft cluster on loopback, each with a client port; the row is made."""
    raft = [f"tcp:127.0.0.1:{free_port()}" for _ in range(n)]
    servers = []
    for i in range(n):
        here = directory / f"s{i}"
        here.mkdir()
        database = here / "conf.db"
        if i == 0:
            run("ovsdb-tool", "create-cluster", database, place() / SCHEMA, raft[0])
        else:
            run("ovsdb-tool", "join-cluster", database, "Open_vSwitch", raft[i], *raft[:i])
        servers.append(Server(here, database, [f"ptcp:{free_port()}:127.0.0.1"]).start())
    for server in servers:
        until(lambda s=server: "cluster member" in s.appctl("cluster/status", "Open_vSwitch"), "no cluster came about")
    servers[0].vsctl("init")
    return servers


def client_remotes(servers: list[Server]) -> str:
    """Where clients of a cluster connect."""
    return ",".join(f"tcp:127.0.0.1:{s.remotes[0].split(':')[1]}" for s in servers)


def leader(servers: list[Server]) -> Server:
    """The server of the cluster that leads, once one does."""
    found: list[Server] = []

    def leads() -> bool:
        found[:] = [s for s in servers if s.process and "Role: leader" in s.appctl("cluster/status", "Open_vSwitch")]
        return bool(found)

    until(leads, "no server leads the cluster")
    return found[0]
