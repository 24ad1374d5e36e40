"""The images, built without a registry and run: each does what its Dockerfile says, without rights it does not name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "images"
PODMAN = ["--root", str(STORE / "store"), "--runroot", str(STORE / "run")]

# Lower than podman's own, which a host with low limits refuses.
LIMITS = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    missing = [tool for tool in ("podman", "runc", "debootstrap") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"images cannot be built here: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("images are built as root here: debootstrap makes their base")


def podman(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = ["podman", *PODMAN, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def run(*words: str, timeout: float = 300) -> str:
    """What it printed in a container of its own."""
    done = podman("run", "--rm", "--pull=never", *LIMITS, *words, timeout=timeout)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def build(image: str, *more: str) -> str:
    command = [sys.executable, "-m", "build_support.images", image, *more]
    environment = {**os.environ, "CTOFFLOAD_PODMAN": " ".join(PODMAN)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


@pytest.fixture(scope="module")
def runtime() -> str:
    return build("runtime")


@pytest.fixture(scope="module")
def development() -> str:
    return build("development")


NOTHING = ["--network=none", "--cap-drop=all", "--read-only", "--tmpfs=/tmp", "--tmpfs=/run"]


def test_the_main_job_runs_without_any_right(runtime):
    said = run(*NOTHING, "--security-opt=no-new-privileges", runtime)
    assert "The account is closed" in said


def test_the_run_time_image_is_slim_and_unprivileged(runtime):
    assert run(*NOTHING, "--entrypoint=id", runtime, "-un").strip() == "ctoffload"
    assert podman("run", "--rm", *LIMITS, "--entrypoint=gcc", runtime, "--version").returncode != 0
    size = int(podman("image", "inspect", "--format={{.Size}}", runtime).stdout)
    assert size < 600_000_000


def test_two_kernels_talk_through_it_in_a_container(runtime):
    rights = ["--cap-drop=all", "--cap-add=NET_ADMIN", "--cap-add=NET_RAW", "--cap-add=SYS_ADMIN"]
    program = "--entrypoint=/opt/ctoffload/two-namespaces.sh"
    said = run("--user=root", "--network=none", *rights, "--device=/dev/net/tun", program, runtime)
    assert "5 received, 0% packet loss" in said
    assert "offloaded=yes" in said
    assert "The account is closed" in said


@pytest.fixture
def compose(runtime) -> Iterator[Callable[..., str]]:
    """Runs podman-compose with these words: what it printed. What it made beside containers is taken away."""
    program = shutil.which("podman-compose")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout if program else ""
    version = re.search(r"podman-compose\s+version\s+(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < (1, 6):
        pytest.skip("podman-compose 1.6 is not here (that of Debian 12 is older): pip install podman-compose")
    limits = f"--podman-run-args={' '.join(LIMITS)} --pull=never"
    command = ["podman-compose", f"--podman-args={' '.join(PODMAN)}", limits]

    def composed(*words: str) -> str:
        whole = [*command, "--file=docker/compose.yaml", *words]
        done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    yield composed
    composed("down")


@pytest.mark.parametrize(
    ("service", "says"), [("demo", "forwarded by the NIC"), ("two-namespaces", "5 received, 0% packet loss")]
)
def test_the_services_run(compose, service, says):
    said = compose("run", "--rm", "-T", service)
    assert says in said
    assert "The account is closed" in said


def test_without_dpdk_the_program_says_what_to_install(runtime):
    """The libraries hidden under an empty directory of their own."""
    script = "for file in /usr/lib/*/librte_eal.so.*; do mount --bind /dev/null $file; done; ctoffload demo"
    rights = ["--user=root", "--cap-add=SYS_ADMIN", "--network=none"]
    done = podman("run", "--rm", *LIMITS, *rights, "--entrypoint=sh", runtime, "-c", script)
    assert done.returncode == 1
    assert "DPDK cannot be loaded" in done.stderr
    assert "apt-get install libdpdk-dev" in done.stderr


def test_one_builds_and_runs_in_the_development_image_without_network(development, tmp_path):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    subprocess.run(["chown", "-R", "1000:1000", str(tmp_path)], check=True)
    volume = f"--volume={tmp_path}:/workspace"
    said = run("--network=none", "--cap-drop=all", volume, development, "make", "demo", timeout=2400)
    assert "The account is closed" in said
    said = run("--network=none", "--cap-drop=all", volume, development, ".venv/bin/pytest", "-q", "tests/offload")
    assert " passed" in said


def archive() -> Path | None:
    """The one that CTOFFLOAD_DPDK_ARCHIVE names, else that of the installed DPDK, if its source was fetched."""
    named = os.environ.get("CTOFFLOAD_DPDK_ARCHIVE")
    fetched = sorted((ROOT / "build" / "apt" / "download").glob("dpdk_*.orig.tar.*"))
    return Path(named) if named else next(iter(fetched), None)


def test_a_chosen_dpdk_is_built_with_mlx5_and_the_main_job_runs_on_it():
    source = archive()
    if source is None:
        pytest.skip("no source archive of DPDK is here (CTOFFLOAD_DPDK_ARCHIVE=file, or make fetches that of Debian)")
    placed = ROOT / "docker" / f"archive-for-tests{''.join(source.suffixes[-2:])}"
    shutil.copyfile(source, placed)
    try:
        image = build("dpdk", "--archive", str(placed.relative_to(ROOT)))
    finally:
        placed.unlink()
    assert "The account is closed" in run(*NOTHING, image)
    assert "mlx5" in run("--network=none", "--entrypoint=sh", image, "-c", "ls /usr/local/lib/dpdk/*/")
