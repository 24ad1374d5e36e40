"""The running system: ports joined in pairs, loops with a shard each, one provider. Stepped by `run_once`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from ctoffload_dpdk.base.errors import ClosedError, CtoffloadError, PortError, UsageError
from ctoffload_dpdk.conntrack import Conntrack, Nat, Policy, Shards
from ctoffload_dpdk.dpdk import Eal, Mempool, Port
from ctoffload_dpdk.engine._loop import FragmentPolicy, Loop, LoopStats
from ctoffload_dpdk.engine.account import ConnectionAccount, RuleAccount
from ctoffload_dpdk.engine.spread import queues_of, spread_evenly
from ctoffload_dpdk.engine.threads import LoopThreads
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload import Port as LayerPort
from ctoffload_dpdk.offload.eligibility import Eligibility
from ctoffload_dpdk.providers.plan import Family, PlanChoice, Proto
from ctoffload_dpdk.providers.rte_flow import PortProbe, RteFlowClass, RteFlowProvider
from ctoffload_dpdk.providers.rte_flow_prepare import Prepared, Spread, override_of, set_up
from ctoffload_dpdk.providers.rte_flow_probe import bind
from ctoffload_dpdk.settings import TABLE, Settings, read_helpers
from ctoffload_dpdk.settings.cpus import cpus
from ctoffload_dpdk.settings.policy import PolicyRule, rules, translations, zones

LOGGER = logging.getLogger("ctoffload.engine")

# rte_ethdev.h: RTE_ETH_RX_OFFLOAD_{IPV4,UDP,TCP}_CKSUM. Asked for where the driver has them; else software verifies.
RX_CHECKSUMS = 0x2 | 0x4 | 0x8
SETTLE_TURNS = 100_000
DRAIN_LIMIT_S = 30.0
# What a turn makes the worker do is seen in the turn after it.
IDLE_TURNS = 2
# Fragments that wait are packet buffers that nobody receives into: so much of the smallest pool at most.
POOL_SHARE = 4
FRAGMENT_POLICIES = {
    "track": FragmentPolicy.FRAGMENTS_TRACK,
    "pass": FragmentPolicy.FRAGMENTS_PASS,
    "drop": FragmentPolicy.FRAGMENTS_DROP,
}


@dataclass(frozen=True)
class EnginePort:
    """One port of the engine: DPDK's object, its number in the loops, its identity in the layer, its pool's size.

    queues: of software, each way: one per loop, or one where the port has no more or cannot spread packets over them.
    """

    name: str
    port: Port
    index: int
    layer_port: LayerPort
    n_mbufs: int
    queues: int


def _give_back(port: Port) -> None:
    """Why the port cannot be used is what counts, not how it closes."""
    with contextlib.suppress(CtoffloadError):
        port.close()


class Engine:
    """A stateful bump in the wire: what arrives at a port leaves by the port it is joined with.

    Time is what `run_once` is told, in milliseconds, and never runs backwards. Owns its ports while they are in it.
    Raises ClosedError once closed, UsageError where a port is named that is not in it. While threads run, what changes
    loops waits for their turns to end: CtoffloadError ETIMEDOUT after 5 s.
    """

    def __init__(self, eal: Eal, settings: Settings, *, now_ms: int = 0, events: int = 0) -> None:
        """events: how many connection events are kept between two calls of conntrack.events().

        Raises CtoffloadError ENOMEM where there is no address space for the connections.
        """
        self.settings = settings
        self.eal = eal
        self.layer = OffloadLayer(
            (settings.ct_offload_delete_budget, settings.ct_offload_add_budget, settings.ct_offload_query_budget),
            settings.ct_offload_provider_limit,
        )
        self.conntrack = Shards(
            settings.ct_offload_loops,
            max(settings.ct_offload_max_connections, 1),
            layer=self.layer,
            now_ms=now_ms,
            events=events,
        )
        self.provider = RteFlowProvider()
        self.layer.add_builtin("dpdk", lambda: self.provider)
        self.offload_class = RteFlowClass(self.provider, override_of(settings))
        self.layer.class_register(self.offload_class)
        self.loops = tuple(Loop(shard, self.layer) for shard in self.conntrack.shards)
        self.ports: dict[str, EnginePort] = {}
        self._opened: dict[int, Port] = {}
        self.threads = LoopThreads(eal, self.loops)
        self.is_running = False
        self.is_closed = False
        self._apply(settings)

    def apply(self, settings: Settings) -> tuple[str, ...]:
        """Takes new settings while running. Returns the names of those that take effect at the next start only."""
        self._check_open("apply")
        waiting = [s.name for s in TABLE.values() if not s.live and settings[s.name] != self.settings[s.name]]
        if settings.ct_offload_max_connections > self.conntrack.capacity:
            waiting.append("ct-offload-max-connections")
        if settings.pmd_cpu_mask != self.settings.pmd_cpu_mask:
            self.threads.pin(cpus(settings.pmd_cpu_mask))
        self.settings = settings
        self._apply(settings)
        return tuple(waiting)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What is done inside happens between two turns of every loop."""
        with self.conntrack.held():
            yield

    def start(self) -> None:
        """A thread for each loop and each provider from now on, and no `run_once`. Where they run, nothing happens."""
        self._check_open("start")
        if self.is_running:
            return
        self.layer.start()
        self.is_running = True
        self.threads.start(cpus(self.settings.pmd_cpu_mask))

    def stop(self) -> None:
        """Ends the threads; the engine is stepped by hand again."""
        if self.is_running:
            self.threads.stop()
            self.layer.stop()
            self.is_running = False

    def _apply(self, settings: Settings) -> None:
        with self.held():
            self._apply_to_loops(settings)
        self.layer.set_global_cfg({"hw-offload": "true" if settings.hw_offload else "false"})

    def _apply_to_loops(self, settings: Settings) -> None:
        """What may change at any time. The switch comes last: what it sets in motion goes by the new settings."""
        eligibility = Eligibility(
            min_packets=settings.ct_offload_after_packets,
            rate_per_s=settings.ct_offload_rate,
            burst=settings.ct_offload_burst,
            needs_handshake=settings.ct_offload_establish_at != "reply",
        )
        if eligibility != self.layer.eligibility:
            self.layer.set_eligibility(eligibility)
        self.conntrack.establish_at_reply = settings.ct_offload_establish_at == "reply"
        self.conntrack.set_timeout_policy(0, **settings.timeouts_s())
        self.conntrack.max_connections = min(settings.ct_offload_max_connections, self.conntrack.capacity)
        self.conntrack.zone_default_limit = settings.ct_offload_zone_limit
        self.conntrack.unconfirmed_rst_ms = settings.ct_offload_unconfirmed_rst_timeout * 1000
        self.conntrack.tcp_liberal = not settings.ct_offload_tcp_sequence_check
        self.conntrack.strict_windows = settings.ct_offload_strict_windows
        self.layer.window_reads_per_s = settings.ct_offload_context_read_budget
        for loop in self.loops:
            loop.configure(
                drop_invalid=settings.ct_offload_invalid == "drop",
                expire_budget_us=settings.ct_offload_sweep_budget,
                fragments=FRAGMENT_POLICIES[settings.ct_offload_fragments],
            )
            loop.set_helpers(read_helpers(settings.ct_offload_helpers))
            loop.set_eager(settings.ct_offload_idle == "poll")
        self._apply_policy()
        self._apply_fragments()

    def _apply_policy(self) -> None:
        """The rules for new connections; one that names a port which is not in fits nothing."""
        found: list[tuple[PolicyRule, int | None]] = []
        for rule in (*rules(self.settings.ct_offload_rules), *translations(self.settings.ct_offload_nat)):
            if rule.port is None:
                found.append((rule, None))
            elif rule.port in self.ports:
                found.append((rule, self.ports[rule.port].layer_port.id))
        policy = Policy(found)
        for loop in self.loops:
            loop.set_policy(policy)

    def unknown_ports(self) -> list[str]:
        """Names in the policy that are no ports of the engine."""
        settings = self.settings
        named = [rule.port for rule in (*rules(settings.ct_offload_rules), *translations(settings.ct_offload_nat))]
        named += [zone.port for zone in zones(settings.ct_offload_zones)]
        return sorted({name for name in named if name is not None and name not in self.ports})

    def _apply_fragments(self) -> None:
        """What holds for fragments, by the settings and by the pools of the ports; each loop holds its part."""
        settings = self.settings
        pools = [taken.n_mbufs // POOL_SHARE for taken in self.ports.values()]
        held = min([settings.ct_offload_fragment_max_held, *pools]) // len(self.loops)
        timeout_ms = settings.ct_offload_fragment_timeout * 1000
        self.conntrack.set_fragments(
            4, min_size=settings.ct_offload_fragment_min_size_ipv4, max_held=held, timeout_ms=timeout_ms
        )
        self.conntrack.set_fragments(6, min_size=settings.ct_offload_fragment_min_size_ipv6)

    def add_port(self, name: str, mempool: Mempool, *, peer: str = "") -> EnginePort:
        """Configures, starts and takes in the DPDK port of this name. Raises PortError; UsageError if it is in or open.

        peer: another port of DPDK's, in the engine or not yet, to which the NIC is to forward without a switch, where
        both have hairpin queues for that; else a hairpin leads back by the port itself.
        """
        self._check_open("add_port")
        if name in self.ports:
            raise UsageError(f"port {name} is in the engine already", op="add_port", port=name)
        return self._take_in(self.eal.port(name), mempool, peer)

    def _take_in(self, port: Port, mempool: Mempool, peer: str) -> EnginePort:
        """Configures a stopped port, starts it, and has loops and layer use it; closes it where that cannot be."""
        with contextlib.ExitStack() as undo:
            undo.callback(_give_back, port)
            taken = self._use(port, mempool, peer, undo)
            undo.pop_all()
        return taken

    def _use(self, port: Port, mempool: Mempool, peer: str, undo: contextlib.ExitStack) -> EnginePort:
        name = port.name
        queues, spread = queues_of(port, len(self.loops))
        prepared = self._prepare(port, mempool, peer, queues, spread)
        port.start()
        if spread is not None:
            spread_evenly(port, queues)
        try:
            port.set_promiscuous()
        except PortError as error:
            raise PortError(
                f"port {name} cannot receive all packets: {error.message}",
                errno=error.errno,
                port=name,
                hint="a bump in the wire needs promiscuous mode; for a VF, the PF's owner must trust it",
            ) from error
        probe = PortProbe(port, prepared, self._open_port, override_of(self.settings))
        if peer in self.ports:
            bind(probe, self.offload_class.probes[self.ports[peer].layer_port.id])
        self._opened[port.id] = port
        undo.callback(self._opened.pop, port.id)
        self.offload_class.offer(probe)
        layer_port = self.layer.port_add(name)
        undo.callback(self.layer.port_del, layer_port)
        with self.held():
            for loop in self.loops:
                index = loop.add_port(port.id, layer_port.id, layer_port.generation, queues=queues)
        undo.callback(self._leave_loops, index)
        self.ports[name] = EnginePort(name, port, index, layer_port, mempool.size, queues)
        undo.callback(self.ports.pop, name)
        with self.held():
            self._apply_policy()
            self._apply_fragments()
        for zone in zones(self.settings.ct_offload_zones):
            if zone.port == name:
                self._set_zone(self.ports[name], zone.vlans, zone.zone)
        return self.ports[name]

    def _prepare(self, port: Port, mempool: Mempool, peer: str, queues: int, spread: Spread | None) -> Prepared:
        """Gives a port its queues, and what its rules need before it starts."""
        peer_id = next((address.id for address in self.eal.ports() if address.name == peer), None)
        prepared = set_up(
            port,
            mempool,
            self.settings,
            rx_offloads=port.info().rx_offloads & RX_CHECKSUMS,
            peer=peer_id,
            queues=queues,
            spread=spread,
        )
        for note in prepared.notes:
            LOGGER.warning("%s", note)
        return prepared

    def _open_port(self, port_id: int) -> Port | None:
        return self._opened.get(port_id)

    def join(self, first: str, second: str) -> None:
        """What arrives at one port leaves by the other; the same name twice is a hairpin."""
        self._check_open("join")
        with self.held():
            for loop in self.loops:
                loop.join(self.port(first).index, self.port(second).index)

    def set_zone(self, name: str, outer: int | None, inner: int | None, zone: int) -> None:
        """Packets of a port with these VLAN ids are in a conntrack zone; None, None: those without a tag.

        Before the port's first connection goes to hardware. Raises UsageError. Untagged packets are in zone 0 where
        nothing else is said; tags that are in no zone are tracked in zone 0 and stay in software.
        """
        self._check_open("set_zone")
        if outer is None and inner is not None:
            raise UsageError("an inner VLAN id needs an outer one", op="set_zone", port=name)
        tags = tuple(tag for tag in (outer, inner) if tag is not None)
        self._set_zone(self.port(name), tags, zone)

    def _set_zone(self, taken: EnginePort, tags: tuple[int, ...], zone: int) -> None:
        self.offload_class.set_zone(taken.layer_port, tags, zone)
        with self.held():
            for loop in self.loops:
                loop.set_zone(taken.index, tags, zone)

    def set_nat(self, name: str, nat: Nat) -> None:
        """Connections that begin at this port are translated so from now on; `Nat()` ends that."""
        self._check_open("set_nat")
        with self.held():
            for loop in self.loops:
                loop.set_nat(self.port(name).index, nat)

    def port(self, name: str) -> EnginePort:
        """The port of this name. Raises UsageError with those that are there."""
        if name not in self.ports:
            raise UsageError(
                f"no port {name} in the engine", hint=f"there are: {', '.join(self.ports) or 'none'}", port=name
            )
        return self.ports[name]

    def plans(self, first: str, second: str) -> dict[tuple[Proto, Family, bool], PlanChoice]:
        """The plan for connections from one port to the other, by protocol, family and NAT or not.

        Raises UsageError where nothing is planned between them.
        """
        return self.offload_class.choices(self.port(first).layer_port, self.port(second).layer_port)

    def remove_port(self, name: str, now_ms: int, *, vanished: bool = False) -> None:
        """Takes a port out: its rules first, then the port stops. Its connections go on in software.

        vanished: the device is gone already, and its rules with it. Raises ProviderError ETIMEDOUT where connections do
        not come out within 5 s.
        """
        self._check_open("remove_port")
        self._let_go(self.port(name), now_ms, vanished)
        with self.held():
            self._apply_fragments()
        self.ports.pop(name).port.close()

    def reset_port(self, name: str, mempool: Mempool, now_ms: int, *, peer: str = "") -> EnginePort:
        """A port's device failed and asked for a reset (DPDK's event RESET): its rules are lost.

        It is reset, configured and taken in anew, to be joined again; its connections go in again. Raises PortError
        where it cannot be reset: then it is out.
        """
        self._check_open("reset_port")
        taken = self.port(name)
        self._let_go(taken, now_ms, True)
        del self.ports[name]
        try:
            taken.port.reset()
        except PortError:
            _give_back(taken.port)
            raise
        return self._take_in(taken.port, mempool, peer)

    def _let_go(self, taken: EnginePort, now_ms: int, vanished: bool) -> None:
        """Loops and layer do not use the port any more, and nothing of its connections is in a NIC."""
        self._opened.pop(taken.port.id, None)
        self._leave_loops(taken.index)
        self.layer.port_del(taken.layer_port, vanished=vanished)
        if not self.is_running:
            self.run_once(now_ms)

    def _leave_loops(self, index: int) -> None:
        with self.held():
            for loop in self.loops:
                loop.remove_port(index)

    def run_once(self, now_ms: int) -> int:
        """One turn of each loop and of each provider's worker. Returns how much was done; 0: nothing was to do.

        Raises UsageError while threads run.
        """
        self._check_open("run_once")
        if self.is_running:
            raise UsageError("threads run the loops", op="run_once", hint="stop() ends them")
        self.review(now_ms)
        return sum(loop.run_once(now_ms) for loop in self.loops) + self.layer.run_workers(now_ms)

    def review(self, now_ms: int) -> None:
        """Asks drivers again that were too busy to say what they can; better plans take connections in. Costs nothing
        where none was. To be called about every second where run_once is not.
        """
        if self.offload_class.review(now_ms):
            self.layer.offer_again()

    def settle(self, now_ms: int) -> None:
        """Turns until nothing more is done at this time. Raises UsageError if that does not end."""
        idle = 0
        for _ in range(SETTLE_TURNS):
            idle = 0 if self.run_once(now_ms) else idle + 1
            if idle == IDLE_TURNS:
                return
        raise UsageError(f"still busy after {SETTLE_TURNS} turns", op="settle")

    def connections(self) -> ConnectionAccount:
        """The trackers' part of the account."""
        c = self.conntrack.counters()
        return ConnectionAccount(c.created, c.live, c.expired, c.closed, c.flushed, c.replaced)

    def rules(self) -> RuleAccount:
        """The provider's part of the account."""
        s = self.provider.stats()
        return RuleAccount(s.rules_created, s.rules_destroyed, s.rules_lost, s.rules_live)

    def contexts(self) -> RuleAccount:
        """The provider's part of the account: CONNTRACK contexts."""
        s = self.provider.stats()
        return RuleAccount(s.contexts_created, s.contexts_destroyed, s.contexts_lost, s.contexts_live)

    @property
    def trackers(self) -> list[Conntrack]:
        """The trackers of all loops, by shard."""
        return list(self.conntrack.shards)

    def packets(self) -> LoopStats:
        """The loops' part of the account."""
        with self.held():
            return sum((loop.stats() for loop in self.loops), LoopStats())

    def drain(self, now_ms: int) -> None:
        """Takes everything out of hardware: the switch goes off; connections go on in software.

        Raises ProviderError ETIMEDOUT after 30 s while threads run, UsageError as `settle` does where they do not.
        """
        self._check_open("drain")
        self.layer.set_global_cfg({"hw-offload": "false"})
        if self.is_running:
            self.layer.drive(self.layer.is_settled, DRAIN_LIMIT_S, "connections are still in hardware")
        else:
            self.settle(now_ms)

    def _check_open(self, op: str) -> None:
        if self.is_closed:
            raise ClosedError("the engine was closed", op=op)

    def close(self) -> None:
        """Takes everything out of hardware, ends the threads, then stops the ports. Idempotent.

        Raises as `OffloadLayer.close` does: the threads have ended then, the ports are still there with what is in
        their NICs, and closing again goes on. Raises PortError of a port that does not stop, when all is closed.
        """
        if self.is_closed:
            return
        self.layer.check_callback("close")
        try:
            self.layer.close()
        finally:
            self.stop()
        for loop in self.loops:
            loop.close()
        with contextlib.ExitStack() as every:
            every.callback(self.conntrack.close)
            for taken in self.ports.values():  # the port that owns a switch comes first and goes last
                every.callback(taken.port.close)
            self.ports.clear()
            self.is_closed = True

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
