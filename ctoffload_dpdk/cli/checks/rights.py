"""What this user may do, and on which cores."""

from __future__ import annotations

from collections.abc import Iterator

from ctoffload_dpdk.cli.checks.finding import Finding, ok, unknown, warn
from ctoffload_dpdk.cli.checks.machine import Machine, PciDevice

# linux/capability.h; what each is for.
NEEDED = {
    12: ("CAP_NET_ADMIN", "promiscuous mode and rules"),
    13: ("CAP_NET_RAW", "raw access to a NIC, af_packet"),
    14: ("CAP_IPC_LOCK", "memory that a NIC reads"),
}
NODES = "sys/devices/system/node"


def check_rights(machine: Machine) -> Iterator[Finding]:
    """Capabilities, as the kernel has them for this process."""
    text = machine.status("CapEff")
    if not text:
        yield unknown("capabilities", "what this process may do could not be read", mend="grep Cap /proc/self/status")
        return
    missing = [(name, use) for bit, (name, use) in NEEDED.items() if not int(text, 16) >> bit & 1]
    if not missing:
        yield ok("capabilities", f"{', '.join(name for name, _ in NEEDED.values())}")
        return
    says = "missing: " + ", ".join(f"{name} ({use})" for name, use in missing)
    names = " ".join(name for name, _ in NEEDED.values())
    mend = (
        f'sudo systemd-run --pty -p User=$USER -p "AmbientCapabilities={names}" -p LimitMEMLOCK=infinity ctoffload run'
    )
    yield warn("capabilities", says, mend=mend)


def check_nodes(machine: Machine, devices: list[PciDevice]) -> Iterator[Finding]:
    """Whether a card's own cores may be used."""
    allowed = cores(machine.status("Cpus_allowed_list"))
    for device in devices:
        if device.node < 0:
            continue
        near = cores(machine.read(NODES, f"node{device.node}", "cpulist"))
        if near and not near & allowed:
            mend = f"taskset -c {machine.read(NODES, f'node{device.node}', 'cpulist')} ctoffload run"
            says = f"it is at NUMA node {device.node}, and this process may use none of its cores"
            yield warn("numa", says, device.address, mend=mend)
        else:
            yield ok(
                "numa", f"at NUMA node {device.node}, {len(near & allowed)} cores of it may be used", device.address
            )


def cores(text: str) -> set[int]:
    """The numbers of "0-3,8"."""
    found: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found |= set(range(int(first), int(last or first) + 1))
    return found
