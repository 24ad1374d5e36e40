"""Machines of a lab that ssh reaches, by a real sshd: a peer that sends packets, a host that has the device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import sshd  # noqa: E402 - needs the path above
from suite import ROOT, passed, words  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KERNEL = ["--dut", "vdev:net_af_packet0,iface=v0", "--dut", "vdev:net_af_packet1,iface=v1"]
INTERFACES = """for i in 0 1; do
  ip link add v$i type veth peer name w$i && ip link set v$i up && ip link set w$i up || exit 1
done
exec "$@\""""
REFUSED, NO_PASSWORD = "Permission denied (publickey)", "without a password"
AT_THE_HOST = ["--host", "root@known", "--directory", str(ROOT)]


@pytest.fixture(autouse=True)
def possible() -> None:
    why = sshd.why_not()
    if why:
        pytest.skip(why)


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The suite where sshd serves, beside two pairs of interfaces."""
    suite = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "hw-tests", *arguments]
    command = sshd.alone(directory, ["sh", "-c", INTERFACES, "sh", *suite])
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=400)


def test_a_peer_that_ssh_reaches_sends_and_receives(tmp_path: Path) -> None:
    peers = [word for i in range(2) for word in ("--peer", f"ssh:root@known:w{i}")]
    done = run(tmp_path, *KERNEL, *peers, "-k", "unchanged or lives_and")
    assert passed(done) == 4
    assert "1 skipped" in done.stdout, "the life of TCP was tracked, in software"


def test_a_device_of_another_host_is_tested_through_ssh(tmp_path: Path) -> None:
    """The process under test runs there; packets of the emulated NIC's wires go through the same channel."""
    done = run(tmp_path, "--dut", "nicsim:connectx-hws", *AT_THE_HOST, "-k", "test_start or unchanged or killed")
    assert passed(done) >= 8


@pytest.mark.parametrize(
    ("arguments", "first", "said", "second"),
    [
        (["--peer", "ssh:root@stranger:w0"], "the peer w0 of root@stranger cannot be reached", REFUSED, NO_PASSWORD),
        (["--peer", "ssh:root@known:none"], "interface none cannot be opened", "No such device", "`ip link` at that"),
        (["--host", "root@stranger"], "no process under test at root@stranger", REFUSED, NO_PASSWORD),
        (["--host", "root@known", "--directory", "/none"], "no process under test at root@known", "/none", "built"),
    ],
    ids=["peer-without-key", "peer-without-interface", "host-without-key", "host-without-repository"],
)
def test_what_ssh_says_is_told_in_two_lines(
    tmp_path: Path, arguments: list[str], first: str, said: str, second: str
) -> None:
    done = run(tmp_path, "--dut", "vdev:net_null0", *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, words(done)
    lines = [line for line in done.stderr.partition("ERROR: ")[2].splitlines() if line.strip()]
    assert len(lines) == 2, words(done)
    assert first in lines[0]
    assert said in lines[0]
    assert second in lines[1]
