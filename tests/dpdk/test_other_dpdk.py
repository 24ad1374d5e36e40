"""`make test-dpdk`: what it says of prefixes and sources that cannot be used, and what it sets where they can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))

from build_support import dpdk, other_dpdk
from build_support.other_dpdk import Unusable

DESCRIPTION = "Name: DPDK\nDescription: made by a test\nVersion: {}\n"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPDK_PREFIX", raising=False)
    monkeypatch.delenv("DPDK_PREFIX_SOURCE", raising=False)


def make_prefix(prefix: Path, version: str, libraries: str = "lib/x86_64-linux-gnu", shared: bool = True) -> Path:
    described = prefix / libraries / "pkgconfig" / "libdpdk.pc"
    described.parent.mkdir(parents=True)
    described.write_text(DESCRIPTION.format(version))
    if shared:
        (prefix / libraries / "librte_eal.so").touch()
    return prefix


def test_where_none_is_named_it_says_how_and_is_content(capsys: pytest.CaptureFixture[str]) -> None:
    assert other_dpdk.main([]) == 0
    assert "DPDK_PREFIX=dir:dir names where some are installed" in capsys.readouterr().out


@pytest.mark.parametrize("libraries", ["lib", "lib64", "lib/x86_64-linux-gnu"])
def test_a_prefix_is_found_wherever_its_libraries_are(tmp_path: Path, libraries: str) -> None:
    found = other_dpdk.find(make_prefix(tmp_path, "24.11.1", libraries))
    assert (found.version, found.libraries) == ("24.11.1", tmp_path / libraries)
    environment = found.environment()
    for variable in ("LD_LIBRARY_PATH", "PATH", "PKG_CONFIG_PATH"):
        assert environment[variable].startswith(str(tmp_path)), variable
    assert environment["PYTHONPATH"].endswith("build/dpdk-24.11.1/lib")


def test_a_prefix_without_dpdk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"holds no DPDK \(no libdpdk\.pc\); name what meson was given as --prefix"):
        other_dpdk.find(tmp_path)


def test_a_prefix_without_shared_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"no shared libraries .*; name a whole installation"):
        other_dpdk.find(make_prefix(tmp_path, "24.11.1", shared=False))


def test_a_release_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(dpdk.Missing, match=r"21\.11\.0 is older than 22\.11"):
        other_dpdk.find(make_prefix(tmp_path, "21.11.0"))


def test_all_prefixes_are_looked_at_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = make_prefix(tmp_path / "good", "24.11.1")
    command = [sys.executable, "-P", "-m", "build_support.other_dpdk"]
    environment = {**os.environ, "DPDK_PREFIX": f"{good}:{tmp_path / 'bad'}", "PYTHONPATH": str(other_dpdk.ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"other DPDK: DPDK_PREFIX: {tmp_path / 'bad'} holds no DPDK (no libdpdk.pc); "
        "name what meson was given as --prefix\n"
    )


def test_the_source_is_that_of_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("24.11.1", "25.11.2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "VERSION").write_text(f"{version}\n")
    monkeypatch.setenv("DPDK_PREFIX_SOURCE", f"{tmp_path}/24.11.1:{tmp_path}/25.11.2")
    assert other_dpdk.source_of("25.11.2") == tmp_path / "25.11.2"
    assert other_dpdk.source_of("24.11.1") == tmp_path / "24.11.1"
    assert other_dpdk.source_of("25.11.1") is None
    monkeypatch.setenv("DPDK_PREFIX_SOURCE", str(tmp_path))
    with pytest.raises(Unusable, match="holds no DPDK source"):
        other_dpdk.source_of("25.11.2")
