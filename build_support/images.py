"""Builds the images of docker/ with podman on a base made by debootstrap: no registry is asked.

    python -m build_support.images development
    python -m build_support.images runtime
    python -m build_support.images dpdk --archive docker/dpdk-24.11.tar.xz

Packages come from where this machine gets its own: apt's sources are copied into the base, pip's configuration and the
machine's certificates are mounted while building. Needs root, podman and debootstrap. With a registry, podman build or
docker build alone do the same.
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from build_support.dpdk import Missing

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "bookworm"
BASE = f"localhost/ctoffload-base:{RELEASE}"
IMAGES = ("development", "runtime", "dpdk")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MOUNTED_CERTIFICATES = "/run/certificates.crt"


def run(command: list[str], **more: object) -> str:
    """What it printed. Raises Missing with the last lines of what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed: apt-get install {command[0]}") from None
    if done.returncode:
        last = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise Missing(f"{' '.join(command[:3])} ... failed:\n  {last}")
    return str(done.stdout)


def sources() -> list[tuple[str, str]]:
    """(address, suite) of every source of Debian 12 that this machine uses."""
    form = ["--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Origin: Debian"]
    lines = run(["apt-get", "indextargets", *form]).split("\n")
    found = [(words[0], words[1]) for line in lines if len(words := line.split()) == 2 and words[1].startswith(RELEASE)]
    if not found:
        raise Missing(f"no package source of Debian {RELEASE} is configured here (apt-get update)")
    return list(dict.fromkeys(found))


def make_base() -> None:
    """A minimal Debian 12 with this machine's package sources, as an image."""
    if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0:
        return
    print(f"images: making {BASE} with debootstrap", flush=True)
    found = sources()
    address = next(where for where, suite in found if suite == RELEASE)
    with tempfile.TemporaryDirectory(prefix="ctoffload-base-") as directory:
        run(["debootstrap", "--variant=minbase", RELEASE, directory, address])
        Path(directory).chmod(0o755)  # it becomes "/", which others than root enter too
        lists = "".join(f"deb {where} {suite} main\n" for where, suite in found)
        Path(directory, "etc/apt/sources.list").write_text(lists)
        archive = Path(directory).with_suffix(".tar")
        try:
            run(["tar", "--create", "--file", str(archive), "--directory", directory, "."])
            run(["podman", "import", "--quiet", str(archive), BASE])
        finally:
            archive.unlink(missing_ok=True)


def build(image: str, archive: str | None) -> str:
    """Builds it; its name."""
    make_base()
    name = f"localhost/ctoffload-{image}"
    print(f"images: building {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ctoffload-pip-") as directory:
        arguments = [f"--build-arg=BASE={BASE}", *([f"--build-arg=ARCHIVE={archive}"] if archive else [])]
        options = [*build_options(Path(directory)), *arguments]
        run(["podman", "build", *options, f"--file=docker/{image}.Dockerfile", f"--tag={name}", "."], cwd=ROOT)
    return name


def build_options(directory: Path) -> list[str]:
    """Options of podman build: no registry, packages from where this machine gets its own. Writes pip.conf for it."""
    return ["--pull=never", "--network=host", "--ulimit=nofile=4096:4096", *pips_own(directory / "pip.conf")]


def pips_own(configuration: Path) -> list[str]:
    """Options that mount this machine's configuration of pip and its certificates, where no package writes."""
    pip = configparser.ConfigParser()
    pip.read("/etc/pip.conf")
    certificates = Path(os.environ.get("PIP_CERT", CERTIFICATES))
    mounts = [f"--volume={configuration}:/etc/pip.conf:ro"]
    if certificates.is_file():
        pip["global"] = {**(pip["global"] if pip.has_section("global") else {}), "cert": MOUNTED_CERTIFICATES}
        mounts.append(f"--volume={certificates}:{MOUNTED_CERTIFICATES}:ro")
    with configuration.open("w") as file:
        pip.write(file)
    return mounts


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m build_support.images", description=__doc__)
    parser.add_argument("image", choices=IMAGES)
    parser.add_argument("--archive", help="for dpdk: a source archive of DPDK below the source tree")
    asked = parser.parse_args(arguments)
    if (asked.image == "dpdk") != bool(asked.archive):
        parser.error("--archive goes with the image dpdk")
    try:
        print(build(asked.image, asked.archive))
    except Missing as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
