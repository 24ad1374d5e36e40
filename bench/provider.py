"""The rte_flow provider on emulated ports: what it and the layer add to a plain C loop of the same rte_flow calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import Row, paired
from ctoffload_dpdk.conntrack._bench import Frames
from ctoffload_dpdk.dpdk import Eal, FlowSizes
from ctoffload_dpdk.engine import Engine, Settings
from ctoffload_dpdk.engine._bench import settle
from ctoffload_dpdk.nicsim import Nic
from ctoffload_dpdk.providers._rte_flow_bench import Rules
from ctoffload_dpdk.providers._rte_flow_testwatch import COUNT, TestWatch

EAL_ARGS = ["--no-pci", "--no-huge", "-m", "256", "--no-shconf", "--no-telemetry", "--log-level=error"]
N = 1 << 17  # connections that are put in at once
SWEPT = 1_000_000
NAMES = ("net_nicsim0", "net_nicsim1")
AGAINST = "rte_flow_create in a plain C loop"
DESTROY = "rte_flow_destroy in a plain C loop"
QUERY = "rte_flow_query of both rules in a plain C loop"

# The controls where the bars were set (two cores of an AMD EPYC 9004, virtual), in ns.
CREATE_NS_REFERENCE = 276.0
QUERY_NS_REFERENCE = 41.0
SYNC_NS_REFERENCE = 285.0
DESTROY_NS_REFERENCE = 60.0


def ports(eal: Eal, capacity: int) -> list[Nic]:
    """Two emulated NICs of one switch, their memory touched."""
    return [Nic.create(eal, name, switch=1, capacity=capacity, prefault=1, clock="manual") for name in NAMES]


class System:
    """The engine between two ports, with N connections established in software and offload off."""

    def __init__(self, eal: Eal) -> None:
        self.eal = eal
        self.pool = eal.mempool(4095)
        self.nics = ports(eal, 5 * N)
        self.engine = Engine(eal, Settings(hw_offload=False, ct_offload_max_connections=2 * N), now_ms=1)
        for name in NAMES:
            self.engine.add_port(name, self.pool)
        self.engine.join(*NAMES)
        self.layer_ports = [self.engine.port(name).layer_port for name in NAMES]
        self.frames = Frames(N)
        self.order = np.arange(N, dtype=np.uint32)
        self.rules = Rules(N, self.nics[0].port_id, (self.nics[0].port_id, self.nics[1].port_id), group=100)

    def establish(self) -> None:
        """A packet of each connection in both directions."""
        for reply, port in enumerate(self.layer_ports):
            self.frames.fill(self.order, reply=bool(reply))
            self.frames.run(self.engine.conntrack.shards[0], N, now_ms=1, port=port.id, port_generation=port.generation)

    def switch(self, on: bool) -> float:
        """ns per rule until all rules are in, or out."""
        before = time.thread_time_ns()
        self.engine.layer.set_global_cfg({"hw-offload": on})
        self.settle()
        took = time.thread_time_ns() - before
        live = self.engine.rules().live
        assert live >= 2 * N if on else live < 2 * N, f"{live} rules"
        return took / (2 * N)

    def settle(self) -> None:
        """Loop and worker in turn, as their threads would be: no Python between."""
        settle(self.engine.loops[0], self.engine.layer, 1)

    def install(self) -> float:
        took = self.switch(True)
        self.switch(False)
        return took

    def remove(self) -> float:
        self.switch(True)
        return self.switch(False)

    def plain(self) -> float:
        took = self.rules.create_plain()
        self.rules.destroy_plain()
        return took

    def plain_removal(self) -> float:
        self.rules.create_plain()
        return self.rules.destroy_plain()

    def end_to_end(self) -> float:
        """ns per rule from a connection's first packet to both rules in the NIC."""
        self.engine.conntrack.flush()
        self.settle()
        self.engine.layer.set_global_cfg({"hw-offload": True})
        self.settle()
        self.frames.fill(self.order)
        before = time.thread_time_ns()
        for reply, port in enumerate(self.layer_ports):
            if reply:
                spent = time.thread_time_ns() - before
                self.frames.fill(self.order, reply=True)
                before = time.thread_time_ns() - spent
            self.frames.run(self.engine.conntrack.shards[0], N, now_ms=1, port=port.id, port_generation=port.generation)
            self.settle()
        took = time.thread_time_ns() - before
        assert self.engine.rules().live >= 2 * N
        return took / (2 * N)

    def close(self) -> None:
        self.rules.close()
        self.engine.close()
        close(self.eal, self.nics)
        self.pool.close()


