"""A virtual machine whose kernel has tc flower, for TAP devices: Debian's kernel and QEMU, unpacked, not installed.

As a command (`python -m build_support.flower_vm`) it fetches what is missing into build/vm and prints the place. Boots
with virtme-ng: the machine's own files are the guest's, read-only. QEMU emulates the processor; KVM stays off.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from build_support.command import get
from build_support.dpdk import Missing

# busybox and kmod are for the first moments of the guest; kmod comes with the kernel where it is not installed.
WANTED = ("qemu-system-x86", "linux-image-amd64", "busybox-static", "kmod")
MODULES = ("tun", "sch_multiq", "sch_ingress", "cls_flower", "act_gact", "act_skbedit", "act_mirred")
MEMORY = "1G"
# Where the guest sees this machine's files a second time.
FILES = "/run/files"
KMOD_NAMES = ("modprobe", "depmod", "lsmod")


def place_of(root: Path) -> Path:
    return root / "build" / "vm"


def kernel(root: Path) -> Path | None:
    """The unpacked kernel image; None where it was not fetched."""
    found = sorted((place_of(root) / "root" / "boot").glob("vmlinuz-*"))
    return found[-1] if found and (place_of(root) / "bin" / "qemu-system-x86_64").exists() else None


def fetch(root: Path) -> Path:
    """Fetches and unpacks what is missing, with the machine's own apt, which checks signatures. Raises Missing."""
    found = kernel(root)
    if found is not None:
        return found
    if platform.machine() != "x86_64":
        raise Missing("the virtual machine is for x86-64 alone")
    place = place_of(root)
    shutil.rmtree(place, ignore_errors=True)
    (place / "debs" / "partial").mkdir(parents=True)
    download(place / "debs")
    for archive in sorted((place / "debs").glob("*.deb")):
        run(["dpkg-deb", "--extract", str(archive), str(place / "root")])
    shutil.rmtree(place / "debs")
    make_tools(place)
    made = sorted((place / "root" / "boot").glob("vmlinuz-*"))
    if not made:
        raise Missing("apt gave no kernel: is linux-image-amd64 installed already? Then the tests could run there")
    release = made[-1].name.removeprefix("vmlinuz-")
    run([str(place / "bin" / "depmod"), "-b", str(place / "root"), release])
    return made[-1]


def download(archives: Path) -> None:
    """The archives of what is wanted and is not installed, and of all it needs."""
    options = [f"Dir::Cache::archives={archives}", "Debug::NoLocking=1", "APT::Sandbox::User=root"]
    words = [word for option in options for word in ("-o", option)]
    run(["apt-get", "--quiet", "--yes", "install", "--download-only", "--no-install-recommends", *words, *WANTED])
    there = {archive.name.partition("_")[0] for archive in archives.glob("*.deb")}
    for package in ("kmod", "busybox-static"):  # wanted in the guest's first moments, installed here or not
        if package not in there:
            run(["apt-get", "--quiet", "download", package], archives)


def make_tools(place: Path) -> None:
    """Starters of what was unpacked, with the libraries beside it."""
    (place / "bin").mkdir(exist_ok=True)
    for name in KMOD_NAMES:
        (place / "bin" / name).symlink_to(place / "root" / "bin" / "kmod")
    unpacked = place / "root" / "usr" / "bin" / "qemu-system-x86_64"
    qemu = str(unpacked) if unpacked.exists() else shutil.which("qemu-system-x86_64")
    if qemu is None:
        raise Missing("apt gave no qemu-system-x86_64")
    usr = place / "root" / "usr"
    share = [f"-L {usr / 'share' / name}" for name in ("qemu", "seabios")]
    libraries = f"{usr / 'lib' / 'x86_64-linux-gnu'}:{place / 'root' / 'lib' / 'x86_64-linux-gnu'}"
    script = f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {qemu} {" ".join(share)} "$@"\n'
    starter = place / "bin" / "qemu-system-x86_64"
    starter.write_text(script if unpacked.exists() else f'#!/bin/sh\nexec {qemu} "$@"\n')
    starter.chmod(0o755)


def run(command: list[str], where: Path | None = None) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        raise Missing(f"{' '.join(command[:6])} ... failed: {done.stderr.strip()[-500:]}")


def why_not(root: Path) -> str:
    """Why it cannot be booted here, in words; empty where it can."""
    if kernel(root) is None:
        return "the virtual machine was not fetched; run: python -m build_support.flower_vm"
    if not (Path(sys.executable).parent / "virtme-run").exists():
        return "virtme-ng is not installed; run: make lab"
    return ""


def guest_script(root: Path, command: list[str]) -> str:
    """What the guest runs: the modules, and the command under the machine's files mounted again with a cache.

    The first mount has none: each page of each library would be a message, and an import takes minutes.
    """
    place = place_of(root)
    load = [f"{place / 'bin' / 'modprobe'} -d {place / 'root'} {name}" for name in MODULES]
    options = "ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose"
    again = [f"mkdir {FILES}", f"mount -t 9p -o {options} files {FILES}"]
    again += [f"mount --rbind /{name} {FILES}/{name}" for name in ("dev", "proc", "sys", "run", "tmp")]
    words = f"cd {shlex.quote(str(root))} && {shlex.join(command)}"
    path = "export PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    return " && ".join([path, *load, *again, f"chroot {FILES} /bin/sh -c {shlex.quote(words)}"])


def boot(root: Path, command: list[str], limit_s: int) -> subprocess.CompletedProcess[str]:
    """Boots, runs the command as root with the modules loaded, and shuts down. Raises Missing when it takes longer."""
    place, image = place_of(root), kernel(root)
    assert image is not None
    words = [str(Path(sys.executable).parent / "virtme-run"), "--kimg", str(image), "--mods", "auto", "--disable-kvm"]
    words += ["--memory", MEMORY, "--cpus", "1", "--busybox", str(place / "root" / "bin" / "busybox")]
    words += ["--qemu-bin", str(place / "bin" / "qemu-system-x86_64"), "--force-9p"]
    words += ["--script-sh", guest_script(root, command), "--qemu-opts", "-fsdev"]
    words += ["local,id=files,path=/,security_model=none,readonly=on,multidevs=remap"]
    words += ["-device", "virtio-9p-pci,fsdev=files,mount_tag=files"]
    path = f"{Path(sys.executable).parent}:{place / 'bin'}:{os.environ.get('PATH', '')}"
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        env={**os.environ, "PATH": path}, start_new_session=True,
    ) as started:  # fmt: skip
        try:
            output, errors = started.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)  # QEMU is a child of virtme's
            output, errors = started.communicate()
            said = output[-2000:] + errors[-2000:]
            raise Missing(f"the virtual machine did not end within {limit_s} s: {said}") from None
    return subprocess.CompletedProcess(words, started.returncode, output, errors)


if __name__ == "__main__":
    sys.exit(get("virtual machine", fetch))
