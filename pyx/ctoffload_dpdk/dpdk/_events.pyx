"""What drivers report by themselves, handed to Python.

A driver reports on a thread of its own, perhaps under a lock of its own. There the report is only counted; Python's
callbacks run on a thread of this module, or where `Subscription.deliver` is called, and may call anything.
"""
import os
import threading
import weakref

from cpython.exc cimport PyErr_SetObject, PyErr_WriteUnraisable
from libc.errno cimport EAGAIN
from libc.stdint cimport uint16_t, uint64_t
from libc.stdlib cimport calloc, free

from ctoffload_dpdk.dpdk._check cimport check_port
from ctoffload_dpdk.dpdk._owned cimport Owned
from ctoffload_dpdk.dpdk.librte_ethdev cimport (
    RTE_ETH_ALL,
    RTE_MAX_ETHPORTS,
    rte_eth_dev_callback_register,
    rte_eth_dev_callback_unregister,
    rte_eth_event_type,
)

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk.types import Event


cdef extern from *:
    """
    #include <sched.h>
    #include <stdint.h>
    #include <sys/eventfd.h>
    static inline void reports_add(uint64_t *n) { __atomic_fetch_add(n, 1, __ATOMIC_ACQ_REL); }
    static inline uint64_t reports_take(uint64_t *n) { return __atomic_exchange_n(n, 0, __ATOMIC_ACQ_REL); }
    static inline uint64_t reports_count(uint64_t *n) { return __atomic_load_n(n, __ATOMIC_ACQUIRE); }
    """
    void reports_add(uint64_t *n) nogil
    uint64_t reports_take(uint64_t *n) nogil
    uint64_t reports_count(uint64_t *n) nogil
    int eventfd(unsigned int initial, int flags) nogil
    int eventfd_write(int fd, uint64_t value) nogil
    int sched_yield() nogil

# Wakes the delivering thread; -1 until it runs.
cdef int wake_fd = -1
subscriptions = weakref.WeakSet()
thread_lock = threading.Lock()


cdef int on_event(uint16_t port_id, rte_eth_event_type event, void *arg, void *ret_param) noexcept nogil:
    """Runs on the driver's thread: counts the report and wakes ours. Takes no lock and no GIL."""
    cdef Reports *reports = <Reports *> arg
    if port_id < RTE_MAX_ETHPORTS:
        reports_add(&reports.pending[port_id])
    if wake_fd >= 0:
        eventfd_write(wake_fd, 1)
    return 0


cdef class Subscription(Owned):
    """One callback for one event. Made by `Port.on_event` or `Eal.on_event`; after close() it is not called again."""

    def __init__(self):
        raise UsageError("Subscription is made by Port.on_event(event, callback)")

    def __dealloc__(self):
        free(self.reports)

    cdef str label(self):
        return f"subscription to {self.event.name}"

    cdef uint64_t take(self, int port_id) noexcept nogil:
        return reports_take(&self.reports.pending[port_id])

    @property
    def n_pending(self):
        """Reports that were not delivered yet."""
        return sum(reports_count(&self.reports.pending[i]) for i in range(RTE_MAX_ETHPORTS))

    def deliver(self):
        """Calls the callback on this thread, once per pending report; returns how often. What it raises goes to
        sys.unraisablehook, and the next report is delivered all the same.
        """
        cdef uint64_t n
        cdef int port_id
        cdef uint64_t before = self.n_delivered
        for port_id in range(RTE_MAX_ETHPORTS):
            n = 0 if self.is_closed else self.take(port_id)
            while n and not self.is_closed:
                n -= 1
                self.n_delivered += 1
                call(self, port_id)
        return self.n_delivered - before

    cdef int release(self) except -1:
        cdef int rc = -EAGAIN
        # A driver may be inside on_event right now; that ends by itself, within a few instructions.
        with nogil:
            while rc == -EAGAIN:
                rc = rte_eth_dev_callback_unregister(self.port_id, self.event_c, on_event, self.reports)
                if rc == -EAGAIN:
                    sched_yield()
        return check_port(rc, "rte_eth_dev_callback_unregister", (<Owned> self.owner).label())


def subscribe(Owned owner, int port_id, event, callback, bint thread):
    """callback(port id, event) for this event of a port, or of every port where port_id is -1."""
    cdef Subscription made = Subscription.__new__(Subscription)
    cdef int rc
    owner.require_open()
    if not callable(callback):
        raise UsageError(f"{callback!r} cannot be called", hint="give a function of (port_id, event)")
    made.event = Event(event)
    made.event_c = <rte_eth_event_type> <int> made.event
    made.port_id = RTE_ETH_ALL if port_id < 0 else port_id
    made.callback = callback
    made.reports = <Reports *> calloc(1, sizeof(Reports))
    if made.reports == NULL:
        raise MemoryError
    if thread:
        start_thread()
        subscriptions.add(made)
    with nogil:
        rc = rte_eth_dev_callback_register(made.port_id, made.event_c, on_event, made.reports)
    check_port(rc, "rte_eth_dev_callback_register", owner.label())
    made.owned_by(owner)
    return made


cdef void call(Subscription subscription, int port_id) noexcept:
    try:
        subscription.callback(port_id, subscription.event)
    except BaseException as error:
        PyErr_SetObject(type(error), error)
        PyErr_WriteUnraisable(subscription.callback)


cdef int start_thread() except -1:
    global wake_fd
    with thread_lock:
        if wake_fd < 0:
            wake_fd = eventfd(0, 0)
            threading.Thread(target=deliver_for_ever, args=(wake_fd,), name="dpdk-events", daemon=True).start()
    return 0


def deliver_for_ever(fd):
    """The delivering thread: sleeps until a driver reports."""
    while os.read(fd, 8):
        for subscription in list(subscriptions):
            subscription.deliver()
