"""The driver finds the device, starts its port and stops it again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from search_path import library_path
from testpmd import Testpmd

from build_support import dpdk, dpdk_source
from build_support import standin as build
from standin.mlx5 import Standin, Steering, Worker
from standin.mlx5.process import ROOT

BOTH = pytest.mark.parametrize("steering", list(Steering))
SWITCH = {"n_ports": 3, "options": "representor=vf[0-1]"}


@BOTH
def test_the_driver_probes_and_starts_in_testpmd(testpmd: Callable[..., Testpmd], steering: Steering) -> None:
    pmd = testpmd(steering)
    assert "mlx5_pci" in pmd.run("show port summary all")
    assert "Fail" not in pmd.run("port stop 0")
    assert "Fail" not in pmd.run("port start 0")
    assert "Link status: up" in pmd.run("show port info 0")


@BOTH
def test_it_is_ready_within_two_seconds(standin_available: None, steering: Steering) -> None:
    took_s = []
    for _ in range(3):  # the machine may be busy with other things
        before = time.monotonic()
        process = Testpmd(Standin(steering))
        process.wait_until_ready()
        took_s.append(time.monotonic() - before)
        process.close()
    assert min(took_s) < 2


@BOTH
def test_the_binding_starts_one_port(bench: Callable[..., Worker], steering: Steering) -> None:
    worker = bench(steering)
    assert worker.call("port_drivers") == ["mlx5_pci"]


@BOTH
def test_an_e_switch_has_an_uplink_and_representors(bench: Callable[..., Worker], steering: Steering) -> None:
    worker = bench(steering, **SWITCH)
    assert worker.call("port_drivers") == ["mlx5_pci"] * 3


@BOTH
def test_what_the_driver_made_is_gone_when_its_ports_are(bench: Callable[..., Worker], steering: Steering) -> None:
    worker = bench(steering)
    worker.call("create", "in/2/v4-tcp/count+ct+jump")
    assert worker.control.rules()
    worker.call("take_down")
    assert not worker.control.rules()
    assert not worker.control.contexts()
    left = {kind: n for kind, n in worker.control.n_objects().items() if n}
    assert not left, f"firmware objects left behind (opcode, type): {left}"


def test_it_refuses_to_be_loaded_by_accident(standin_available: None) -> None:
    with Standin(Steering.SOFTWARE) as nic:
        environment = {**os.environ, "LD_PRELOAD": str(nic.library)}
        environment.pop("CTOFFLOAD_MLX5_STANDIN", None)
        done = subprocess.run(["true"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "CTOFFLOAD_MLX5_STANDIN=1" in done.stderr


def compile_c(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["gcc", *words], capture_output=True, text=True, check=False)


def test_it_does_not_compile_against_the_headers_of_another_dpdk(standin_available: None, tmp_path: Path) -> None:
    version = dpdk.version()
    (tmp_path / "dpdk_version.h").write_text(build.version_header(f"{version.rpartition('.')[0]}.99"))
    tree = dpdk_source.source_tree(ROOT, version)
    assert tree is not None
    place = build.Place(ROOT, version)
    done = compile_c("-fsyntax-only", f"-I{tmp_path}", *build.flags(place, tree), str(place.sources[0]))
    assert "the mlx5 headers are of another DPDK than the installed one" in done.stderr


def test_without_the_private_headers_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPDK_SOURCE", raising=False)
    with pytest.raises(dpdk.Missing, match="private headers of DPDK"):
        build.build(tmp_path)


def test_it_does_not_run_with_another_dpdk(standin_available: None, tmp_path: Path) -> None:
    other = tmp_path / dpdk.library("librte_eal")
    version = f"DPDK {dpdk.version().rpartition('.')[0]}.99"
    (tmp_path / "eal.c").write_text(f'const char *rte_version(void) {{ return "{version}"; }}\n')
    assert compile_c("-shared", "-fPIC", "-o", str(other), str(tmp_path / "eal.c")).returncode == 0
    with Standin(Steering.SOFTWARE) as nic:
        load = f"import ctypes; ctypes.CDLL({str(other)!r}); ctypes.CDLL({str(nic.library)!r})"
        environment = {**os.environ, "CTOFFLOAD_MLX5_STANDIN": "1", "LD_LIBRARY_PATH": library_path(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", load], env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode != 0
    assert f"but this process runs {version}" in done.stderr


def test_a_connectx_5_has_no_conntrack(bench: Callable[..., Worker]) -> None:
    worker = bench(Steering.SOFTWARE, profile="connectx-5")
    said = worker.call("try_context")
    assert "CT is not supported" in said["message"]
