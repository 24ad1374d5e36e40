"""What to do next, by what DPDK refused: sentences only, no calls."""

from __future__ import annotations

import errno
import os

# Found in DPDK's own log lines; the first that matches wins.
_EAL_HINTS = (
    ("not compatible with --in-memory", "use either --no-huge or --in-memory; --no-huge alone needs no hugepages"),
    ("is world-writable and insecure", "DPDK loads drivers only from directories that nobody else can write to"),
    ("cannot create lock", "another DPDK process uses this file prefix; give --file-prefix, or --no-shconf"),
    ("path too long", "choose a shorter RUNTIME_DIRECTORY: DPDK's socket below it has 107 bytes for its path"),
    ("permission denied", "run as root, or without hugepages and devices: --no-huge --no-pci"),
    ("operation not permitted", "run as root, or without hugepages and devices: --no-huge --no-pci"),
    ("free hugepages", "reserve hugepages (echo 512 > /proc/sys/vm/nr_hugepages), or use --no-huge"),
    ("no mounted hugetlbfs", "mount hugetlbfs, use --in-memory, or --no-huge where no hugepages are to be had"),
    ("cannot get hugepage information", "reserve hugepages, or use --no-huge"),
    ("not enough memory available", "give less memory with -m, or reserve more hugepages"),
    ("cannot allocate memory", "give less memory with -m, or free some"),
    ("memseg list: invalid argument", "give less memory with -m"),
    ("failed to parse device", "give the name of a driver that is installed: net_null0, net_ring0, or a PCI address"),
    ("no such device", "give the name of a driver that is installed: net_null0, net_ring0, net_tap0, or a PCI address"),
    ("failed to find", "give the name of a driver that is installed: net_null0, net_ring0, net_tap0, or a PCI address"),
    ("cannot plug", "give the name of a driver that is installed, and arguments that it knows"),
    ("invalid 'command line'", "EAL's options are listed by: dpdk-testpmd --help"),
    ("unrecognized option", "EAL's options are listed by: dpdk-testpmd --help"),
    ("unknown argument", "EAL's options are listed by: dpdk-testpmd --help"),
    ("cannot open shared object", "-d wants the path of a driver that exists (librte_net_x.so)"),
    ("invalid memory size", "-m takes MiB, a whole number"),
)

_ONCE = "EAL starts once per process, also after it failed or was closed; start a new process"

_FLOW_HINTS = {
    errno.ENOSYS: "this port's driver has no rte_flow; see: ctoffload capabilities",
    errno.ENOTSUP: "this port's driver cannot do that; see: ctoffload capabilities",
    errno.ENODEV: "start the port before making rules",
    errno.ENOSPC: "the NIC's table is full; remove rules first",
    errno.ENOMEM: "the NIC or DPDK's heap has no room left; remove rules or start EAL with more memory",
    errno.EEXIST: "a rule with this pattern exists already",
    errno.EBUSY: "stop the port, or remove what uses the object, first",
    errno.EAGAIN: "try again: after one refresh period for a counter, with the port running for a shared object",
    errno.EACCES: "only the port that made this object may change it",
}

_PORT_HINTS = {
    errno.ENOMEM: "start EAL with more memory (-m MiB), or use fewer or smaller buffers",
    errno.EBUSY: "stop the port first",
    errno.ENODEV: "the port has gone or its driver is not installed",
    errno.ENOTSUP: "the driver of this port does not offer it",
    errno.EEXIST: "choose another name, or remove the device that has it",
}


def eal_hint(log: str, number: int) -> str:
    """The next step after EAL refused, from what it logged."""
    if number == errno.EACCES and os.geteuid() != 0:
        return "run as root, or without hugepages and devices: --no-huge --no-pci"
    lowered = log.lower()
    for pattern, hint in _EAL_HINTS:
        if pattern in lowered:
            return hint
    return _ONCE if number == errno.EALREADY else "DPDK's log says more: start again with --log-level=lib.eal:debug"


def flow_hint(number: int) -> str:
    """The next step after an rte_flow call failed with this errno."""
    return _FLOW_HINTS.get(number, "")


def port_hint(number: int) -> str:
    """The next step after an ethdev call failed with this errno."""
    return _PORT_HINTS.get(number, "")
