"""How the driver's private headers are had: apt's own sources as deb-src, or a given source of the right version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from build_support import dpdk, dpdk_source  # noqa: E402
from build_support.dpdk_source import HEADERS, Layout, Unavailable  # noqa: E402

STANZAS = """\
Types: deb deb-src
# a mirror of a given day
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main contrib non-free
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.invalid/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://docker.invalid/linux
Suites: bookworm
Components: stable

Types: deb
URIs: http://flat.invalid/
Suites: ./

Types: deb
URIs: http://mirror.invalid/security
Suites: bookworm-security
Components: main
"""

LINES = """\
# deb http://off.invalid/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian.gpg] http://mirror.invalid/debian bookworm main non-free # here
deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.invalid/debian bookworm main
deb http://mirror.invalid/security bookworm-security/updates main
deb https://node.invalid/node nodistro main
deb cdrom:[Debian 12]/ bookworm contrib
"""


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    (tmp_path / "debian.sources").write_text(STANZAS)
    (tmp_path / "sources.list").write_text(LINES)
    (tmp_path / "old.sources.bak").write_text(STANZAS)
    return [
        tmp_path / "sources.list",
        tmp_path / "debian.sources",
        tmp_path / "old.sources.bak",
        tmp_path / "gone.list",
    ]


def test_both_formats_become_source_entries_of_debians_own_repositories_only(lists: list[Path]) -> None:
    stanzas, lines = dpdk_source.source_entries(lists, "bookworm")
    assert len(stanzas) == 2
    assert "types: deb-src\nuris: http://mirror.invalid/debian\nsuites: bookworm bookworm-updates\n" in stanzas[0]
    assert "components: main\n" in stanzas[0]
    assert "\n abc\n" in stanzas[0]
    assert "architectures" not in stanzas[0]
    assert "suites: bookworm-security\n" in stanzas[1]
    assert lines == [
        "deb-src [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.invalid/debian bookworm main",
        "deb-src http://mirror.invalid/security bookworm-security/updates main",
    ]


@pytest.mark.parametrize("which", [0, 1], ids=["list", "sources"])
def test_apt_itself_reads_the_private_list_and_finds_sources_alone(
    tmp_path: Path, lists: list[Path], monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    monkeypatch.setattr(dpdk_source, "apt_list_files", lambda config: [lists[which]])
    monkeypatch.setattr(dpdk_source, "release_name", lambda: "bookworm")
    environ = dpdk_source.private_apt(Layout(tmp_path, "1.2.3"))
    command = [
        "apt-get",
        "indextargets",
        "--no-release-info",
        "--format",
        "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(FILENAME)",
    ]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    targets = [line.split() for line in done.stdout.splitlines()]
    assert {target[0] for target in targets} == {"Sources"}
    assert {target[1] for target in targets} == {"http://mirror.invalid/debian/", "http://mirror.invalid/security/"}
    assert all(target[3].startswith(str(tmp_path / "build" / "apt" / "state")) for target in targets)


def test_a_machine_without_a_debian_repository_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpdk_source, "apt_list_files", lambda config: [])
    with pytest.raises(Unavailable, match=r"apt knows no Debian repository .* set DPDK_SOURCE=dir"):
        dpdk_source.private_apt(Layout(tmp_path, "1.2.3"))


def make_source(directory: Path, version: str) -> Path:
    for name in HEADERS:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"/* {name} */\n")
    (directory / "VERSION").write_text(version + "\n")
    return directory


def test_a_given_source_of_the_right_version_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPDK_SOURCE", str(make_source(tmp_path / "source", "1.2.3")))
    headers = dpdk_source.driver_headers(tmp_path, "1.2.3")
    assert headers is not None
    assert sorted(p.name for p in headers.iterdir()) == sorted(Path(name).name for name in HEADERS)
    before = [p.stat().st_mtime_ns for p in headers.iterdir()]
    assert dpdk_source.driver_headers(tmp_path, "1.2.3") == headers
    assert [p.stat().st_mtime_ns for p in headers.iterdir()] == before
    assert dpdk_source.source_tree(tmp_path, "1.2.3") == tmp_path / "source"


def test_a_given_source_of_another_version_or_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPDK_SOURCE", str(make_source(tmp_path / "source", "1.2.4")))
    with pytest.raises(Unavailable, match=r"is DPDK 1\.2\.4, installed is 1\.2\.3"):
        dpdk_source.driver_headers(tmp_path, "1.2.3")
    (tmp_path / "source" / HEADERS[0]).unlink()
    with pytest.raises(Unavailable, match="is no complete source of DPDK"):
        dpdk_source.driver_headers(tmp_path, "1.2.4")
    monkeypatch.setenv("DPDK_SOURCE", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match="holds no DPDK source"):
        dpdk_source.driver_headers(tmp_path, "1.2.3")


def test_without_headers_there_are_none_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPDK_SOURCE", raising=False)
    assert dpdk_source.driver_headers(tmp_path, "1.2.3") is None
    assert dpdk_source.source_tree(tmp_path, "1.2.3") is None


def test_a_damaged_package_is_not_unpacked(tmp_path: Path) -> None:
    layout = Layout(tmp_path, dpdk.version())
    stored = sorted((ROOT / "build" / "apt" / "download").glob("*.dsc"))
    if not stored:
        pytest.skip("the source package was not fetched here (python -m build_support.dpdk_source)")
    for file in stored[-1].parent.iterdir():
        if file.suffix != ".dsc":
            (tmp_path / file.name).write_bytes(b"not what the checksums say")
    (tmp_path / stored[-1].name).write_bytes(stored[-1].read_bytes())
    with pytest.raises(Unavailable, match="is damaged"):
        dpdk_source.unpack(layout, tmp_path / stored[-1].name)
    assert not layout.tree.exists()


def test_as_a_command_it_says_in_words_why_not(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "DPDK_SOURCE": str(tmp_path)}
    command = [sys.executable, "-m", "build_support.dpdk_source"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no DPDK source (no file VERSION); name its top directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_for_a_build_it_never_fails_stamps_on_change_alone_and_does_not_wait_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, stamp, tries = Layout(tmp_path, "1.2.3"), tmp_path / "stamps" / "headers", []

    def offline(root: Path, version: str) -> str:
        tries.append(version)
        raise Unavailable("no network today")

    monkeypatch.delenv("DPDK_SOURCE", raising=False)
    monkeypatch.setattr(dpdk_source, "fetch", offline)
    assert dpdk_source.for_build(layout, stamp) == 0
    assert "no network today" in capsys.readouterr().err
    written = stamp.stat().st_mtime_ns
    assert dpdk_source.for_build(layout, stamp) == 0
    assert "tried minutes ago" in capsys.readouterr().err
    assert (len(tries), stamp.stat().st_mtime_ns) == (1, written)
    monkeypatch.undo()
    monkeypatch.setenv("DPDK_SOURCE", str(make_source(tmp_path / "source", "1.2.3")))
    assert dpdk_source.for_build(layout, stamp) == 0
    assert "taken from" in capsys.readouterr().out
    assert stamp.read_text() == str(tmp_path / "source")
    assert dpdk_source.for_build(layout, stamp) == 0
    assert capsys.readouterr().out == ""


def test_the_source_of_another_version_is_not_fetched() -> None:
    """Of a DPDK beside Debian's: its package is of another version."""
    with pytest.raises(Unavailable, match=r"is not Debian's package.* so its source cannot be fetched; .*DPDK_SOURCE"):
        dpdk_source.installed_source("1.2.3")
