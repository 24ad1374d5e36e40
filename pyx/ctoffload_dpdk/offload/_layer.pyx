"""The generic layer: one object owns shards, providers, ports and the switch. There may be several."""
import errno
import time

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from ctoffload_dpdk.base.errors import ClosedError, ProviderError, UsageError
from ctoffload_dpdk.offload.classes import ClassRegistry
from ctoffload_dpdk.offload.ports import PortRegistry
from ctoffload_dpdk.offload.switch import Switch

from ctoffload_dpdk.offload._lane cimport LANE_ADD, LANE_DEL, LANE_QUERY, N_LANE_CLASSES, lane_free, lane_new
from ctoffload_dpdk.offload._shard cimport (
    shard_free, shard_lane, shard_new, shard_set_control, shard_set_lane, shard_turn, shard_turns, shard_walk_left)
from ctoffload_dpdk.offload._worker cimport MAX_SHARDS, in_provider_call, worker_run_once, worker_set_lane
from ctoffload_dpdk.offload.libct_offload cimport CT_OFFLOAD_MAX_PROVIDERS
from ctoffload_dpdk.offload.libspsc cimport clock_ms, pause_us, shared_add, shared_get, shared_set, spsc_depth


cdef class OffloadLayer:
    """The generic layer between connection trackers and providers.

    `budgets` are the outstanding operations per shard and provider: (deletes, adds, queries), 65536 in all at most.
    Use from one control thread; shards and workers have their own.
    """

    def __cinit__(self, budgets: tuple[int, int, int] = (2048, 2048, 1024)):
        self.control = <Control *> calloc(1, sizeof(Control))
        if self.control == NULL:
            raise MemoryError
        if len(budgets) != 3 or min(budgets) < 1 or sum(budgets) > 65536:
            raise UsageError(f"budgets {budgets}: three numbers of at least 1, 65536 in all at most", errno=errno.EINVAL)
        self.budget[LANE_DEL], self.budget[LANE_ADD], self.budget[LANE_QUERY] = budgets
        self._slots = [None] * CT_OFFLOAD_MAX_PROVIDERS
        self._active = set()
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
        free(self.retired)
        free(self.control)

    # --- shards ---

    cdef OffloadShard *shard(self, uint32_t shard) noexcept:
        return self._shards[shard] if shard < self._n_shards else NULL

    @property
    def n_shards(self) -> int:
        """Shards so far."""
        return self._n_shards

    def add_shard(self, max_slots: int) -> int:
        """A further shard for at most max_slots connections; returns its number."""
        cdef uint32_t number = self._n_shards
        self.check_open("add_shard")
        if number >= MAX_SHARDS:
            raise UsageError(f"add_shard: {MAX_SHARDS} shards are the most", errno=errno.ENOSPC, op="add_shard")
        if not 1 <= max_slots <= 0x7fffffff:
            raise UsageError(f"add_shard: {max_slots} slots are not between 1 and 2^31", errno=errno.EINVAL, op="add_shard")
        self._shards[number] = shard_new(number, max_slots)
        if self._shards[number] == NULL:
            raise MemoryError(f"no address space for {max_slots} connections")
        shard_set_control(self._shards[number], self.control)
        self._n_shards += 1
        for provider in self.providers():
            self.attach_lane(number, provider)
        return number

    cdef bint attach_lane(self, uint32_t shard, Provider provider) except False:
        cdef Lane *lane = lane_new(shard, self.budget)
        if lane == NULL:
            raise MemoryError
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
        cdef uint32_t i, kept = 0
        for i in range(self.n_retired):
            if all_ or not self.is_threaded or shard_turns(self._shards[self.retired[i].shard]) - self.retired[i].turns >= 2:
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
        Raises ProviderError: EEXIST for a name that is taken, EINVAL for missing members, EPROTO for another ABI, ENOSPC for
        the ninth, and whatever its init returned.
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
        for shard in range(self._n_shards):
            self.attach_lane(shard, provider)
        self._slots[free_index] = provider
        if activate:
            self._active.add(provider.name)
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
        self.check_open("unregister")
        provider = self.provider(name)
        self._active.discard(name)
        self.publish(without=provider.index)
        self.drive(lambda: self.is_drained(provider), timeout_s,
                   f"provider {name} still holds connections", provider=name)
        provider.fini()
        for shard in range(self._n_shards):
            worker_set_lane(provider.worker, shard, NULL)
            self.retire_lane(shard, provider.index)
        self._slots[provider.index] = None
        self.free_retired(False)

    def is_drained(self, Provider provider) -> bool:
        """True when it holds nothing of any shard and nothing is outstanding."""
        cdef uint32_t i
        cdef int c
        cdef Lane *lane
        for i in range(self._n_shards):
            lane = shard_lane(self._shards[i], provider.index)
            if lane == NULL:
                continue
            if lane.connections or shard_walk_left(self._shards[i]):
                return False
            for c in range(N_LANE_CLASSES):
                if lane.outstanding[c]:
                    return False
        return True

    def is_active(self, name: str) -> bool:
        """True while it takes new connections."""
        provider = self.provider(name)
        return bool(shared_get(&self.control.active) >> provider.index & 1)

    # --- the switch ---

    def set_global_cfg(self, cfg: dict[str, str]) -> None:
        """Takes `hw-offload` (true or false, default false) and hands every key to the dpif-offload classes.

        On makes built-in providers available and offers connections; off takes everything out of hardware.
        """
        self.check_open("set_global_cfg")
        changed = self.switch.configure(cfg)
        for cls in self.classes:
            for key, value in cfg.items():
                rc = cls.set_config(key, str(value))
                if rc:
                    raise ProviderError(f"dpif-offload class {cls.name} refused {key}={value}", errno=rc, op="set_config",
                                        provider=cls.name)
        if changed:
            self.publish()

    def enabled(self) -> bool:
        """True while connections may go to hardware."""
        return self.switch.is_on

    def force_enable(self, on: bool = True) -> None:
        """For tests: on whatever the configuration says."""
        if self.switch.force(on):
            self.publish()

    def set_provider_enabled(self, name: str, on: bool) -> None:
        """On or off for one provider; off takes its connections out."""
        self.provider(name)
        if self.switch.set_provider(name, on):
            self.publish()

    def publish(self, without: int = -1) -> None:
        """Tells the shards what holds now; each walks its connections after that."""
        cdef uint32_t mask = 0
        for provider in self.providers():
            if (provider.index != without and provider.name not in self.switch.off_providers
                    and provider.name in self._active):
                mask |= <uint32_t> 1 << <int> provider.index
        shared_set(&self.control.enabled, self.switch.is_on)
        shared_set(&self.control.active, mask)
        shared_add(&self.control.epoch, 1)

    @property
    def epoch(self) -> int:
        """Bumped by each switching."""
        return shared_get(&self.control.epoch)

    def walk_left(self) -> int:
        """Connections that the walk after the last switching has not seen yet."""
        cdef uint32_t i
        return sum([shard_walk_left(self._shards[i]) for i in range(self._n_shards)])

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

    def stop(self) -> None:
        """Ends the providers' threads; everything runs by hand again."""
        for provider in self.providers():
            provider.stop()
        self.is_threaded = False

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
        if in_provider_call():
            raise ProviderError(f"{op}: called from within a provider", errno=errno.EDEADLK, op=op,
                                hint="a provider answers through its results, host.complete and host.event")

    def close(self) -> None:
        """Takes everything out of hardware and unregisters all providers. Idempotent."""
        if self.is_closed:
            return
        for provider in self.providers():
            self.unregister(provider.name)
        self.is_closed = True
