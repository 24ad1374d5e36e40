"""Every kind of peer carries real packets: DPDK ports at rate, interfaces here and by ssh, a generator of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from search_path import python_path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from suite import ROOT, passed, run  # noqa: E402 - needs the path above

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Beside the wires that lead to the peers, in real time.
EMULATED = ["--dut", "vdev:net_nicsim0,switch=7,wire=ring:a", "--dut", "vdev:net_nicsim1,switch=7,wire=ring:b"]
DPDK = ["--peer", "dpdk:net_nicsim2,wire=ring:a", "--peer", "dpdk:net_nicsim3,wire=ring:b"]
KERNEL = ["--dut", "vdev:net_af_packet0,iface=v0", "--dut", "vdev:net_af_packet1,iface=v1"]
INTERFACES = """for i in 0 1; do
  ip link add v$i type veth peer name w$i && ip link set v$i up && ip link set w$i up || exit 1
done"""
# A shell in the place of ssh: what it would do at the far end.
SHELL = '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n'


def test_a_second_dpdk_port_sends_at_rate_and_receives() -> None:
    done = run(*EMULATED, *DPDK, "-k", "hits or at_rate or unchanged or last_used")
    assert passed(done) >= 7
    assert "skipped" not in done.stdout.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="interfaces and packet sockets need root")
@pytest.mark.parametrize("peer", ["interface:w{}", "ssh:far-end:w{}", "python:wire:Wire:w{}"])
def test_frames_go_through_the_kernels_interfaces(peer: str, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text(SHELL)
    (tmp_path / "ssh").chmod(0o755)
    peers = [word for i in range(2) for word in ("--peer", peer.format(i))]
    suite = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "hw-tests", *KERNEL, *peers]
    script = f'{INTERFACES}\nexec "$@"'
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": python_path(Path(__file__).resolve().parent),
    }
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *suite, "-k", "unchanged or lives_and"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=300,
    )  # fmt: skip
    assert passed(done) == 4
    assert "1 skipped" in done.stdout, "the life of TCP was tracked, in software"
