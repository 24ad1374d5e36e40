"""The private headers a DPDK driver needs, from the source package of exactly the installed DPDK.

Debian's development package leaves them out. They are fetched once, below build/, through the machine's own package
sources; neither apt's configuration nor its state is touched. DPDK_SOURCE=dir takes an unpacked source instead.
As a command (`python -m build_support.dpdk_source`) it fetches them and says in one line what it did.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from build_support import dpdk

PACKAGE = "libdpdk-dev"

# Where each lies in DPDK's source.
HEADERS = (
    "lib/ethdev/ethdev_driver.h",
    "lib/ethdev/ethdev_vdev.h",
    "drivers/bus/vdev/bus_vdev_driver.h",
    "lib/eal/include/dev_driver.h",
    "lib/ethdev/rte_flow_driver.h",  # installed with the others until 25.07
)

WITHOUT = "dpdk source: without them the emulated NIC is not built; all else is"
RETRY_AFTER_S = 600

OFFLINE = "see that the network is there, or unpack that source yourself and set DPDK_SOURCE=dir"


class Unavailable(dpdk.Missing):
    """The headers could not be had; the text says why and what to do."""


@dataclass(frozen=True)
class Layout:
    """What lies where below build/."""

    root: Path
    version: str

    @property
    def base(self) -> Path:
        return self.root / "build" / "dpdk-source" / self.version

    @property
    def headers(self) -> Path:
        return self.base / "headers"

    @property
    def tree(self) -> Path:
        """The whole unpacked source."""
        return self.base / "tree"

    @property
    def origin(self) -> Path:
        """Says where the headers came from; written last, so that its presence means they are complete."""
        return self.base / "origin"

    @property
    def failed(self) -> Path:
        """Why the last fetch failed; gone after one that did not."""
        return self.base / "failed"

    @property
    def apt(self) -> Path:
        return self.root / "build" / "apt"


def driver_headers(root: Path, version: str) -> Path | None:
    """The directory of the driver headers of exactly this DPDK version, or None where they are not there.

    Takes them from DPDK_SOURCE where that is set; raises Unavailable where it names another version.
    """
    layout = Layout(root, version)
    if os.environ.get("DPDK_SOURCE"):
        take_given(layout, Path(os.environ["DPDK_SOURCE"]))
    return layout.headers if layout.origin.is_file() else None


def source_tree(root: Path, version: str) -> Path | None:
    """The unpacked source of exactly this DPDK version, or None where it is not there."""
    if driver_headers(root, version) is None:
        return None
    given = os.environ.get("DPDK_SOURCE")
    tree = Path(given) if given else Layout(root, version).tree
    return tree if tree.is_dir() else None


def take_given(layout: Layout, source: Path) -> None:
    """The headers of a source the user unpacked, once it is seen to be of the right version."""
    marker = source / "VERSION"
    if not marker.is_file():
        raise Unavailable(f"DPDK_SOURCE: {source} holds no DPDK source (no file VERSION); name its top directory")
    found = marker.read_text().strip()
    if found != layout.version:
        raise Unavailable(
            f"DPDK_SOURCE: {source} is DPDK {found}, installed is {layout.version}; give the source of {layout.version}"
        )
    take_headers(layout, source, str(source.resolve()))


def take_headers(layout: Layout, source: Path, origin: str) -> None:
    """Copies the headers where they differ, so that nothing is compiled again without need."""
    missing = [name for name in HEADERS if not (source / name).is_file()]
    if missing:
        raise Unavailable(f"{source} has no {missing[0]}; it is no complete source of DPDK {layout.version}")
    layout.headers.mkdir(parents=True, exist_ok=True)
    for name in HEADERS:
        target = layout.headers / Path(name).name
        content = (source / name).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            target.write_bytes(content)
    if not layout.origin.is_file() or layout.origin.read_text() != origin:
        layout.origin.write_text(origin)


def installed_source(wanted: str) -> str:
    """The Debian version of the source package that the installed DPDK, of the version wanted, was built from."""
    command = ["dpkg-query", "--show", "--showformat", "${source:Package} ${source:Version}", PACKAGE]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise Unavailable(
            "the installed DPDK is not Debian's package, so its source cannot be fetched; "
            "unpack its source and set DPDK_SOURCE=dir"
        ) from None
    name, _, version = done.stdout.partition(" ")
    if name != "dpdk" or not version:
        raise Unavailable(f"{PACKAGE} comes from source package {name!r}; unpack its source and set DPDK_SOURCE=dir")
    if re.split("[-+~]", version.rpartition(":")[2])[0] != wanted:
        raise Unavailable(
            f"DPDK {wanted} is not Debian's package, which is {version}, so its source cannot be fetched; "
            "unpack its source and set DPDK_SOURCE=dir"
        )
    return version


# --- the private package sources ---------------------------------------------------------------------------------


def release_name() -> str:
    """This Debian's code name, e.g. "bookworm"."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return ""
    return next((ln.partition("=")[2].strip('"') for ln in lines if ln.startswith("VERSION_CODENAME=")), "")


