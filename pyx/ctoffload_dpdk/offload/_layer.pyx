"""The generic layer: one object owns shards, providers, ports and the switch. There may be several."""
import errno
import logging
import threading
import time
from collections.abc import Callable, Mapping

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, realloc

from ctoffload_dpdk.base.errors import ClosedError, ProviderError, UsageError
from ctoffload_dpdk.base.numbers import whole
from ctoffload_dpdk.offload._batch import Result
from ctoffload_dpdk.offload.classes import ClassRegistry, CompiledDpifOffloadClass, DpifOffloadClass
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.offload.ports import Port, PortRegistry
from ctoffload_dpdk.offload.stats import LayerStats
from ctoffload_dpdk.offload.switch import Switch

from ctoffload_dpdk.offload._batch cimport Batch
from ctoffload_dpdk.offload._direct cimport (
    Holding, Route, direct_drain, direct_find, direct_fini, direct_init, direct_lost, direct_submit)
from ctoffload_dpdk.offload._eligibility cimport policy_new
from ctoffload_dpdk.offload._lane cimport EVENT_TYPE, LANE_ADD, LANE_DEL, LANE_QUERY, N_LANE_CLASSES, lane_free, lane_new
from ctoffload_dpdk.offload._shard cimport (
    PORT_DISABLED, PORT_LEAVING, shard_free, shard_is_draining, shard_lane, shard_new, shard_set_control,
    shard_set_lane, shard_turn, shard_turns, shard_walk_left)
from ctoffload_dpdk.offload._watch cimport watched_fini, watched_init, watched_look, watched_loop, watched_set
from ctoffload_dpdk.offload._worker cimport MAX_SHARDS, in_provider_call, worker_set_lane, worker_take_direct_event
from ctoffload_dpdk.offload.libct_offload cimport (
    CT_OFFLOAD_CLASS_EST_ADDS, CT_OFFLOAD_EVENT_LOST, CT_OFFLOAD_ID_SHARD, CT_OFFLOAD_MAX_PROVIDERS,
    ct_offload_op)
from ctoffload_dpdk.offload.libspsc cimport clock_ms, pause_us, shared_add, shared_get, shared_set, shared_time_set

log = logging.getLogger("ctoffload.offload")

cdef enum:
    WINDOW_READS_DEFAULT = 1000
    DIRECT_LIMIT_MS = 2000   # how long a batch waits for a provider that does not come back


