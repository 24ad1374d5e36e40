"""Hugepages and locked memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ctoffload_dpdk.cli.checks.finding import Finding, ok, unknown, warn
from ctoffload_dpdk.cli.checks.machine import Machine

SIZES = "sys/kernel/mm/hugepages"
NODES = "sys/devices/system/node"
# What DPDK takes at least for a handful of ports and their buffers.
ENOUGH_MB = 512
LOCKED_ENOUGH_BYTES = 64 << 20
CAP_IPC_LOCK = 14


def check_memory(machine: Machine) -> Iterator[Finding]:
    """All of it. Without hugepages the engine runs in ordinary memory, slower, and with few real drivers."""
    sizes = {
        int(found[1]): name for name in machine.names(SIZES) if (found := re.fullmatch(r"hugepages-(\d+)kB", name))
    }
    if not sizes:
        yield unknown("hugepages", "the kernel shows no hugepages", mend=f"ls /{SIZES}")
        return
    total = {kb: machine.number(SIZES, name, "nr_hugepages", otherwise=0) for kb, name in sizes.items()}
    free = {kb: machine.number(SIZES, name, "free_hugepages", otherwise=0) for kb, name in sizes.items()}
    yield hugepages(total, free)
    if any(total.values()):
        yield from on_each_node(machine, sizes)
        yield mounted(machine)
    yield locked(machine)


def hugepages(total: dict[int, int], free: dict[int, int]) -> Finding:
    smallest = min(total)
    wanted = f"echo {-(-ENOUGH_MB * 1024 // smallest)} > /{SIZES}/hugepages-{smallest}kB/nr_hugepages"
    mb = sum(kb * n for kb, n in free.items()) // 1024
    there = " and ".join(f"{n} of {size_text(kb)}" for kb, n in sorted(total.items()) if n)
    if not there:
        says = "none are set aside; the engine then uses ordinary memory (--no-huge), as demo and tests do"
        return warn("hugepages", says, mend=wanted)
    if mb < ENOUGH_MB:
        return warn("hugepages", f"{there}, but only {mb} MB of them are free", mend=wanted)
    return ok("hugepages", f"{there}, {mb} MB free")


def size_text(kb: int) -> str:
    return f"{kb >> 20} GB" if kb >= 1 << 20 else f"{kb >> 10} MB"


def on_each_node(machine: Machine, sizes: dict[int, str]) -> Iterator[Finding]:
    """Memory of a card's own node is nearer to it."""
    nodes = [name for name in machine.names(NODES) if re.fullmatch(r"node\d+", name)]
    if len(nodes) < 2:
        return
    for node in nodes:
        pages = {kb: machine.number(NODES, node, "hugepages", name, "nr_hugepages", otherwise=0) for kb, name in
                 sizes.items()}  # fmt: skip
        if not any(pages.values()):
            kb = min(sizes)
            mend = f"echo {-(-ENOUGH_MB * 1024 // kb)} > /{NODES}/{node}/hugepages/{sizes[kb]}/nr_hugepages"
            yield warn("hugepages-of-node", f"{node} has none: a NIC at it would use memory of another node", mend=mend)
        else:
            yield ok("hugepages-of-node", f"{node} has {sum(kb * n for kb, n in pages.items()) // 1024} MB")


def mounted(machine: Machine) -> Finding:
    places = re.findall(r"^\S+ (\S+) hugetlbfs ", machine.read("proc/mounts"), re.MULTILINE)
    if places:
        return ok("hugetlbfs", f"mounted at {', '.join(places)}")
    mend = "mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages"
    return warn("hugetlbfs", "hugepages are there, but no hugetlbfs is mounted for DPDK to find them", mend=mend)


def locked(machine: Machine) -> Finding:
    """Pages a NIC reads and writes stay where they are: they are locked."""
    found = re.search(r"^Max locked memory\s+(\S+)", machine.read("proc/self/limits"), re.MULTILINE)
    if not found:
        return unknown("memlock", "the limit of locked memory could not be read", mend="ulimit -l")
    may_always = int(machine.status("CapEff") or "0", 16) >> CAP_IPC_LOCK & 1
    if found[1] == "unlimited" or may_always:
        return ok("memlock", "no limit" if found[1] == "unlimited" else "no limit with CAP_IPC_LOCK")
    limit = int(found[1])
    if limit >= LOCKED_ENOUGH_BYTES:
        return ok("memlock", f"{limit >> 20} MB may be locked")
    says = f"only {limit >> 10} KB may be locked: a NIC's buffers do not fit"
    return warn("memlock", says, mend="ulimit -l unlimited (under systemd: LimitMEMLOCK=infinity)")