def is_debians(suites: Iterable[str], components: Iterable[str], release: str) -> bool:
    """True for an entry that could hold Debian's own packages; others have suites or components of their own."""
    own = {release, "stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
    return "main" in components and all(re.split("[-/]", suite)[0] in own for suite in suites)


def stanza_as_source(stanza: str, release: str) -> str | None:
    """One deb822 stanza as deb-src, or None where it is switched off, holds no packages or is not Debian's."""
    fields: dict[str, str] = {}
    name = ""
    for line in (ln for ln in stanza.splitlines() if not ln.startswith("#")):
        if line[:1].isspace() and name:
            fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if not {"types", "uris", "suites"} <= fields.keys() or fields.pop("enabled", "yes").lower() in ("no", "false", "0"):
        return None
    if not is_debians(fields["suites"].split(), fields.get("components", "").split(), release):
        return None
    for unused in ("architectures", "languages", "targets", "pdiffs"):
        fields.pop(unused, None)
    fields["types"] = "deb-src"
    fields["components"] = "main"
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


ONE_LINE = re.compile(
    r"^deb(?:-src)?\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]*)"
)


def line_as_source(line: str, release: str) -> str | None:
    """One line of a .list file as deb-src, or None."""
    found = ONE_LINE.match(line.strip())
    if found is None or not is_debians([found["suite"]], found["components"].split(), release):
        return None
    options = " ".join(
        option for option in (found["options"] or "").split() if not re.match("(arch|lang|target|pdiffs)[+-]?=", option)
    )
    return f"deb-src {f'[{options}] ' if options else ''}{found['uri']} {found['suite']} main"


def source_entries(list_files: Iterable[Path], release: str) -> tuple[list[str], list[str]]:
    """(deb822 stanzas, one-line entries) for Debian's source packages, of the machine's .sources and .list files."""
    stanzas: dict[str, None] = {}
    lines: dict[str, None] = {}
    for path in list_files:
        try:
            text = path.read_text()
        except OSError:
            continue
        if path.suffix == ".sources":
            found = (stanza_as_source(stanza, release) for stanza in re.split(r"\n[ \t]*\n", text))
            stanzas.update(dict.fromkeys(entry for entry in found if entry))
        elif path.suffix == ".list":
            found = (line_as_source(line, release) for line in text.splitlines())
            lines.update(dict.fromkeys(entry for entry in found if entry))
    return list(stanzas), list(lines)


# --- apt, kept below build/apt -----------------------------------------------------------------------------------


def apt_config() -> str:
    """The machine's whole apt configuration, as text that apt reads again."""
    try:
        return subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise Unavailable(
            "apt is not on this machine, so DPDK's source cannot be fetched; unpack it and set DPDK_SOURCE=dir"
        ) from None


def apt_list_files(config: str) -> list[Path]:
    """The files that name the machine's package sources."""
    value = dict(re.findall(r'^(\S+) "(.*)";$', config, re.MULTILINE))
    top = Path(value.get("Dir", "/")) / value.get("Dir::Etc", "etc/apt")
    parts = top / value.get("Dir::Etc::sourceparts", "sources.list.d")
    return [
        top / value.get("Dir::Etc::sourcelist", "sources.list"),
        *(sorted(parts.iterdir()) if parts.is_dir() else []),
    ]


def private_apt(layout: Layout) -> dict[str, str]:
    """The environment in which apt works below build/apt alone: with the machine's proxies, keys and mirrors."""
    config = apt_config()
    stanzas, lines = source_entries(apt_list_files(config), release_name())
    if not stanzas and not lines:
        raise Unavailable(
            "apt knows no Debian repository to fetch DPDK's source from; unpack it yourself and set DPDK_SOURCE=dir"
        )
    parts = layout.apt / "sources.list.d"
    for directory in (parts, layout.apt / "state" / "lists" / "partial", layout.apt / "cache" / "archives" / "partial"):
        directory.mkdir(parents=True, exist_ok=True)
    (parts / "debian.sources").write_text("\n".join(stanzas))
    (parts / "debian.list").write_text("".join(line + "\n" for line in lines))
    kept = [
        ln for ln in config.splitlines() if not ln.startswith(("APT::Update::", "DPkg::", "Dir::Cache", "Dir::State"))
    ]
    own = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(parts),
        "Dir::State": str(layout.apt / "state"),
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": str(layout.apt / "cache"),
        "APT::Sandbox::User": "root",  # its usual user cannot write below build/
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    path = layout.apt / "apt.conf"
    path.write_text("\n".join([*kept, *(f'{key} "{value}";' for key, value in own.items())]) + "\n")
    return {**os.environ, "APT_CONFIG": str(path), "LC_ALL": "C.UTF-8"}


def why(done: subprocess.CompletedProcess[str]) -> str:
    """The first complaint of a command, in one line."""
    lines = [ln for ln in (done.stdout + done.stderr).splitlines() if re.match(r"(E|W|Err|dpkg-source: error)\b", ln)]
    return " ".join(lines[0].split())[:200] if lines else f"exit status {done.returncode}"


def run(command: list[str], where: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=where, env=environ, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed; run: make packages") from None


def download(layout: Layout, debian_version: str) -> Path:
    """The .dsc of that source package, its files beside it."""
    store = layout.apt / "download"
    store.mkdir(parents=True, exist_ok=True)
    description = store / f"dpdk_{re.sub('^[0-9]+:', '', debian_version)}.dsc"
    environ = private_apt(layout)
    update = run(["apt-get", "update", "--quiet=2"], store, environ)
    source = run(
        ["apt-get", "source", "--quiet=2", "--download-only", "--only-source", f"dpdk={debian_version}"], store, environ
    )
    if source.returncode != 0 or not description.is_file():
        # A repository that cannot be reached shows in the first, one that no longer has the version in the second.
        cause = why(update) if update.returncode != 0 or "W: Failed" in update.stderr else why(source)
        raise Unavailable(f"DPDK's source package, version {debian_version}, could not be fetched ({cause}); {OFFLINE}")
    return description


def unpack(layout: Layout, description: Path) -> None:
    """Unpacks it into the tree; refuses files that differ from the checksums in the .dsc."""
    shutil.rmtree(layout.tree, ignore_errors=True)
    layout.base.mkdir(parents=True, exist_ok=True)
    # apt has checked the .dsc against the signed index, so its own signature need not be.
    command = [
        "dpkg-source",
        "--require-strong-checksums",
        "--no-copy",
        "--extract",
        str(description),
        str(layout.tree),
    ]
    done = run(command, layout.base, {**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode != 0:
        shutil.rmtree(layout.tree, ignore_errors=True)
        raise Unavailable(f"DPDK's source package {description} is damaged ({why(done)}); delete it and try again")


def fetch(root: Path, version: str) -> str:
    """Makes the headers be there. Returns what was done, in one line; raises Unavailable."""
    layout = Layout(root, version)
    if os.environ.get("DPDK_SOURCE"):
        driver_headers(root, version)
        return f"driver headers of DPDK {version} taken from {os.environ['DPDK_SOURCE']}"
    debian_version = installed_source(version)
    origin = f"dpdk {debian_version}"
    if layout.origin.is_file() and layout.origin.read_text() == origin:
        return f"driver headers of DPDK {version} are there (Debian source {origin})"
    print(f"dpdk source: fetching Debian's source {origin} for the driver headers ...", flush=True)
    unpack(layout, download(layout, debian_version))
    take_headers(layout, layout.tree, origin)
    return f"driver headers of DPDK {version} taken from Debian's source {origin}"


def write_on_change(path: Path, text: str) -> None:
    """So that what depends on it is made again only where it has to be."""
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def failed_lately(layout: Layout) -> str:
    """Why the last fetch failed, where that was minutes ago: a build asks each time and is not to wait each time."""
    given = os.environ.get("DPDK_SOURCE")
    if given or not layout.failed.is_file() or time.time() - layout.failed.stat().st_mtime > RETRY_AFTER_S:
        return ""
    return layout.failed.read_text()


def ensure(layout: Layout) -> tuple[str, str]:
    """(what to say, why not): tries, and remembers a failure."""
    try:
        said = fetch(layout.root, layout.version)
    except Unavailable as error:
        if not os.environ.get("DPDK_SOURCE"):
            layout.base.mkdir(parents=True, exist_ok=True)
            layout.failed.write_text(str(error))
        return "", str(error)
    layout.failed.unlink(missing_ok=True)
    return said, ""


def for_build(layout: Layout, stamp: Path) -> int:
    """What a build calls each time: quiet where nothing changes, and no failure, since all else builds without."""
    before = layout.origin.read_text() if layout.origin.is_file() else ""
    why_not = failed_lately(layout)
    if why_not:
        print(
            f"dpdk source: {why_not}\n  tried minutes ago; to try now: python -m build_support.dpdk_source",
            file=sys.stderr,
        )
    else:
        said, why_not = ensure(layout)
        after = layout.origin.read_text() if layout.origin.is_file() else ""
        if why_not:
            print(f"dpdk source: {why_not}\n{WITHOUT}", file=sys.stderr)
        elif before != after:
            print(f"dpdk source: {said}")
    write_on_change(stamp, why_not or layout.origin.read_text())
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m build_support.dpdk_source", description=__doc__)
    parser.add_argument("--stamp", type=Path, help="for make: write this file where the headers changed, never fail")
    stamp = parser.parse_args(arguments).stamp
    try:
        layout = Layout(Path(__file__).resolve().parent.parent, dpdk.version())
    except dpdk.Missing as error:
        print(f"dpdk source: {error}", file=sys.stderr)
        return 1
    if stamp:
        return for_build(layout, stamp)
    said, why_not = ensure(layout)
    print(
        f"dpdk source: {said}" if said else f"dpdk source: {why_not}\n{WITHOUT}",
        file=sys.stdout if said else sys.stderr,
    )
    return 0 if said else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
