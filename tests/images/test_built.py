"""The images, built without a registry and run: each does what its Dockerfile says, without rights it does not name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from doc_pages import copy_tree
from images_lab import ROOT, build, podman, run, skip_where_not_possible

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    skip_where_not_possible()


@pytest.fixture(scope="module")
def runtime() -> str:
    return build("runtime")


@pytest.fixture(scope="module")
def development() -> str:
    return build("development")


NOTHING = ["--network=none", "--cap-drop=all", "--read-only", "--tmpfs=/tmp", "--tmpfs=/run"]


def test_the_run_time_image_is_slim_and_unprivileged(runtime):
    assert run(*NOTHING, "--entrypoint=id", runtime, "-un").strip() == "ctoffload"
    assert podman("run", "--rm", "--entrypoint=gcc", runtime, "--version").returncode != 0
    size = int(podman("image", "inspect", "--format={{.Size}}", runtime).stdout)
    assert size < 600_000_000


def test_its_root_directory_is_open_to_others_than_root(runtime, tmp_path):
    """Where podman stores overlays it is open anyhow; elsewhere it is as the base has it."""
    saved = tmp_path / "image.tar"
    assert podman("save", f"--output={saved}", runtime).returncode == 0
    with tarfile.open(saved) as image:
        (about,) = json.load(image.extractfile("manifest.json"))
        with tarfile.open(fileobj=image.extractfile(about["Layers"][0])) as base:
            root = base.next()
    assert (root.name, root.mode & 0o755) == (".", 0o755)


def test_without_dpdk_the_program_says_what_to_install(runtime):
    """The libraries hidden under an empty directory of their own."""
    script = "for file in /usr/lib/*/librte_eal.so.*; do mount --bind /dev/null $file; done; ctoffload demo"
    rights = ["--user=root", "--cap-add=SYS_ADMIN", "--network=none"]
    done = podman("run", "--rm", *rights, "--entrypoint=sh", runtime, "-c", script)
    assert done.returncode == 1
    assert "DPDK cannot be loaded" in done.stderr
    assert "apt-get install libdpdk-dev" in done.stderr


def test_one_builds_and_tests_in_the_development_image_without_network_or_rights(development, tmp_path):
    copy_tree(tmp_path)
    subprocess.run(["chown", "-R", "1000:1000", str(tmp_path)], check=True)
    inside = ["--network=none", "--cap-drop=all", f"--volume={tmp_path}:/workspace"]
    said = run(*inside, development, "make", "demo", timeout=2400)
    assert "The account is closed" in said
    some = "PYTEST_ADDOPTS=tests/base tests/settings tests/offload tests/nicsim tests/standin"
    said = run(*inside, f"--env={some}", development, "make", "test", timeout=1200)
    assert " passed" in said
    assert "test: the tests of the mlx5 driver will skip" not in said


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
