"""`ctoffload run` by a user without any rights: as one has it on a lab host, not as root in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_lab import BIN, Daemon, running

from ctoffload_dpdk.nicsim import NicsimError, driver_path

USER, ANOTHER = 65534, 65533


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that belongs to the user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed: apt-get install util-linux")
    if not Path(__file__).resolve().parents[2].parent.stat().st_mode & 0o001:
        pytest.skip("other users may not look into the directory that this checkout lies in")
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory() as made:
        os.chown(made, USER, USER)
        yield Path(made)


def as_user(number: int) -> tuple[str, ...]:
    """What makes a command that user's, without any capability."""
    ids = (f"--reuid={number}", f"--regid={number}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    return ("setpriv", *ids, "--inh-caps=-all")


def asked(daemon: Daemon, user: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*as_user(user), str(BIN), "--socket", str(daemon.socket), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_user_without_rights_runs_it_on_ports_that_need_none_and_alone_may_ask(directory: Path) -> None:
    home = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    with running(directory, before=as_user(USER), environment=home) as daemon:
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}" in status
        assert "CapEff:\t0000000000000000" in status
        assert daemon.socket.stat().st_uid == USER
        for words in (["status"], ["count"], ["rules"], ["offload", "off"], ["offload", "on"], ["flush"]):
            done = asked(daemon, USER, *words)
            assert (done.returncode, done.stderr) == (0, ""), words
        assert "no hugepages" in asked(daemon, USER, "status").stdout
        # another one may not even enter the directory; where he may, the socket is closed to him
        directory.chmod(0o755)
        refused = asked(daemon, ANOTHER, "count")
        assert refused.returncode == 1
        assert "Permission denied" in refused.stderr
        assert "only the user who runs the daemon may speak with it" in refused.stderr
        assert daemon.stop()["closed"]


def test_what_needs_rights_is_refused_in_words(directory: Path) -> None:
    command = [*as_user(USER), str(BIN), "run", "--no-hugepages", "--socket", str(directory / "s"), "--memory", "128"]
    home = os.environ | {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    done = subprocess.run([*command, "--vdev", "net_tap0", "--vdev", "net_tap1"], env=home, capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "net_tap0" in done.stderr
