"""DPDK's environment layer: started once per process, closed once, never again."""
import contextlib
import os
import sys
import threading

from libc.errno cimport EINVAL, EIO
from libc.stdint cimport uint16_t
from libc.stdio cimport fflush
from libc.stdlib cimport malloc
from libc.string cimport memcpy

from ctoffload_dpdk.dpdk._check cimport check_eal, last_error
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_eal cimport (
    RTE_IOVA_PA,
    RTE_IOVA_VA,
    RTE_MAX_ETHPORTS,
    RTE_VER_MONTH,
    RTE_VER_YEAR,
    dpdk_devargs_text,
    rte_bus_name,
    rte_dev_bus,
    rte_dev_devargs,
    rte_eal_cleanup,
    rte_eal_get_runtime_dir,
    rte_eal_has_hugepages,
    rte_eal_init,
    rte_eal_iova_mode,
    rte_errno,
    rte_thread_register,
    rte_thread_unregister,
    rte_version,
    rte_version_month,
    rte_version_year,
)
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    RTE_ETH_NAME_MAX_LEN,
    rte_eth_dev_get_name_by_port,
    rte_eth_dev_info,
    rte_eth_dev_info_get,
    rte_eth_find_next,
)
from ctoffload_dpdk.dpdk.librte_flow cimport rte_flow_dynf_metadata_register

from ctoffload_dpdk.base.errors import EalError, UsageError
from ctoffload_dpdk.dpdk import args as eal_arguments
from ctoffload_dpdk.dpdk.log import ERROR_LEVEL, Log, in_one_line
from ctoffload_dpdk.dpdk.types import PortAddress
from ctoffload_dpdk.dpdk.version import mismatch

cdef extern from "unistd.h" nogil:
    int close(int fd)
    int fork()
    void _exit(int status)

cdef extern from "sys/wait.h" nogil:
    int waitpid(int pid, int *status, int options)

# What became of the one start this process has; empty before it.
cdef str start_outcome = ""
start_lock = threading.Lock()


