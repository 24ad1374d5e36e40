"""Which devices a driver serves: from what Debian ships, from a static program, from what is no driver at all."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk import pmdinfo

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from build_support import dpdk

LIBRARIES = Path(dpdk.pkg_config("--variable=libdir")[0])
MLX5 = LIBRARIES / "librte_net_mlx5.so"
MLX5_ARCHIVE = LIBRARIES / "librte_net_mlx5.a"
TESTPMD = shutil.which("dpdk-testpmd")


@pytest.mark.parametrize("path", [MLX5, MLX5_ARCHIVE], ids=["shared", "archive"])
def test_mlx5_serves_as_many_devices_as_its_release_knows(path):
    [info] = pmdinfo.read(path)
    assert info.name == "mlx5_eth" and info.file == path
    n = len(info.pci_ids)
    assert n == 18 if dpdk.version().startswith("22.11.") else n >= 18
    assert {"15b3:101d", "15b3:1021", "15b3:a2dc"} <= {str(device) for device in info.pci_ids}
    assert all(device.subsystem_vendor is None and device.subsystem_device is None for device in info.pci_ids)
    assert "mlx5_core" in info.kernel_modules


def test_a_virtual_driver_has_parameters_and_no_devices():
    [info] = pmdinfo.read(LIBRARIES / "librte_net_null.so")
    assert (info.name, info.pci_ids) == ("net_null", ())
    assert "size=<int>" in info.parameters


def test_a_library_without_drivers_is_an_empty_list():
    assert pmdinfo.read(LIBRARIES / "librte_eal.so") == []


@pytest.fixture
def program(tmp_path):
    """A static, stripped program with mlx5's record in it."""
    subprocess.run(["ar", "x", str(MLX5_ARCHIVE)], check=True, cwd=tmp_path)
    [record] = tmp_path.glob("*pmd.c.o")
    (tmp_path / "main.c").write_text("int main(void) { return 0; }")
    command = ["gcc", "-static", "-s", "-o", "program", "main.c", "-Wl,--no-gc-sections", record.name]
    subprocess.run(command, check=True, cwd=tmp_path)
    return tmp_path / "program"


def test_a_static_stripped_program_tells_its_drivers(program):
    assert [info.name for info in pmdinfo.read(program)] == ["mlx5_eth"]
    assert pmdinfo.plugin_directory(program) is None


@pytest.mark.parametrize("path", [LIBRARIES / "librte_eal.so", TESTPMD], ids=["library", "program"])
def test_the_plugin_directory_is_followed(path):
    if path is None:
        pytest.skip("dpdk-testpmd is not installed (Debian: dpdk-dev)")
    directory = pmdinfo.plugin_directory(path)
    assert directory is not None
    names = [info.name for info in pmdinfo.read_directory(directory)]
    assert {"mlx5_eth", "net_null", "net_ring"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither an ELF file nor an archive"),
        (b"#!/bin/sh\n", "neither an ELF file nor an archive"),
        (b"\x7fELF", "damaged"),
        (b"\x7fELF" + bytes(100), "damaged"),
        (b"!<arch>\n" + b"x" * 60, "archive that is damaged"),
        (b"!<arch>\n" + b"x" * 10, "archive that is damaged"),
        (b"!<arch>\n" + b"x" * 48 + b"99999     `\n", "archive that is damaged"),
    ],
)
def test_what_is_no_driver_is_said(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        pmdinfo.read(tmp_path / "file")
    assert str(tmp_path / "file") in caught.value.message
    assert "librte_net_" in caught.value.hint


def test_what_cannot_be_read_is_said(tmp_path):
    for call in (pmdinfo.read, pmdinfo.plugin_directory):
        with pytest.raises(UsageError, match="No such file"):
            call(tmp_path / "missing")
        with pytest.raises(UsageError, match="Is a directory"):
            call(tmp_path)
    with pytest.raises(UsageError, match="no directory"):
        pmdinfo.read_directory(tmp_path / "missing")


def test_a_damaged_record_is_said(tmp_path):
    damaged = MLX5.read_bytes().replace(b'PMD_INFO_STRING= {"', b"PMD_INFO_STRING= {x")
    (tmp_path / "file").write_bytes(damaged)
    with pytest.raises(UsageError, match="driver record that is damaged"):
        pmdinfo.read(tmp_path / "file")


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_driver_that_was_cut_is_read_or_refused_but_never_crashes(tmp_path_factory, seed):
    content = MLX5.read_bytes()
    made = random.Random(seed)
    cut = bytearray(content[: made.randrange(len(content))] if seed % 2 else content)
    for _ in range(made.randrange(5)):
        if cut:
            cut[made.randrange(min(len(cut), 4096) if seed % 3 else len(cut))] = made.randrange(256)
    path = tmp_path_factory.mktemp("cut") / "file"
    path.write_bytes(bytes(cut))
    try:
        assert isinstance(pmdinfo.read(path), list)
    except UsageError as error:
        assert str(path) in error.message
