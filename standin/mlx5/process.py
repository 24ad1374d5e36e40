"""Where a process runs on the stand-in: its network namespace, environment and EAL arguments."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from types import TracebackType

from build_support import dpdk
from build_support import standin as build
from standin.mlx5.control import Control
from standin.mlx5.profiles import DEFAULT, load
from standin.mlx5.sysfs import make_tree, pci_address

ROOT = Path(__file__).resolve().parents[2]
# Anyone may have a network namespace inside a user namespace of his own; root needs none where those are forbidden.
UNSHARES = (
    ("unshare", "--user", "--map-current-user", "--keep-caps", "--net"),
    ("unshare", "--net"),
)


class Steering(IntEnum):
    """Who writes the NIC's tables: the driver's parameter dv_flow_en."""

    SOFTWARE = 1
    HARDWARE = 2


def is_sanitized() -> bool:
    """Whether the process under test is built with sanitizers; the driver and the stand-in are not."""
    return "ASAN_OPTIONS" in os.environ


def search_path() -> str:
    """PATH with the directories where ip lives, which not every user has."""
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"


@functools.cache
def unshare() -> tuple[str, ...]:
    """The command that works here for a network namespace of one's own; empty where none does."""
    for command in UNSHARES:
        words = [*command, "ip", "link", "add", "mlx0", "type", "veth"]
        done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, "PATH": search_path()})
        if done.returncode == 0:
            return command
    return ()


def why_unavailable() -> str:
    """Why the stand-in cannot run here, in words; empty where it can. Builds it where that is needed."""
    for tool in ("unshare", "ip", "gcc"):
        if shutil.which(tool, path=search_path()) is None:
            return f"{tool} is not installed; run: make packages"
    try:
        build.build(ROOT)
    except dpdk.Missing as missing:
        return str(missing)
    if not unshare():
        return "no network namespace with a veth pair of its own can be had, neither in a user namespace nor as root"
    return ""


class Standin:
    """One faked card with its ports, for one process.

    n_devices: its PCI functions. n_ports, of each, 1: one physical port; more: uplink and VFs. profile: what card it
    is, by name or in a file (profiles.py). options: more parameters of the driver. Closing removes its directory; the
    process is the caller's to end.
    """

    def __init__(
        self,
        steering: Steering,
        *,
        n_devices: int = 1,
        n_ports: int = 1,
        profile: str = DEFAULT,
        options: str = "",
    ) -> None:
        self.steering = steering
        self.n_devices = n_devices
        self.n_ports = n_ports
        self.profile = load(profile)
        self.options = options
        self._directory = tempfile.TemporaryDirectory(prefix="standin-")
        self.directory = Path(self._directory.name)
        self.library = build.build(ROOT)
        for number in range(n_devices):
            interfaces = self.interfaces[number * n_ports : (number + 1) * n_ports]
            make_tree(self.root, number, interfaces, self.profile.device)
        (self.directory / "profile").write_text(self.profile.lines())

    def __enter__(self) -> Standin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._directory.cleanup()

    @property
    def interfaces(self) -> list[str]:
        """The ports' network interfaces, which exist in the process's namespace only."""
        return [f"mlx{n}" for n in range(self.n_devices * self.n_ports)]

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def socket(self) -> Path:
        return self.directory / "control"

    def command(self, argv: list[str]) -> list[str]:
        """argv, run in a network namespace of its own on the stand-in."""
        launcher = str(Path(__file__).with_name("launch.py"))
        return [*unshare(), sys.executable, "-P", "-S", launcher, *self.interfaces, "--", *argv]

    def environment(self) -> dict[str, str]:
        """What the command needs in its environment, on top of this process's."""
        # The driver reads memory from malloc that it never wrote; ASan's pattern in it would crash it.
        asan = {"ASAN_OPTIONS": f"{os.environ['ASAN_OPTIONS']}:max_malloc_fill_size=0"} if is_sanitized() else {}
        return {
            **os.environ,
            **asan,
            "PATH": search_path(),
            "SYSFS_PCI_DEVICES": str(self.root / "pci"),
            "CTOFFLOAD_MLX5_STANDIN": "1",
            "CTOFFLOAD_MLX5_STANDIN_LIBRARY": str(self.library),
            "CTOFFLOAD_MLX5_STANDIN_ROOT": str(self.root),
            "CTOFFLOAD_MLX5_STANDIN_DEVICES": str(self.n_devices),
            "CTOFFLOAD_MLX5_STANDIN_PORTS": str(self.n_ports),
            "CTOFFLOAD_MLX5_STANDIN_PROFILE": str(self.directory / "profile"),
            "CTOFFLOAD_MLX5_STANDIN_SOCKET": str(self.socket),
        }

    def eal_args(self, memory_mb: int = 256) -> list[str]:
        """EAL arguments that probe the card's devices and nothing else."""
        parameters = [f"dv_flow_en={int(self.steering)}", self.options]
        if self.steering is Steering.HARDWARE:
            # How often counters are read, in ms; 500 by default, for which a stop has to wait as well.
            parameters.append("svc_cycle_time=20")
        devices = [",".join([pci_address(n), *filter(None, parameters)]) for n in range(self.n_devices)]
        probed = [argument for device in devices for argument in ("-a", device)]
        return ["--no-huge", "-m", str(memory_mb), "--no-shconf", "--no-telemetry", *probed]

    def control(self) -> Control:
        """The channel into the process, once it has probed the device."""
        return Control(self.socket)
