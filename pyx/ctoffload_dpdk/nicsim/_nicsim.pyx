"""The wire side, the clock and the books of an emulated NIC. Loads the driver on demand and links nothing of DPDK."""

import errno as _errno
import os
from pathlib import Path

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.dlfcn cimport RTLD_LOCAL, RTLD_NOW, dlerror, dlopen, dlsym

from ctoffload_dpdk.nicsim.libnicsim cimport (
    NICSIM_CLOCK_MAX_MS,
    NICSIM_CTL_VERSION,
    NICSIM_FAULT_EVERY,
    NICSIM_FAULT_NEXT,
    NICSIM_FAULT_RANDOM,
    NICSIM_LIE_GARBAGE,
    NICSIM_LIE_GIVEN,
    NICSIM_LIE_STALE,
    nicsim_answer,
    nicsim_audit,
    nicsim_books,
    nicsim_call,
    nicsim_counters,
    nicsim_ctl,
    nicsim_ctl_get_function,
    nicsim_fault_info,
    nicsim_fault_plan,
    nicsim_flow_audit,
    nicsim_lie,
    nicsim_port,
    nicsim_queue_info,
    nicsim_room_info,
    nicsim_rule_info,
    nicsim_table_info,
    nicsim_versions_function,
)

from ctoffload_dpdk.base.errors import ClosedError, UsageError, check
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.nicsim.types import (
    DROPS,
    RULE_DTYPE,
    Answer,
    Audit,
    Books,
    Call,
    Counters,
    FlowAudit,
    NicsimError,
    QueueAudit,
    Room,
    TableAudit,
)

cdef enum:
    MOST_QUEUES = 64    # of a port: NICSIM_MAX_FLOW_QUEUES

cdef const nicsim_ctl *loaded = NULL

DRIVER = "librte_net_nicsim.so"


def driver_path():
    """Path of the driver, a shared library that any DPDK process of its version can load. Raises NicsimError if not built."""
    path = Path(__file__).parent / DRIVER
    if not path.is_file():
        raise NicsimError(
            f"the emulated NIC's driver is not built: there is no {path}",
            hint="its build needs DPDK's driver headers: in the source tree, make build fetches them; "
            "for a package, build it from its source archive again where Debian's source packages can be reached, "
            "or with DPDK_SOURCE=dir",
        )
    return path


def load():
    """Loads the driver into this process, before or after EAL started. Does nothing the second time.

    Raises NicsimError where it is not built, cannot be loaded, or was built for another DPDK than this process runs.
    """
    global loaded
    cdef bytes path
    cdef void *handle
    cdef const char *why
    if loaded != NULL:
        return
    path = os.fsencode(driver_path())
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)
    if handle == NULL:
        why = dlerror()
        raise NicsimError(
            f"the emulated NIC's driver cannot be loaded: {why.decode(errors='replace')}",
            hint="it was built for another DPDK: build again against the installed one",
        )
    loaded = controls_of(handle)


cdef const nicsim_ctl *controls_of(void *handle) except NULL:
    cdef nicsim_ctl_get_function *get = <nicsim_ctl_get_function *> dlsym(handle, "nicsim_ctl_get")
    cdef nicsim_versions_function *versions = <nicsim_versions_function *> dlsym(handle, "nicsim_versions")
    cdef const char *built_for = NULL
    cdef const char *running = NULL
    cdef const nicsim_ctl *found
    if get == NULL or versions == NULL:
        raise NicsimError(f"{driver_path()} is not the emulated NIC's driver", hint="build it again (make build)")
    versions(&built_for, &running)
    found = get(NICSIM_CTL_VERSION)
    if found == NULL:
        raise NicsimError(
            f"the emulated NIC's driver was built for {built_for.decode()}, this process runs {running.decode()}",
            hint="build it again against the DPDK that runs: make build, or pip install of the source archive",
        )
    return found


cdef const nicsim_ctl *controls() noexcept nogil:
    return loaded