cdef class Eal(Owned):
    """DPDK, started in this process. Made by `Eal.start`; owns ports, mempools and devices.

    args: the EAL arguments; version: the library's ("DPDK 22.11.11"); log: what it logged, see `Log`.
    Methods name the DPDK call whose errors they raise as EalError. Once closed they raise ClosedError, and in a process
    that was forked EalError.
    """

    def __init__(self):
        raise UsageError("Eal is made by Eal.start(args)")

    @staticmethod
    def start(args, *, program="ctoffload", forward_log=True):
        """Starts DPDK with these arguments and returns the Eal.

        The calling thread keeps its CPU affinity. DPDK's log goes to `Eal.log` and, with forward_log, to Python's
        logging ("ctoffload.dpdk"). Raises EalError with what DPDK said: a start that failed cannot be repeated in the
        process, and there is no second start, not even after close. UsageError: arguments that are known to fail.
        Source: rte_eal_init().
        """
        return start(list(args), program, forward_log)

    def close(self):
        """Closes ports, then mempools and devices, then DPDK itself. What one of them raises is raised in the end.

        Source: rte_eal_cleanup().
        """
        from ctoffload_dpdk.dpdk._port import Port

        if self.is_closed:
            return
        error = self.close_children(Port)
        Owned.close(self)
        if error is not None:
            raise error

    cdef int release(self) except -1:
        global start_outcome
        cdef int rc
        start_outcome = "was started and closed before"
        with nogil:
            rc = rte_eal_cleanup()
        check_eal(rc, "rte_eal_cleanup")
        return 0

    cdef str label(self):
        return "EAL"

    cdef int require_open(self) except -1:
        if self.pid != os.getpid():
            raise EalError("EAL does not outlive a fork", hint="start worker processes with the method spawn")
        return Owned.require_open(self)

    cdef object log_mark(self):
        return self.log.n_lines

    cdef str log_errors(self, object mark):
        return self.log.errors_since(mark)

    @property
    def runtime_dir(self):
        """Directory of DPDK's sockets and files for this file prefix."""
        self.require_open()
        return rte_eal_get_runtime_dir().decode()

    @property
    def has_hugepages(self):
        """False where DPDK's memory is ordinary pages."""
        self.require_open()
        return rte_eal_has_hugepages() != 0

    @property
    def iova_mode(self):
        """"pa", "va" or "dc": how devices address memory."""
        self.require_open()
        mode = rte_eal_iova_mode()
        return "pa" if mode == RTE_IOVA_PA else "va" if mode == RTE_IOVA_VA else "dc"

    def ports(self):
        """Every port there is, opened or not, as PortAddress, in order of id."""
        self.require_open()
        return list_ports()

    def port(self, which):
        """Opens the port with this id, name ("net_ring0") or device arguments ("0000:03:00.0"). See `Port`.

        PortError ENODEV where there is none, UsageError where it is open already or device arguments name several.
        """
        from ctoffload_dpdk.dpdk._port import Port

        return Port.open(self, which)

    def mempool(self, n_mbufs, **options):
        """Makes a pool of packet buffers. See `Mempool.create`."""
        from ctoffload_dpdk.dpdk._mempool import Mempool

        return Mempool.create(self, n_mbufs, **options)

    def probe(self, devargs):
        """Plugs a device in: "0000:03:00.0,dv_flow_en=2", "net_tap0,iface=x". Returns the ids of its ports.

        Raises EalError with what DPDK logged. Source: rte_dev_probe().
        """
        from ctoffload_dpdk.dpdk import _hotplug

        return _hotplug.probe(self, devargs)

    def unplug(self, bus, device):
        """Removes a device from a bus ("pci", "vdev"). UsageError while a port of it is open.

        Source: rte_eal_hotplug_remove().
        """
        from ctoffload_dpdk.dpdk import _hotplug

        _hotplug.unplug(self, bus, device)

    def add_vdev(self, name, args=""):
        """Makes a virtual device ("net_ring7") and returns the ids of its ports. Source: rte_eal_hotplug_add()."""
        from ctoffload_dpdk.dpdk import _hotplug

        return _hotplug.add_vdev(self, name, args)

    def remove_vdev(self, name):
        """Removes a virtual device. UsageError while a port of it is open."""
        from ctoffload_dpdk.dpdk import _hotplug

        _hotplug.unplug(self, "vdev", name)

    def on_event(self, event, callback, *, thread=True):
        """As Port.on_event, for every port there is or will be: Event.NEW, Event.DESTROY."""
        from ctoffload_dpdk.dpdk._events import subscribe

        return subscribe(self, -1, event, callback, thread)

    def on_telemetry(self, path, function, help_text):
        """Answers a command on DPDK's telemetry socket. See `_telemetry.register_command`."""
        from ctoffload_dpdk.dpdk._telemetry import register_command

        register_command(self, path, function, help_text)

    def register_meta(self):
        """Makes room for META in packet buffers, so that ports started from now on hand it to the host. Once is enough.

        Source: rte_flow_dynf_metadata_register().
        """
        self.require_open()
        check_eal(0 if rte_flow_dynf_metadata_register() >= 0 else last_error(), "rte_flow_dynf_metadata_register")

    def register_thread(self):
        """Gives the calling thread an lcore id, so that it may use mempool caches. Pair with unregister_thread.

        From the first time on no secondary process can attach. Source: rte_thread_register().
        """
        self.require_open()
        cdef int rc
        with nogil:
            rc = rte_thread_register()
        check_eal(rc if rc >= 0 else last_error(), "rte_thread_register")

    def unregister_thread(self):
        """Gives the calling thread's lcore id back. Source: rte_thread_unregister()."""
        self.require_open()
        with nogil:
            rte_thread_unregister()

    @contextlib.contextmanager
    def thread(self):
        """`with eal.thread():` registers the calling thread and unregisters it in the end."""
        self.register_thread()
        try:
            yield self
        finally:
            self.unregister_thread()


cdef Eal start(list args, str program, bint forward_log):
    """Starts DPDK once; every later call raises."""
    global start_outcome
    cdef tuple running = (rte_version_year(), rte_version_month())
    eal_arguments.preflight(args, running)
    with start_lock:
        if start_outcome:
            raise EalError(f"EAL {start_outcome} in this process", op="rte_eal_init",
                           hint="EAL starts once per process, also after it failed or was closed; start a new process")
        if reason := mismatch((RTE_VER_YEAR, RTE_VER_MONTH), running):
            raise EalError(f"EAL was not started: {reason}", hint="build again against the installed DPDK")
        start_outcome = "failed to start before"
        log = Log(forward_log)
        looks_first = running >= eal_arguments.EXIT_ON_WRONG_OPTION
        rc, number = initialize([program, *args], log, looks_first)
        if rc < 0:
            raise_failure(log, number)
        start_outcome = "was started before"
    return running_eal(tuple(args), log)


cdef Eal running_eal(tuple args, log):
    cdef Eal eal = Eal.__new__(Eal)
    eal.args = args
    eal.version = rte_version().decode()
    eal.log = log
    eal.pid = os.getpid()
    eal.owned_by(None)
    return eal


