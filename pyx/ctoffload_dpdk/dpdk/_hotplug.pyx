"""Devices that come and go while DPDK runs."""

from ctoffload_dpdk.dpdk._check cimport check_eal
from ctoffload_dpdk.dpdk._eal cimport Eal
from ctoffload_dpdk.dpdk.librte_eal cimport rte_dev_probe, rte_eal_hotplug_add, rte_eal_hotplug_remove

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk._port import Port


def probe(Eal eal, str devargs):
    """Plugs a device in by its devargs; returns the ids of the ports that came with it."""
    cdef bytes text = devargs.encode()
    cdef const char *pointer = text
    cdef int rc
    before, mark = port_ids(eal), eal.log_mark()
    with nogil:
        rc = rte_dev_probe(pointer)
    check_eal(rc, "rte_dev_probe", f"refused {devargs!r}", said(eal, mark, rc))
    return sorted(port_ids(eal) - before)


def add_vdev(Eal eal, str name, str args):
    """Makes a virtual device; returns the ids of the ports that came with it."""
    cdef bytes name_text = name.encode()
    cdef bytes args_text = args.encode()
    cdef const char *name_pointer = name_text
    cdef const char *args_pointer = args_text
    cdef int rc
    before, mark = port_ids(eal), eal.log_mark()
    with nogil:
        rc = rte_eal_hotplug_add("vdev", name_pointer, args_pointer)
    check_eal(rc, "rte_eal_hotplug_add", f"refused {name!r}", said(eal, mark, rc))
    return sorted(port_ids(eal) - before)


def unplug(Eal eal, str bus, str device):
    """Removes a device whose ports are closed; UsageError where one is open."""
    cdef bytes bus_text = bus.encode()
    cdef bytes device_text = device.encode()
    cdef const char *bus_pointer = bus_text
    cdef const char *device_pointer = device_text
    cdef int rc
    eal.require_open()
    for port in eal.living(Port):
        if port.name == device or port.name.startswith(f"{device}_"):
            raise UsageError(f"{device} has an open port: {port!r}", hint="close it first, or call its remove()")
    mark = eal.log_mark()
    with nogil:
        rc = rte_eal_hotplug_remove(bus_pointer, device_pointer)
    check_eal(rc, "rte_eal_hotplug_remove", f"could not remove {device!r}", said(eal, mark, rc))


cdef set port_ids(Eal eal):
    return {port.id for port in eal.ports()}


cdef str said(Eal eal, object mark, int rc):
    """What DPDK logged as an error meanwhile; only asked for where the call failed."""
    return eal.log_errors(mark) if rc < 0 else ""
