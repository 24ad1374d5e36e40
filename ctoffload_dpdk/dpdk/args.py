"""EAL arguments: built from what one wants, and checked for what is known to fail before EAL is burnt on them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from ctoffload_dpdk.base.errors import UsageError

# From this release on --no-huge may be given with --in-memory.
IN_MEMORY_WITHOUT_HUGEPAGES = (25, 11)
# From this release on EAL ends the process where it does not take an option.
EXIT_ON_WRONG_OPTION = (25, 11)


class Memory(StrEnum):
    """Where DPDK's memory comes from."""

    NO_HUGE = "no-huge"  # ordinary pages, a fixed size, no rights needed
    HUGEPAGES = "hugepages"  # from a mounted hugetlbfs
    IN_MEMORY = "in-memory"  # hugepages without files: no mount, no other process can attach


def eal_args(
    memory: Memory | str = Memory.NO_HUGE,
    *,
    memory_mb: int = 0,
    lcores: str = "0",
    pci: bool = False,
    allow: Sequence[str] = (),
    vdevs: Sequence[str] = (),
    drivers: Sequence[str] = (),
    file_prefix: str = "",
    shared_config: bool = False,
    telemetry: bool = False,
    log_level: str = "",
    extra: Sequence[str] = (),
) -> list[str]:
    """The argument list for Eal.start.

    memory_mb: MiB, 0 leaves DPDK's default (64 without hugepages). lcores: one is enough, loops are Python threads.
    allow: PCI addresses with their devargs, implies pci. vdevs: "net_ring0". drivers: paths of further drivers (-d).
    shared_config: let secondary processes attach. log_level: "lib.ethdev:debug". extra: passed on as they are.
    Raises ValueError for a memory that is none of `Memory`.
    """
    memory = Memory(memory)
    args = ["-l", lcores]
    if memory is Memory.NO_HUGE:
        args.append("--no-huge")
    elif memory is Memory.IN_MEMORY:
        args.append("--in-memory")
    if memory_mb:
        args += ["-m", str(memory_mb)]
    args += [] if pci or allow else ["--no-pci"]
    args += [] if shared_config or memory is Memory.IN_MEMORY else ["--no-shconf"]
    args += [] if telemetry else ["--no-telemetry"]
    args += ["--file-prefix", file_prefix] if file_prefix else []
    args += ["--log-level", log_level] if log_level else []
    for flag, values in (("-a", allow), ("--vdev", vdevs), ("-d", drivers)):
        for value in values:
            args += [flag, value]
    return [*args, *extra]


def preflight(args: Sequence[str], running: tuple[int, int]) -> None:
    """Raises UsageError where these arguments are known to fail: a failed start cannot be repeated in this process."""
    for arg in args:
        if not isinstance(arg, str):
            raise UsageError(f"EAL argument {arg!r} is not a string", hint="pass the arguments as a list of strings")
        if "\0" in arg:
            raise UsageError(f"EAL argument {arg!r} holds a NUL byte")
    if "--no-huge" in args and "--in-memory" in args and running < IN_MEMORY_WITHOUT_HUGEPAGES:
        raise UsageError(
            f"DPDK {running[0]}.{running[1]:02d} does not take --no-huge together with --in-memory",
            hint="use --no-huge --no-shconf; it keeps the process to itself as well",
        )