cdef initialize(list argv, log, bint looks_first):
    """rte_eal_init with an argv of its own, on this thread, whose affinity is put back. Returns rc, rte_errno.

    looks_first: whether a child process tries the options beforehand.
    """
    cdef int argc = len(argv)
    cdef char **copy = private_argv(argv)
    cdef char **asking = private_argv([argv[0], "--help", *argv[1:]])
    cdef int rc = -1
    cdef int number = EINVAL
    affinity = os.sched_getaffinity(0)
    with Printed() as printed:
        try:
            with nogil:
                if not looks_first or takes_options(argc + 1, asking):
                    rc = rte_eal_init(argc, copy)
                    number = rte_errno
        finally:
            os.sched_setaffinity(0, affinity)
    if rc < 0:
        # getopt complains on stderr, past the log.
        log.note(printed.stderr, level=4)
    else:
        printed.replay()
    return rc, number


cdef bint takes_options(int argc, char **argv) noexcept nogil:
    """Whether EAL takes these options: with --help among them it reads them all, then ends its process, with 0 if so.

    What it says of a wrong one comes by the log, which the child shares.
    """
    cdef int status = 0
    cdef int child = fork()
    if child == 0:
        close(1)
        close(2)
        rte_eal_init(argc, argv)
        _exit(0)
    return child < 0 or waitpid(child, &status, 0) != child or status == 0


cdef char **private_argv(list argv) except NULL:
    """A copy that is never freed: DPDK keeps pointers into it and changes their order."""
    cdef char **copy = <char **> malloc((len(argv) + 1) * sizeof(char *))
    cdef bytes encoded
    cdef Py_ssize_t i
    if copy == NULL:
        raise MemoryError
    for i, arg in enumerate(argv):
        encoded = os.fsencode(arg)
        copy[i] = <char *> malloc(len(encoded) + 1)
        if copy[i] == NULL:
            raise MemoryError
        memcpy(copy[i], <const char *> encoded, len(encoded) + 1)
    copy[len(argv)] = NULL
    return copy


cdef int raise_failure(log, int number) except -1:
    """EalError in DPDK's own words: its error lines."""
    lines = [line.text for line in log.lines if line.level <= ERROR_LEVEL]
    return check_eal(-number if number > 0 else -EIO, "rte_eal_init", "failed", in_one_line(lines))


class Printed:
    """Catches what is printed to the process's stdout and stderr while EAL starts: usage and getopt go past the log."""

    def __enter__(self):
        sys.stdout.flush()
        sys.stderr.flush()
        fflush(NULL)
        self._saved = [(fd, os.dup(fd), os.memfd_create("eal")) for fd in (1, 2)]
        for fd, _, memory in self._saved:
            os.dup2(memory, fd)
        return self

    def __exit__(self, *exc_info):
        fflush(NULL)
        texts = []
        for fd, saved, memory in self._saved:
            os.dup2(saved, fd)
            os.close(saved)
            texts.append(os.pread(memory, os.fstat(memory).st_size, 0))
            os.close(memory)
        self.stdout_bytes, self.stderr_bytes = texts

    @property
    def stderr(self):
        return self.stderr_bytes.decode("utf-8", "replace")

    def replay(self):
        os.write(1, self.stdout_bytes)
        os.write(2, self.stderr_bytes)


cdef list list_ports():
    cdef uint16_t port_id = rte_eth_find_next(0)
    found = []
    while port_id < RTE_MAX_ETHPORTS:
        found.append(port_address(port_id))
        port_id = rte_eth_find_next(port_id + 1)
    return found


cdef object port_address(uint16_t port_id):
    cdef char name[RTE_ETH_NAME_MAX_LEN]
    cdef rte_eth_dev_info info
    cdef const char *devargs = NULL
    cdef const char *driver = NULL
    cdef const char *bus = NULL
    name[0] = 0
    rte_eth_dev_get_name_by_port(port_id, name)
    if rte_eth_dev_info_get(port_id, &info) == 0:
        driver = info.driver_name
        if info.device != NULL:
            bus = rte_bus_name(rte_dev_bus(info.device))
            devargs = dpdk_devargs_text(rte_dev_devargs(info.device))
    return PortAddress(
        port_id, name.decode(), text_or_empty(driver), text_or_empty(bus), text_or_empty(devargs)
    )


cdef str text_or_empty(const char *text):
    return "" if text == NULL else text.decode("utf-8", "replace")