cdef class Nic:
    """One port of an emulated NIC, seen from its wire.

    Made by `Nic.create`, or from the number of a port that exists. Valid until close(); once the port is removed, its
    counters and books can still be read and what changes it raises NicsimError (ENODEV). After close() methods raise
    ClosedError.
    """

    def __init__(self, int port_id, *, uint64_t keep_bytes=256 << 20):
        """port_id: ethdev's number; keep_bytes: how much of what leaves by the wire is kept for wire_receive().

        Raises UsageError for what is no number of a port, NicsimError ENODEV for a port that is not emulated.
        """
        load()
        if not 0 <= port_id <= 0xFFFF:
            raise UsageError(f"Nic: {port_id} is no port number")
        self.ctl = loaded
        self.port_id = port_id
        rc = self.ctl.open(self.port_id, &self.port)
        self.check(rc, "open")
        self.check(self.ctl.wire_keep(self.port, keep_bytes), "wire_keep")

    @classmethod
    def create(cls, eal, name="net_nicsim0", **parameters):
        """Plugs a port in and returns its Nic.

        parameters: the driver's, such as capacity=1000, switch=1, clock="manual"; a wrong one raises EalError with the list
        of what is allowed. Raises NicsimError for a name whose port is gone while the device is still plugged in.
        """
        load()
        args = ",".join(f"{key}={int(value) if isinstance(value, bool) else value}" for key, value in parameters.items())
        ports = eal.add_vdev(name, args)
        if not ports:
            # DPDK takes a device that is there already for plugged in, with the arguments it has
            raise NicsimError(f"{name} is plugged in already, and its port was closed or lost", errno=_errno.EEXIST,
                              hint=f"take it out first: eal.remove_vdev({name!r})")
        return cls(ports[0])

    def __dealloc__(self):
        if self.port != NULL:
            self.ctl.close(self.port)
            self.port = NULL

    def close(self):
        """Gives the reference back; the port itself stays. A second time does nothing."""
        if self.port != NULL:
            self.ctl.close(self.port)
            self.port = NULL

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        return f"<Nic port {self.port_id}{' closed' if self.port == NULL else ''}>"

    cdef int require_open(self) except -1:
        if self.port == NULL:
            raise ClosedError(f"the Nic of port {self.port_id} was closed")
        return 0

    cdef int check(self, int rc, str op) except -1:
        if rc < 0:
            what = "" if rc != -_errno.ENODEV else "found no emulated NIC there"
            check(rc, op, what=what, port=f"port {self.port_id}", error=NicsimError)
        return 0

    def wire_send(self, packets):
        """Packets arrive on the wire; on return each was forwarded, dropped, or lies in a queue of the host.

        Raises UsageError for what is no Packets.
        """
        self.require_open()
        if not isinstance(packets, Packets):
            raise UsageError(f"wire_send: {type(packets).__name__} is no Packets", hint="Packets.of() for byte strings")
        cdef const uint8_t[::1] data = np.ascontiguousarray(packets.data)
        cdef const uint64_t[::1] offset = np.ascontiguousarray(packets.offset, np.uint64)
        cdef const uint32_t[::1] length = np.ascontiguousarray(packets.length, np.uint32)
        cdef uint32_t n = offset.shape[0]
        cdef int rc
        if n == 0:
            return
        if data.shape[0] == 0:
            data = np.zeros(1, np.uint8)    # packets of no byte arrive too
        with nogil:
            rc = self.ctl.wire_send(self.port, &data[0], &offset[0], &length[0], n)
        self.check(rc, "wire_send")

    def wire_receive(self):
        """Takes what left by the wire since the last call, oldest first, as Packets; time_ns is the NIC's clock.

        Raises UsageError where the wire leads to another port.
        """
        self.require_open()
        cdef uint64_t n_packets = 0
        cdef uint64_t n_bytes = 0
        cdef int64_t n
        cdef int rc = self.ctl.wire_pending(self.port, &n_packets, &n_bytes)
        if rc == -_errno.EOPNOTSUPP:
            raise UsageError(f"the wire of port {self.port_id} leads to another port; what leaves by it is received there")
        self.check(rc, "wire_receive")
        if n_packets == 0:
            return Packets.of([])
        data = np.empty(max(n_bytes, 1), np.uint8)
        offset, length = np.empty(n_packets, np.uint64), np.empty(n_packets, np.uint32)
        time_ms = np.empty(n_packets, np.int64)
        cdef uint8_t[::1] data_view = data
        cdef uint64_t[::1] offset_view = offset
        cdef uint32_t[::1] length_view = length
        cdef int64_t[::1] time_view = time_ms
        with nogil:
            n = self.ctl.wire_receive(self.port, &data_view[0], n_bytes, &offset_view[0], &length_view[0],
                                      &time_view[0], n_packets)
        return Packets(data, offset[:n], length[:n], time_ms[:n] * 1_000_000)

    def wire_poll(self):
        """Takes what has come from the far end of the wire (wire=ring:... or port:...) and runs it through the NIC.

        Returns how many packets; a receive burst of the host does the same. Nothing to do where Python is the far end.
        """
        self.require_open()
        cdef int64_t n
        with nogil:
            n = self.ctl.wire_poll(self.port)
        self.check(n if n < 0 else 0, "wire_poll")
        return n

    def counters(self):
        """What passed since the port was made, and where it went. See `Counters`."""
        self.require_open()
        cdef nicsim_counters c
        self.check(self.ctl.counters(self.port, &c), "counters")
        return Counters(
            wire_in=c.wire_in,
            nic_forwarded=c.nic_forwarded,
            nic_received=c.nic_received,
            nic_dropped={name: c.nic_dropped[i] for i, name in enumerate(DROPS)},
            host_rx=c.host_rx,
            host_pending=c.host_pending,
            host_tx=c.host_tx,
            wire_out=c.wire_out,
            wire_out_dropped=c.wire_out_dropped,
            host_switched=c.host_switched,
            hairpinned=c.hairpinned,
        )

    def audit(self):
        """The books of rules and indirect objects. See `Audit`."""
        self.require_open()
        cdef nicsim_audit a
        self.check(self.ctl.audit(self.port, &a), "audit")
        return Audit(books_of(&a.rules), books_of(&a.objects), a.bytes_per_rule, a.aged)

    def flow_audit(self):
        """What rules go through: sizes, templates, tables and flow queues. See `FlowAudit`."""
        self.require_open()
        cdef nicsim_flow_audit a
        self.check(self.ctl.flow_audit(self.port, &a), "flow_audit")
        return FlowAudit(
            is_configured=a.is_configured != 0,
            is_strict=a.is_strict != 0,
            counters=room_of(&a.counters),
            ages=room_of(&a.ages),
            contexts=room_of(&a.contexts),
            pattern_templates=a.pattern_templates,
            actions_templates=a.actions_templates,
            tables=self.tables(),
            queues=self.flow_queues(),
        )

    cdef tuple tables(self):
        cdef nicsim_table_info *info
        cdef uint8_t[::1] view
        cdef int64_t n = self.ctl.tables(self.port, NULL, 0)
        view = np.zeros(max(n, 1) * sizeof(nicsim_table_info), np.uint8)
        info = <nicsim_table_info *> &view[0]
        n = min(n, self.ctl.tables(self.port, info, n))
        found = []
        for i in range(n):
            domain = "transfer" if info[i].transfer else "egress" if info[i].egress else "ingress"
            found.append(TableAudit(info[i].number, domain, info[i].group, info[i].priority, info[i].room,
                                    info[i].n_rules, info[i].n_patterns, info[i].n_actions))
        return tuple(found)

    cdef tuple flow_queues(self):
        cdef nicsim_queue_info info[MOST_QUEUES]
        cdef int64_t n = self.ctl.flow_queues(self.port, info, MOST_QUEUES)
        found = []
        for i in range(n):
            found.append(QueueAudit(info[i].size, info[i].is_stalled != 0, info[i].enqueued, info[i].waiting,
                                    info[i].executed, info[i].failed, info[i].results, info[i].told, info[i].dropped,
                                    info[i].cancelled))
        return tuple(found)

    def stall_queue(self, uint32_t queue=0, bint on=True):
        """A stalled flow queue takes operations and executes none; on=False lets it go on.

        Raises UsageError where there is no such queue.
        """
        self.require_open()
        cdef int rc = self.ctl.queue_stall(self.port, queue, on)
        self.check_queue(rc, queue, "stall_queue")

    def drop_results(self, uint32_t n=1, uint32_t queue=0):
        """The next n operations of a flow queue are executed, but their results never come; their places stay taken.

        Raises UsageError where there is no such queue.
        """
        self.require_open()
        cdef int rc = self.ctl.queue_drop(self.port, queue, n)
        self.check_queue(rc, queue, "drop_results")

    cdef int check_queue(self, int rc, uint32_t queue, str op) except -1:
        if rc == -_errno.EINVAL:
            raise UsageError(f"port {self.port_id} has no flow queue {queue}", hint="configure_flow(FlowSizes(...)) first")
        return self.check(rc, op)

    def delay_results(self, uint32_t ms):
        """What is pushed from now on is executed so many milliseconds later, by the NIC's clock."""
        self.require_open()
        self.check(self.ctl.completion_delay(self.port, ms), "delay_results")

    def rules(self):
        """Every live rule of the port as a structured array of RULE_DTYPE: what it matches, does, counted, and its age."""
        self.require_open()
        cdef uint8_t[::1] view
        cdef nicsim_rule_info *info
        cdef uint64_t room = 0
        cdef int64_t n
        with nogil:
            n = self.ctl.rules(self.port, NULL, 0)
        while n > <int64_t> room:
            room = n
            found = np.zeros(room, RULE_DTYPE)
            view = found.view(np.uint8)
            info = <nicsim_rule_info *> &view[0]
            with nogil:
                n = self.ctl.rules(self.port, info, room)
        self.check(n if n < 0 else 0, "rules")
        return found[:n] if room else np.zeros(0, RULE_DTYPE)

    cdef int plan(self, object call, uint32_t when, uint32_t n, int error, uint64_t seed, str op) except -1:
        self.require_open()
        cdef nicsim_fault_plan plan
        plan.when, plan.n, plan.error, plan.seed = when, n, error, seed
        return self.check(self.ctl.fail(self.port, call_number(call), &plan), op)

    def fail_next(self, call, uint32_t n=1, int error=_errno.EIO):
        """The next n calls of this kind fail with that errno; n = 0 takes it back. See `Call` for the kinds.

        A call has one plan of this, fail_every() and fail_randomly(): the last one given. Raises UsageError for what is
        no Call, as all do that take one.
        """
        self.plan(call, NICSIM_FAULT_NEXT, n, error, 0, "fail_next")

    def fail_every(self, call, uint32_t nth, int error=_errno.EIO):
        """Each nth call of this kind fails, counted from now; fail_next(call, 0) takes it back."""
        self.plan(call, NICSIM_FAULT_EVERY, nth, error, 0, "fail_every")

    def fail_randomly(self, call, double probability, int error=_errno.EIO, *, uint64_t seed=1):
        """Calls of this kind fail with this probability, 0 to 1, the same ones for the same seed; fail_next(call, 0) ends it."""
        if not 0 <= probability <= 1:
            raise UsageError(f"fail_randomly: {probability} is no probability", hint="give one from 0 to 1")
        self.plan(call, NICSIM_FAULT_RANDOM, <uint32_t> (probability * 1e6), error, seed, "fail_randomly")

    def slow_down(self, call, int ms, uint32_t n=1):
        """The next n calls of this kind take so many milliseconds of real time; n = 0 takes it back.

        The caller waits, the rest of the NIC goes on. It can be combined with a plan to fail. ms: 0 to 600000, else
        UsageError.
        """
        self.require_open()
        if not 0 <= ms <= 600_000:
            raise UsageError(f"slow_down: a call cannot take {ms} ms", hint="give 0 to 600000")
        self.check(self.ctl.slow(self.port, call_number(call), n, ms), "slow_down")

    cdef nicsim_fault_info fault_info(self, object call) except *:
        self.require_open()
        cdef nicsim_fault_info info
        self.check(self.ctl.fault_info(self.port, call_number(call), &info), "fault_info")
        return info

    def fail_left(self, call):
        """How many of the calls that are to fail next were not made yet."""
        return self.fault_info(call).left

    def failed(self, call):
        """How many calls failed as told since the plan of this kind was made."""
        return self.fault_info(call).failed

    def slow_left(self, call):
        """How many of the calls that are to be slow were not made yet."""
        return self.fault_info(call).slow_left

    def clear_faults(self):
        """Takes back every fault: no call is to fail or to be slow, no answer to be wrong."""
        for call in Call:
            self.fail_next(call, 0)
            self.slow_down(call, 0, 0)
        for answer in Answer:
            self.answer_stale(answer, 0)
        for queue in range(len(self.flow_queues())):
            self.stall_queue(queue, False)
            self.drop_results(0, queue)

    cdef int tell(self, object answer, nicsim_lie *lie, str op) except -1:
        self.require_open()
        return self.check(self.ctl.lie(self.port, answer_number(answer), lie), op)

    def answer_count(self, uint64_t packets, uint64_t bytes, uint32_t n=1):
        """The next n queries of a COUNT are answered with these numbers, whatever the rule or object counted."""
        cdef nicsim_lie lie
        memset(&lie, 0, sizeof(lie))
        lie.kind, lie.n, lie.packets, lie.bytes = NICSIM_LIE_GIVEN, n, packets, bytes
        self.tell(Answer.COUNT, &lie, "answer_count")

    def answer_age(self, uint32_t idle_s, bint is_aged=False, uint32_t n=1):
        """The next n queries of an AGE are answered with this idle time in seconds, 0 to 16777215."""
        cdef nicsim_lie lie
        if idle_s > 0xFFFFFF:
            raise UsageError(f"answer_age: {idle_s} s do not fit into an answer", hint="give 0 to 16777215")
        memset(&lie, 0, sizeof(lie))
        lie.kind, lie.n, lie.idle_s, lie.is_aged = NICSIM_LIE_GIVEN, n, idle_s, is_aged
        self.tell(Answer.AGE, &lie, "answer_age")

    def answer_stale(self, answer, uint32_t n=1):
        """Of the next n queries of this kind the first is answered with the truth, the others with the same again."""
        cdef nicsim_lie lie
        memset(&lie, 0, sizeof(lie))
        lie.kind, lie.n = NICSIM_LIE_STALE, n
        self.tell(answer, &lie, "answer_stale")

    def answer_garbage(self, answer, uint32_t n=1, *, uint64_t seed=1):
        """The next n queries of this kind are answered with random bytes, the same ones for the same seed."""
        cdef nicsim_lie lie
        memset(&lie, 0, sizeof(lie))
        lie.kind, lie.n, lie.seed = NICSIM_LIE_GARBAGE, n, seed
        self.tell(answer, &lie, "answer_garbage")

    def demand_reset(self):
        """The port fails: its rules and indirect actions are lost, nothing passes. The host gets the event RESET.

        It can be neither configured nor started until the host has reset it.
        """
        self.require_open()
        cdef int rc
        with nogil:
            rc = self.ctl.demand_reset(self.port)
        self.check(rc, "demand_reset")

    def unplug(self):
        """Pulls the device out: its rules and indirect actions are lost, what the host asks of it fails.

        The host gets the event REMOVED and has to close the port; a new one may then have the same name.
        """
        self.require_open()
        cdef int rc
        with nogil:
            rc = self.ctl.unplug(self.port)
        self.check(rc, "unplug")

    def set_link(self, bint up):
        """Plugs the cable in or pulls it; the host gets a link event."""
        self.require_open()
        cdef int rc
        with nogil:
            rc = self.ctl.link(self.port, up)
        self.check(rc, "set_link")

    def now_ms(self):
        """The NIC's clock, milliseconds since its switch was made."""
        self.require_open()
        cdef int64_t now = 0
        self.check(self.ctl.clock_now(self.port, &now), "now_ms")
        return now

    def set_ms(self, int64_t now_ms):
        """Moves a clock that is run by hand forward to this time: rules age, events are sent.

        All ports of a switch share it. Raises UsageError for a time before now_ms() or beyond 4000000000000 ms (126 years),
        and while the clock is real.
        """
        self.require_open()
        cdef int rc
        with nogil:
            rc = self.ctl.clock_set(self.port, now_ms)
        if rc == -_errno.EPERM:
            raise UsageError("the NIC's clock is real; make the port with clock=manual, or call run_clock_by_hand()")
        if rc == -_errno.EINVAL:
            raise UsageError(f"the NIC's clock stands at {self.now_ms()} ms; it cannot go back to {now_ms} ms")
        if rc == -_errno.ERANGE:
            raise UsageError(f"the NIC's clock cannot go as far as {now_ms} ms", hint=f"give up to {NICSIM_CLOCK_MAX_MS}")
        self.check(rc, "set_ms")

    def advance_ms(self, int64_t ms):
        """Moves a clock that is run by hand forward by so many milliseconds. Returns its new time.

        Raises what set_ms() does.
        """
        now = self.now_ms() + ms
        self.set_ms(now)
        return now

    def run_clock_by_hand(self, bint by_hand=True):
        """From now on the clock moves only by set_ms() and advance_ms(); False lets it run again from where it stands."""
        self.require_open()
        cdef int rc
        with nogil:
            rc = self.ctl.clock_manual(self.port, by_hand)
        self.check(rc, "run_clock_by_hand")


cdef object room_of(const nicsim_room_info *room):
    return Room(room.used, room.room)


cdef object books_of(const nicsim_books *books):
    return Books(books.live, books.created, books.destroyed, books.lost, books.most, books.capacity)


cdef nicsim_call call_number(object call) except *:
    try:
        return <nicsim_call> <int> list(Call).index(Call(call))
    except ValueError:
        raise UsageError(f"no call {call!r}; there are: {', '.join(Call)}") from None


cdef nicsim_answer answer_number(object answer) except *:
    try:
        return <nicsim_answer> <int> list(Answer).index(Answer(answer))
    except ValueError:
        raise UsageError(f"no answer {answer!r}; there are: {', '.join(Answer)}") from None
