"""`ctoffload run` with all its front ends: each there when it is ready, each gone when it has ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ctoffload_dpdk.nicsim import NicsimError, driver_path

PROGRAM = Path(sys.executable).parent / "ctoffload"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def daemon(tmp_path):
    """(process, its directory, file prefix, port of the metrics); ready."""
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    port, prefix = free_port(), f"front{os.getpid()}"
    words = [PROGRAM, "--socket", tmp_path / "control.sock", "run", "--no-hugepages", "--file-prefix", prefix]
    words += ["--vdev", "net_nicsim0,switch=1", "--vdev", "net_nicsim1,switch=1", f"--ct-offload-metrics-port={port}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while "INFO ready" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    yield process, tmp_path, prefix, port
    process.kill()
    process.communicate()


def test_every_front_end_answers_from_the_moment_it_is_ready(daemon):
    process, directory, prefix, port = daemon
    control = directory / "ctoffload.ctl"
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    if shutil.which("ovs-appctl"):
        asked = ["ovs-appctl", "-t", control, "dpctl/ct-set-maxconns", "77"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        assert done.stdout == "setting maxconns successful"
        shown = subprocess.run([*asked[:3], "dpctl/ct-get-maxconns"], capture_output=True, text=True, check=True)
        assert shown.stdout == "77\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"\nctoffload_connections 0.0\n" in answer.read()
    if shutil.which("dpdk-telemetry.py"):
        typed = {"input": "/ctoffload/status\n", "capture_output": True, "text": True}
        done = subprocess.run(["dpdk-telemetry.py", "-f", prefix], check=True, **typed)
        assert json.loads(done.stdout.splitlines()[-1])["/ctoffload/status"]["pid"] == process.pid
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "The account is closed" in out
    assert not control.exists()


def test_a_front_end_that_cannot_start_is_said_and_the_daemon_runs(daemon, tmp_path):
    _, directory, prefix, port = daemon
    words = [PROGRAM, "--socket", directory / "second.sock", "run", "--no-hugepages", "--file-prefix", f"{prefix}b"]
    words += ["--vdev", "net_nicsim0,switch=1", "--vdev", "net_nicsim1,switch=1", f"--ct-offload-metrics-port={port}"]
    second = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while "INFO ready" not in said:
        line = second.stderr.readline()
        assert line, said
        said += line
    second.terminate()
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert "cannot make the socket" in said
    assert f"metrics cannot be served at port {port}" in said
    assert (directory / "ctoffload.ctl").exists()