def close(eal: Eal, nics: list[Nic]) -> None:
    for name, nic in zip(NAMES, nics, strict=True):
        nic.close()
        eal.remove_vdev(name)


def installing(eal: Eal) -> Iterator[Row]:
    system = System(eal)
    system.establish()
    system.install()
    system.plain()
    took = paired(system.install, system.plain)
    above = took.ours - took.control
    yield Row("provider: layer and provider, above a plain loop of the same rules", "ns/rule", above, 100.0, True,
              took.control, CREATE_NS_REFERENCE, AGAINST, took.low - took.control,
              took.high - took.control)  # fmt: skip
    engine = paired(lambda: create(system.rules), system.plain)
    yield Row("provider: the synchronous rule engine alone", "ns/rule", engine.ours - engine.control, 20.0, True,
              engine.control, CREATE_NS_REFERENCE, AGAINST, engine.low - engine.control,
              engine.high - engine.control)  # fmt: skip
    removal = paired(system.remove, system.plain_removal)
    yield Row("provider: a removal, what it carried read, above a plain loop of rte_flow_destroy", "ns/rule",
              removal.ours - removal.control, 180.0, True, removal.control, DESTROY_NS_REFERENCE, DESTROY,
              removal.low - removal.control, removal.high - removal.control)  # fmt: skip
    whole = paired(system.end_to_end, system.plain)
    yield Row("provider: from the first packet to both rules, end to end", "ns/rule", whole.ours, 650.0, True,
              whole.control, CREATE_NS_REFERENCE, AGAINST, whole.low, whole.high)  # fmt: skip
    system.close()


def create(rules: Rules) -> float:
    took = rules.create()
    rules.destroy()
    return took


def started(eal: Eal, nics: list[Nic], sizes: FlowSizes | None = None) -> list[Any]:
    """The ports, running, with rooms for rules set aside where sizes are given."""
    pool = eal.mempool(1023)
    running: list[Any] = [eal.port(nic.port_id) for nic in nics]
    for port in running:
        port.configure()
        if sizes is not None:
            port.configure_flow(sizes)
        port.setup_queues(pool, descriptors=64)
        port.start()
    return running


def stop(eal: Eal, nics: list[Nic], running: list[Any]) -> None:
    for port in running:
        port.close()
    close(eal, nics)


def queued(eal: Eal) -> Row:
    """The rule engine through templates and a queue, against the same engine at once."""
    nics = ports(eal, 8 * N)
    running = started(eal, nics, FlowSizes(queues=1, queue_size=1024, counters=8 * N, ages=8 * N))
    pair = (nics[0].port_id, nics[1].port_id)
    sync = Rules(N, pair[0], pair, group=1)
    through_queue = Rules(N, pair[0], pair, group=2, is_async=True)
    create(sync)
    create(through_queue)
    took = paired(lambda: create(through_queue), lambda: create(sync))
    for rules in (sync, through_queue):
        rules.close()
    stop(eal, nics, running)
    return Row("provider: a rule through a flow queue, confirmed", "ns/rule", took.ours, SYNC_NS_REFERENCE, True,
               took.control, SYNC_NS_REFERENCE, "the same at once", took.low, took.high)  # fmt: skip


def sweep(eal: Eal) -> Row:
    """One round of the sampler over a million connections."""
    nics = ports(eal, 2 * SWEPT)
    running = started(eal, nics)
    rules = Rules(SWEPT, nics[0].port_id, (nics[0].port_id, nics[1].port_id), has_age=False)
    rules.create_plain()
    watch = TestWatch()
    watch.add_many(
        np.arange(SWEPT, dtype=np.uint32),
        np.full(2, nics[0].port_id, np.uint32),
        rules.handles(),
        source=COUNT,
        timeout_ms=86_400_000,
        refresh_ms=1000,
        now_ms=0,
    )
    now = iter(range(10_000, 10_000_000, 10_000))

    def ours() -> float:
        at_ms = next(now)
        before = time.thread_time_ns()
        watch.poll(at_ms)
        return (time.thread_time_ns() - before) / SWEPT

    took = paired(ours, rules.query_plain)
    assert watch.counts["samples"] == SWEPT * 11
    rules.destroy_plain()
    rules.close()
    stop(eal, nics, running)
    return Row("provider: a sweep of a million connections, above the driver's own query", "ns/connection",
               took.ours - took.control, 50.0, True, took.control, QUERY_NS_REFERENCE, QUERY,
               took.low - took.control, took.high - took.control)  # fmt: skip


def rows() -> Iterator[Row]:
    eal = Eal.start(EAL_ARGS)
    yield from installing(eal)
    yield queued(eal)
    yield sweep(eal)
    eal.close()