cdef class OffloadLayer:
    """The generic layer between connection trackers and providers.

    `budgets` are the outstanding operations per shard and provider: (deletes, adds, queries), 65536 in all at most.
    A provider that does not come back from a call for `call_limit_ms` is quarantined.
    Use from one control thread; shards and workers have their own. Registration, ports, configuration and batches
    raise ClosedError ESHUTDOWN after `close`, ProviderError EDEADLK from within a provider. Raises UsageError EINVAL
    for other budgets, or a limit of more than 32 bits.
    """

    def __cinit__(self, budgets: tuple[int, int, int] = (2048, 2048, 1024), call_limit_ms: int = 2000):
        self.control = <Control *> calloc(1, sizeof(Control))
        self.watched = <Watched *> calloc(1, sizeof(Watched))
        if self.control == NULL or self.watched == NULL:
            raise MemoryError
        watched_init(self.watched, whole(call_limit_ms, 0, 0xffffffff, "call_limit_ms"))
        shared_set(&self.control.window_reads, WINDOW_READS_DEFAULT)
        if len(budgets) != 3 or min(budgets) < 1 or sum(budgets) > 65536:
            raise UsageError(f"budgets {budgets}: three numbers of at least 1, 65536 in all at most",
                             errno=errno.EINVAL)
        self.budget[LANE_DEL], self.budget[LANE_ADD], self.budget[LANE_QUERY] = budgets
        self._slots = [None] * CT_OFFLOAD_MAX_PROVIDERS
        self._standing = set()
        self._leaving = set()
        self._builtins = {}
        direct_init(&self.direct)
        self.eligibility = Eligibility()
        self.ports = PortRegistry()
        self.classes = ClassRegistry()
        self.switch = Switch()

    def __dealloc__(self):
        cdef uint32_t i
        cdef int p
        for i in range(self._n_shards):
            for p in range(CT_OFFLOAD_MAX_PROVIDERS):
                lane_free(shard_lane(self._shards[i], p))
            shard_free(self._shards[i])
        self.free_retired(True)
        direct_fini(&self.direct)
        free(self.retired)
        for i in range(self._n_policies):
            free(self._policies[i])
        free(self._policies)
        free(self.control)
        if self.watched != NULL:
            watched_fini(self.watched)
            free(self.watched)

    # --- shards ---

    cdef OffloadShard *shard(self, uint32_t shard) noexcept:
        return self._shards[shard] if shard < self._n_shards else NULL

    @property
    def n_shards(self) -> int:
        """Shards so far."""
        return self._n_shards

    def add_shard(self, max_slots: int) -> int:
        """A further shard for at most max_slots connections; returns its number.

        Raises UsageError: ENOSPC for too many shards, EINVAL for slots not between 1 and 2^31 - 1. ProviderError
        ETIMEDOUT where a provider does not come back from a call, MemoryError without address space.
        """
        cdef uint32_t number = self._n_shards
        self.check_open("add_shard")
        if number >= MAX_SHARDS:
            raise UsageError(f"add_shard: {MAX_SHARDS} shards are the most", errno=errno.ENOSPC, op="add_shard")
        if not 1 <= max_slots <= 0x7fffffff:
            raise UsageError(f"add_shard: {max_slots} slots are not between 1 and 2^31", errno=errno.EINVAL,
                             op="add_shard")
        self._shards[number] = shard_new(number, max_slots)
        if self._shards[number] == NULL:
            raise MemoryError(f"no address space for {max_slots} connections")
        shard_set_control(self._shards[number], self.control)
        try:
            for provider in self.providers():
                self.attach_lane(number, provider)
        except BaseException:
            self.drop_shard(number)
            raise
        self._n_shards += 1
        shared_set(&self.control.n_shards, self._n_shards)
        return number

    cdef void drop_shard(self, uint32_t number):
        """One that nobody has turned yet."""
        cdef Provider provider
        cdef Lane *lane
        for provider in self.providers():
            lane = shard_lane(self._shards[number], provider.index)
            if lane != NULL and worker_set_lane(provider.worker, number, NULL):
                lane_free(lane)
        shard_free(self._shards[number])
        self._shards[number] = NULL

    cdef bint attach_lane(self, uint32_t shard, Provider provider) except False:
        cdef Lane *lane = lane_new(shard, self.budget)
        if lane == NULL:
            raise MemoryError
        lane.est_adds = provider.worker.cls.flags & CT_OFFLOAD_CLASS_EST_ADDS != 0
        if not worker_set_lane(provider.worker, shard, lane):
            lane_free(lane)
            raise ProviderError(f"provider {provider.name} does not come back from a call", errno=errno.ETIMEDOUT,
                                provider=provider.name)
        shard_set_lane(self._shards[shard], provider.index, lane)
        return True

    cdef void retire_lane(self, uint32_t shard, int provider):
        """The shard's loop may be inside a turn: freed when it has begun another."""
        cdef RetiredLane *more = <RetiredLane *> realloc(self.retired, (self.n_retired + 1) * sizeof(RetiredLane))
        cdef Lane *lane = shard_lane(self._shards[shard], provider)
        shard_set_lane(self._shards[shard], provider, NULL)
        if more == NULL:
            return       # lost rather than freed under somebody's feet
        self.retired = more
        more[self.n_retired].lane = lane
        more[self.n_retired].shard = shard
        more[self.n_retired].turns = shard_turns(self._shards[shard])
        self.n_retired += 1

    cdef void free_retired(self, bint all_):
        cdef uint32_t i, turns, kept = 0
        for i in range(self.n_retired):
            turns = shard_turns(self._shards[self.retired[i].shard])
            if all_ or not self.is_threaded or turns - self.retired[i].turns >= 2:
                lane_free(self.retired[i].lane)
            else:
                self.retired[kept] = self.retired[i]
                kept += 1
        self.n_retired = kept

    # --- providers ---

    def providers(self) -> list[Provider]:
        """The registered providers in the order they are asked: by priority, then by registration."""
        return sorted((p for p in self._slots if p is not None), key=lambda p: p.priority)

    def provider(self, name: str) -> Provider:
        """The provider of that name. Raises ProviderError ENOENT with those that are there."""
        for provider in self.providers():
            if provider.name == name:
                return provider
        known = ", ".join(p.name for p in self.providers()) or "none"
        raise ProviderError(f"provider {name} is not registered", errno=errno.ENOENT, provider=name,
                            hint=f"registered: {known}")

    def register(self, source: object, *, activate: bool = False) -> Provider:
        """Registers a provider: a CtOffloadProvider (class or instance), a PyCapsule, or an object that gives one.

        It is active while a dpif-offload class of its name uses a port; `activate` makes it active without.
        Raises ProviderError: EEXIST for a name that is taken, EINVAL for missing members, EPROTO for another ABI,
        ENOSPC for the ninth, and whatever its init returned; MemoryError. It is not registered then.
        """
        self.check_open("register")
        free_index = next((i for i, p in enumerate(self._slots) if p is None), None)
        if free_index is None:
            raise ProviderError(f"register: {CT_OFFLOAD_MAX_PROVIDERS} providers are the most", errno=errno.ENOSPC,
                                op="register", hint="unregister one first")
        provider = Provider(source, free_index)
        if any(p.name == provider.name for p in self.providers()):
            raise ProviderError(f"provider {provider.name} is registered already", errno=errno.EEXIST, op="register",
                                provider=provider.name, hint="unregister it first, or give the other one its own name")
        provider.init()
        self.free_retired(False)
        try:
            for shard in range(self._n_shards):
                self.attach_lane(shard, provider)
        except BaseException:
            self.forget(provider)
            raise
        (<Provider> provider).layer = self
        watched_set(self.watched, free_index, (<Provider> provider).worker)
        self._slots[free_index] = provider
        if activate:
            self._standing.add(provider.name)
        if self.is_threaded:
            provider.start()
        self.publish()
        return provider

    def unregister(self, name: str, *, timeout_s: float = 5.0) -> None:
        """Takes out everything it holds, then its fini, then forgets it.

        Raises ProviderError ENOENT where it is not there, ETIMEDOUT where it does not give its connections back; it is
        inactive then, and unregistering it again goes on.
        """
        cdef Provider provider
        cdef uint32_t shard
        self.check_open("unregister")
        provider = self.provider(name)
        self._leaving.add(name)
        self.publish()
        self.drive(lambda: self.is_drained(provider), timeout_s,
                   f"provider {name} still holds connections", provider=name)
        self.forget(provider)

    cdef void forget(self, Provider provider):
        cdef uint32_t shard
        watched_set(self.watched, provider.index, NULL)
        provider.fini()
        for shard in range(self._n_shards):
            worker_set_lane(provider.worker, shard, NULL)
            self.retire_lane(shard, provider.index)
        self._slots[provider.index] = None
        provider.layer = None
        self._standing.discard(provider.name)
        self._leaving.discard(provider.name)
        self.free_retired(False)

    def is_drained(self, Provider provider not None) -> bool:
        """True when it holds nothing, neither of a shard nor of a batch, and nothing is outstanding."""
        cdef uint32_t i
        cdef int c
        cdef Lane *lane
        cdef Route route
        for i in range(self._n_shards):
            lane = shard_lane(self._shards[i], provider.index)
            if lane == NULL:
                continue
            if lane.connections or lane.orphans or shard_walk_left(self._shards[i]):
                return False
            for c in range(N_LANE_CLASSES):
                if lane.outstanding[c]:
                    return False
        self.fill_route(&route, None)
        return direct_drain(&self.direct, &route, provider.index) == 0

    def is_active(self, name: str) -> bool:
        """True while it takes new connections. Raises ProviderError ENOENT where it is not registered."""
        provider = self.provider(name)
        return bool(shared_get(&self.control.active) >> provider.index & 1)

    # --- dpif-offload classes and built-in providers ---

    def add_builtin(self, name: str, factory: Callable[[], object]) -> None:
        """Makes factory() the provider that `module_init` registers where a dpif-offload class of that name is."""
        self._builtins[name] = factory

    def module_init(self) -> None:
        """Registers each built-in provider whose dpif-offload class is registered. Idempotent."""
        for name, factory in self._builtins.items():
            if self.classes.is_registered(name) and all(p.name != name for p in self.providers()):
                self.register(factory())

    def class_register(self, source: object) -> None:
        """Registers a dpif-offload class and offers it the ports nobody uses.

        `source`: a DpifOffloadClass, a PyCapsule of a C class, or an object that gives one. Raises ProviderError: EEXIST
        for a name that is taken, EINVAL for missing members, EPROTO for another ABI, or as `register` does for the
        built-in provider of its name. It is not registered then.
        """
        self.check_open("class_register")
        cls = source if isinstance(source, DpifOffloadClass) else CompiledDpifOffloadClass(source)
        self.classes.register(cls)
        try:
            if self.enabled():
                self.module_init()
        except BaseException:
            self.classes.unregister(cls.name)
            raise
        try:
            for entry in self.ports:
                if not entry.used_by and cls.port_add(entry.port, entry.port.name):
                    self.ports.change(entry.port, used_by=cls.name)
        finally:
            self.publish()

    def class_unregister(self, name: str, *, timeout_s: float = 5.0) -> None:
        """Takes its connections out, its ports from it, and forgets it. Raises ProviderError ENOENT, ETIMEDOUT."""
        self.check_open("class_unregister")
        cls = self.classes.get(name)
        used = [e.port for e in self.ports if e.used_by == name]
        for port in used:
            self.leave_port(port, timeout_s)
            cls.port_del(port)
            self.ports.change(port, used_by="", is_leaving=False)
        self.classes.unregister(name)
        self.publish()

    def class_is_registered(self, name: str) -> bool:
        """True while a dpif-offload class of that name is registered."""
        return self.classes.is_registered(name)

    # --- ports ---

    def port_add(self, name: str = "", port_id: int | None = None) -> Port:
        """A port appeared: offered to the dpif-offload classes in order; the first that uses it owns it.

        The provider of that class's name is active from its first port on. Raises PortError EEXIST, ENOSPC, and what a
        class raises, UsageError EINVAL for an id that is none of 0 to 2^32 - 2: it is not added then.
        """
        self.check_open("port_add")
        port = self.ports.add(name, port_id)
        try:
            for cls in self.classes:
                if cls.port_add(port, name):
                    self.ports.change(port, used_by=cls.name)
                    break
        except BaseException:
            self.ports.remove(port)
            raise
        self.publish()
        return port

    def port_del(self, port: Port, *, vanished: bool = False, timeout_s: float = 5.0) -> None:
        """A port goes: its connections come out of hardware first, then its class lets it go.

        `vanished`: it is gone already; its class is told at once, connections on it come out afterwards.
        Raises PortError ENODEV, ProviderError ETIMEDOUT where the connections do not come out.
        """
        self.check_open("port_del")
        entry = self.ports.entry(port)
        cls = self.classes.get(entry.used_by)
        if vanished and cls is not None:
            cls.port_del(entry.port)
        self.leave_port(entry.port, timeout_s)
        if not vanished and cls is not None:
            cls.port_del(entry.port)
        self.ports.remove(entry.port)
        self.publish()

    def leave_port(self, port: Port, timeout_s: float) -> None:
        """Connections on a port come out of hardware. Raises ProviderError ETIMEDOUT where they do not."""
        self.ports.change(port, is_leaving=True)
        self.publish()
        self.drive(self.is_settled, timeout_s, f"port {port.name or port.id} still has connections in hardware",
                   port=port.name or str(port.id))

    def set_port_enabled(self, port: Port, on: bool) -> None:
        """On or off for one port; off takes connections on it out of hardware. Raises PortError ENODEV."""
        self.ports.change(port, is_enabled=on)
        self.publish()

    def is_settled(self) -> bool:
        """True while no walk and no removal is under way in any shard."""
        cdef uint32_t i
        for i in range(self._n_shards):
            if shard_is_draining(self._shards[i]):
                return False
        return True

    # --- the switch ---

    def set_global_cfg(self, cfg: Mapping[str, str | bool]) -> None:
        """Takes `hw-offload` (true or false, default false) and hands every key to the dpif-offload classes.

        On makes built-in providers available and offers connections; off takes everything out of hardware.
        Raises SettingsError EINVAL for another value: nothing changes then. Raises ProviderError with the errno of the
        class that refused a key, or as `register` does: the switch is as asked for all the same, every class was told
        every key, and the first refusal is raised. Calling it again tells all of them again.
        """
        self.check_open("set_global_cfg")
        changed = self.switch.configure(cfg)
        refusal = self.tell_classes(cfg)
        try:
            if self.enabled():
                self.module_init()
        finally:
            if changed:
                self.publish()
        if refusal is not None:
            raise refusal

    def tell_classes(self, cfg: Mapping[str, str | bool]) -> Exception | None:
        """Hands every key to every class; the first refusal."""
        refusals = []
        for cls in self.classes:
            for key, value in cfg.items():
                try:
                    rc = cls.set_config(key, str(value))
                except Exception as error:
                    refusals.append(error)
                    continue
                if rc:
                    refusals.append(ProviderError(f"dpif-offload class {cls.name} refused {key}={value}", errno=rc,
                                                  op="set_config", provider=cls.name))
        return refusals[0] if refusals else None

    def enabled(self) -> bool:
        """True while connections may go to hardware."""
        return self.switch.is_on

    def force_enable(self, on: bool = True) -> None:
        """For tests: on whatever the configuration says."""
        if self.switch.force(on):
            self.publish()

    def set_provider_enabled(self, name: str, on: bool) -> None:
        """On or off for one provider; off takes its connections out. Raises ProviderError ENOENT."""
        self.provider(name)
        if self.switch.set_provider(name, on):
            self.publish()

    def set_eligibility(self, eligibility: Eligibility) -> None:
        """Which connections may go in, and how fast, from now on. Those that are in stay; the epoch changes."""
        cdef Policy *made
        cdef Policy **more
        self.check_open("set_eligibility")
        made = policy_new(eligibility)
        more = <Policy **> realloc(self._policies, (self._n_policies + 1) * sizeof(Policy *))
        if more == NULL:
            free(made)
            raise MemoryError
        self._policies = more
        more[self._n_policies] = made
        self._n_policies += 1
        self.eligibility = eligibility
        shared_time_set(&self.control.policy, <int64_t> <size_t> made)
        shared_add(&self.control.epoch, 1)

    @property
    def window_reads_per_s(self) -> int:
        """Windows that are read back from contexts, per second over all shards; 0: none, they are relearnt.

        0 to 1000000, 1000 at first; UsageError EINVAL else.
        """
        return shared_get(&self.control.window_reads)

    @window_reads_per_s.setter
    def window_reads_per_s(self, value: int) -> None:
        if not 0 <= value <= 1_000_000:
            raise UsageError(f"window_reads_per_s: {value} is not 0 to 1000000", errno=errno.EINVAL)
        shared_set(&self.control.window_reads, value)

    def publish(self) -> None:
        """Tells the shards what holds now; each walks its connections after that."""
        cdef uint32_t mask = 0, i
        cdef int64_t flags
        with_ports = {e.used_by for e in self.ports if not e.is_leaving}
        for provider in self.providers():
            if ((provider.name in self._standing or provider.name in with_ports)
                    and provider.name not in self._leaving and provider.name not in self.switch.off_providers):
                mask |= <uint32_t> 1 << <int> provider.index
        shared_set(&self.control.n_ports, 0)
        for i, entry in enumerate(self.ports):
            flags = PORT_DISABLED * (not entry.is_enabled) | PORT_LEAVING * entry.is_leaving
            shared_time_set(&self.control.ports[i], (<int64_t> <uint64_t> entry.port.id) << 32
                            | (<int64_t> entry.port.generation & 0xffffff) << 8 | flags)
        shared_set(&self.control.n_ports, len(self.ports))
        shared_set(&self.control.enabled, self.switch.is_on)
        shared_set(&self.control.active, mask)
        shared_add(&self.control.epoch, 1)

    def offer_again(self) -> None:
        """Has connections offered again that are in software: a provider may take them now. The epoch changes."""
        self.check_open("offer_again")
        shared_add(&self.control.epoch, 1)

    @property
    def epoch(self) -> int:
        """A number that goes up with each switching; shards walk their connections anew when it does."""
        return shared_get(&self.control.epoch)

    def walk_left(self) -> int:
        """Connections that the walk after the last switching has not seen yet."""
        cdef uint32_t i
        return sum([shard_walk_left(self._shards[i]) for i in range(self._n_shards)])

    # --- batches and single operations ---

    cdef void fill_route(self, Route *route, object now_ms):
        cdef Provider provider
        route.n = 0
        route.active = shared_get(&self.control.active)
        route.is_enabled = self.switch.is_on
        route.now_ms = self.now_ms if now_ms is None else now_ms
        route.limit_ms = DIRECT_LIMIT_MS
        for provider in self.providers():
            route.worker[route.n] = provider.worker
            route.index[route.n] = provider.index
            route.n += 1

    def submit(self, Batch batch not None, now_ms: int | None = None) -> None:
        """Hands a batch to the providers at once; `batch.result(i)` then says what became of each operation.

        ADD is offered to every active provider, EST, UPD and DEL go to those who accepted; a failure undoes the others.
        Connection ids are those of no shard, else UsageError EINVAL. now_ms: None, the time last told.
        Raises ProviderError: EDEADLK from within a provider, ENOMEM.
        """
        cdef Route route
        cdef uint32_t i
        cdef int rc
        self.check_open("submit")
        for i in range(batch.n):
            if CT_OFFLOAD_ID_SHARD(batch.ops[i].conn_id) < self._n_shards:
                raise UsageError(
                    f"connection {batch.ops[i].conn_id:#x} belongs to shard "
                    f"{CT_OFFLOAD_ID_SHARD(batch.ops[i].conn_id)}", errno=errno.EINVAL, op="submit",
                    hint="use ids made with shard 255: make_id(255, generation, slot)")
        self.fill_route(&route, now_ms)
        self.take_direct_events(&route)
        batch.prepare()
        with nogil:
            rc = direct_submit(&self.direct, &route, batch.ops, batch.n)
        if rc:
            raise ProviderError("submit failed", errno=rc, op="submit")
        self.take_direct_events(&route)

    cdef void take_direct_events(self, Route *route):
        cdef int i
        cdef ct_offload_op event
        for i in range(route.n):
            while worker_take_direct_event(route.worker[i], &event):
                if event.type == EVENT_TYPE | CT_OFFLOAD_EVENT_LOST:
                    direct_lost(&self.direct, route, event.conn_id, route.index[i])
                else:
                    self.n_direct_aged += 1

    def submit_one(self, op_type: int, conn_id: int, context: object = None, now_ms: int | None = None) -> Result:
        """A batch of one; context: a row of contract.CTX, for ADD, EST and POLICY. Raises as `submit` does."""
        batch = Batch()
        batch.add(op_type, conn_id, context)
        self.submit(batch, now_ms)
        return batch.result(0)

    def conn_add(self, conn_id: int, context: object) -> Result:
        """ADD: a connection was committed. Taken when at least one provider accepts and none fails."""
        return self.submit_one(OpType.ADD, conn_id, context)

    def conn_established(self, conn_id: int, context: object) -> Result:
        """EST, once per accepted ADD: EALREADY where it is established, ENOENT where it was not added."""
        return self.submit_one(OpType.EST, conn_id, context)

    def conn_update(self, conn_id: int, now_ms: int | None = None) -> Result:
        """UPD: last_used_ms is the latest over all owners, sampled_ms the earliest; ENODATA is not "idle"."""
        return self.submit_one(OpType.UPD, conn_id, None, now_ms)

    def conn_del(self, conn_id: int) -> Result:
        """DEL: take it out; ENOENT where nobody holds it."""
        return self.submit_one(OpType.DEL, conn_id)

    def can_offload(self, conn_id: int, context: object) -> Result:
        """POLICY: would anybody accept it? EPERM with the reason where nobody would."""
        return self.submit_one(OpType.POLICY, conn_id, context)

    def flush(self, *, timeout_s: float = 5.0) -> None:
        """Takes everything out of every provider; nothing counts as offloaded then. Raises ProviderError ETIMEDOUT."""
        self.check_open("flush")
        shared_add(&self.control.flushes, 1)
        shared_add(&self.control.epoch, 1)
        self.drive(self.is_settled, timeout_s, "connections are still in hardware")
        self.submit_one(OpType.FLUSH, 0xff << 56)

    def is_offloaded(self, conn_id: int) -> bool:
        """True while a provider holds it. Of a batch's connection."""
        cdef Holding *held = direct_find(&self.direct, conn_id)
        return held != NULL and held.owners != 0

    def is_established(self, conn_id: int) -> bool:
        """True once EST succeeded. Of a batch's connection."""
        cdef Holding *held = direct_find(&self.direct, conn_id)
        return held != NULL and held.is_established

    def owners(self, conn_id: int) -> list[str]:
        """The names of those who hold it. Of a batch's connection."""
        cdef Holding *held = direct_find(&self.direct, conn_id)
        return [p.name for p in self.providers() if held != NULL and held.owners >> <int> p.index & 1]

    # --- running ---

    def turn(self, now_ms: int) -> int:
        """One turn of every shard, for those that run by hand; how many notices were given."""
        cdef int64_t now = now_ms
        cdef uint32_t i, n = 0
        self.check_callback("turn")
        self.now_ms = now
        with nogil:
            for i in range(self._n_shards):
                n += shard_turn(self._shards[i], now)
        return n

    def run_workers(self, now_ms: int) -> int:
        """One turn of every provider's worker, by hand; how many operations were handed over."""
        self.check_callback("run_workers")
        self.now_ms = now_ms
        return sum(p.run_once(now_ms) for p in self.providers())

    def step(self, now_ms: int) -> None:
        """A turn of every shard, of every worker, and of every shard again."""
        self.turn(now_ms)
        self.run_workers(now_ms)
        self.turn(now_ms)

    def start(self) -> None:
        """A thread per provider. From now on shards are run by their own loops."""
        self.check_open("start")
        self.is_threaded = True
        for provider in self.providers():
            provider.start()
        if self._watch is None:
            shared_set(&self.watched.stop, 0)
            self._watch = threading.Thread(target=self.watch, name="ct-watch", daemon=True)
            self._watch.start()

    def stop(self) -> None:
        """Ends the providers' threads and the watch; everything runs by hand again."""
        for provider in self.providers():
            provider.stop()
        if self._watch is not None:
            shared_set(&self.watched.stop, 1)
            self._watch.join()
            self._watch = None
        if self.is_threaded:
            self.now_ms = clock_ms()    # by which the threads ran: time goes on from there
        self.is_threaded = False

    def watch(self) -> None:
        with nogil:
            watched_loop(self.watched)

    def look_for_stalls(self, now_ms: int) -> int:
        """One look at every provider's call, as the watch's thread does it; how many have just gone over the limit."""
        cdef int64_t now = now_ms
        cdef int n
        with nogil:
            n = watched_look(self.watched, now)
        return n

    def stalled(self) -> list[str]:
        """The names of providers that are in quarantine, or back and not yet rid of their orphans."""
        return [p.name for p in self.providers() if self.is_stalled(p)]

    def is_stalled(self, Provider provider not None) -> bool:
        """True while it is in quarantine, or back and not yet rid of its orphans."""
        cdef uint32_t i
        cdef Lane *lane
        if shared_get(&provider.worker.stalled):
            return True
        for i in range(self._n_shards):
            lane = shard_lane(self._shards[i], provider.index)
            if lane != NULL and shared_get(&lane.stalled):
                return True
        return False

    def drive(self, done, timeout_s: float, what: str, **facts) -> None:
        """Goes on until done() holds: by hand, or by waiting for the threads. Raises ProviderError ETIMEDOUT."""
        until = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > until:
                raise ProviderError(f"{what} after {timeout_s} s", errno=errno.ETIMEDOUT, **facts)
            if self.is_threaded:
                with nogil:
                    pause_us(500)
            else:
                self.step(self.now_ms)
                self.now_ms += 1

    def check_open(self, op: str) -> None:
        if self.is_closed:
            raise ClosedError(f"{op}: the layer was closed", errno=errno.ESHUTDOWN, op=op)
        self.check_callback(op)

    def check_callback(self, op: str) -> None:
        """Raises ProviderError EDEADLK from within a provider."""
        if in_provider_call():
            raise ProviderError(f"{op}: called from within a provider", errno=errno.EDEADLK, op=op,
                                hint="a provider answers through its results, host.complete and host.event")

    def statistics(self) -> LayerStats:
        """What was counted so far, per provider, per shard and in all."""
        from ctoffload_dpdk.offload._stats import read  # noqa: PLC0415 - it reads this module's class

        return read(self)

    def close(self) -> None:
        """Takes everything out of hardware and unregisters all providers. Idempotent.

        Raises ProviderError ETIMEDOUT where one does not give its connections back within 5 s.
        """
        if self.is_closed:
            return
        for provider in self.providers():
            if self.is_stalled(provider):
                self.abandon(provider)
            else:
                self.unregister(provider.name)
        if self._watch is not None:
            shared_set(&self.watched.stop, 1)
            self._watch.join()
            self._watch = None
        self.is_closed = True

    def abandon(self, Provider provider not None) -> None:
        """It is stuck in a call: nothing can be taken from it. Its memory stays, what it holds is lost."""
        cdef uint32_t i
        cdef Lane *lane
        lost = 0
        watched_set(self.watched, provider.index, NULL)
        shared_set(&provider.worker.stop, 1)
        for i in range(self._n_shards):
            lane = shard_lane(self._shards[i], provider.index)
            if lane != NULL:
                lane.lost += lane.orphans + lane.connections
                lost += lane.orphans + lane.connections
        log.warning("provider %s does not come back from a call; %d connections it may hold are lost",
                    provider.name, lost)
