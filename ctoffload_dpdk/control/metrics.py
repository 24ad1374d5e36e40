"""The metrics of a running engine for Prometheus: their names, what they mean, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import ConnectionAccount, RuleAccount

PREFIX = "ctoffload_"

# Values by their labels, in the order the metric names them.
Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class Described:
    """One metric. name: without prefix, a counter's without _total; read: its values now."""

    name: str
    doc: str
    read: Callable[[Snapshot], Samples]
    labels: tuple[str, ...] = ()
    is_counter: bool = False

    @property
    def full_name(self) -> str:
        """The name under which Prometheus stores it."""
        return f"{PREFIX}{self.name}{'_total' if self.is_counter else ''}"


class Snapshot:
    """What all metrics of one scrape are read from, each part asked for once. Costs the same whatever is tracked."""

    def __init__(self, system: System) -> None:
        engine = system.engine
        self.system = system
        self.version = engine.eal.version.removeprefix("DPDK ")
        self.connections: ConnectionAccount = engine.connections()
        self.rules: RuleAccount = engine.rules()
        self.contexts: RuleAccount = engine.contexts()
        self.packets = engine.packets()
        self.counters = engine.conntrack.counters()
        self.layer = engine.layer.statistics()


def one(value: float) -> Samples:
    return [((), value)]


def ended(now: Snapshot) -> Samples:
    causes = ("expired", "closed", "flushed", "replaced")
    return [((cause,), getattr(now.connections, cause)) for cause in causes]


def named(values: dict[str, int]) -> Samples:
    return [((name,), value) for name, value in values.items()]


def by_direction(values: tuple[int, int]) -> Samples:
    return [(("original",), values[0]), (("reply",), values[1])]


def of_providers(name: str) -> Callable[[Snapshot], Samples]:
    """A figure of each provider."""
    return lambda now: [((p.name,), float(getattr(p, name))) for p in now.layer.providers]


def operations(now: Snapshot) -> Samples:
    for provider in now.layer.providers:
        for kind, done in provider.ops.items():
            for result in ("enqueued", "completed", "failed"):
                yield (provider.name, kind.lower(), result), getattr(done, result)


def queues(name: str) -> Callable[[Snapshot], Samples]:
    return lambda now: [
        ((provider.name, queue), getattr(figures, name))
        for provider in now.layer.providers
        for queue, figures in provider.queues.items()
    ]


def latency(now: Snapshot) -> Samples:
    return [((p.name,), p.latency.ewma_us / 1e6) for p in now.layer.providers]


def reasons(now: Snapshot) -> Samples:
    return [((p.name, reason), n) for p in now.layer.providers for reason, n in p.reasons.items()]


METRICS = (
    Described("info", "1, with the versions as labels.", lambda now: [((__version__, now.version), 1)],
              ("version", "dpdk")),
    Described("uptime_seconds", "Since the engine was started.", lambda now: one(now.system.uptime_s())),
    Described("offload_enabled", "Whether offload is switched on, globally.", lambda now: one(now.layer.is_enabled)),
    Described("connections", "Live connections.", lambda now: one(now.connections.live)),
    Described("connections_created", "Connections made.", lambda now: one(now.connections.created), is_counter=True),
    Described("connections_ended", "Connections that ended, by cause.", ended, ("cause",), is_counter=True),
    Described("connections_in_hardware", "Connections of which the NIC confirmed both directions.",
              lambda now: one(now.layer.installed)),
    Described("packets_refused", "Packets that are invalid, or for which no connection was made, by reason.",
              lambda now: named(now.counters.refused), ("reason",), is_counter=True),
    Described("packets_received", "Packets that reached software.", lambda now: one(now.packets.host_rx),
              is_counter=True),
    Described("packets_sent", "Packets that software sent on.", lambda now: one(now.packets.host_tx), is_counter=True),
    Described("packets_dropped", "Packets that software dropped, by reason.",
              lambda now: named(now.packets.sw_dropped), ("reason",), is_counter=True),
    Described("packets_untracked", "Packets that passed untracked, by reason.",
              lambda now: named(now.packets.untracked), ("reason",), is_counter=True),
    Described("fragments_held", "Fragments that wait for the rest of their datagram.",
              lambda now: one(now.packets.held - now.packets.handed)),
    Described("packets_waiting", "Packets that wait for another loop, which has their connection.",
              lambda now: one(now.packets.handed)),
    Described("nic_packets", "Packets that the NIC forwarded, as far as it was asked.",
              lambda now: by_direction(now.counters.nic_packets), ("direction",), is_counter=True),
    Described("nic_bytes", "Bytes that the NIC forwarded, as far as it was asked.",
              lambda now: by_direction(now.counters.nic_bytes), ("direction",), is_counter=True),
    Described("rules", "Live rules; a connection has two.", lambda now: one(now.rules.live)),
    Described("rules_created", "Rules made.", lambda now: one(now.rules.created), is_counter=True),
    Described("rules_destroyed", "Rules destroyed.", lambda now: one(now.rules.destroyed), is_counter=True),
    Described("rules_lost", "Rules that vanished with their port.", lambda now: one(now.rules.lost), is_counter=True),
    Described("contexts", "Live CONNTRACK contexts.", lambda now: one(now.contexts.live)),
    Described("contexts_created", "CONNTRACK contexts made.", lambda now: one(now.contexts.created), is_counter=True),
    Described("contexts_destroyed", "CONNTRACK contexts destroyed.", lambda now: one(now.contexts.destroyed),
              is_counter=True),
    Described("provider_active", "Whether a port uses the provider.", of_providers("is_active"), ("provider",)),
    Described("provider_stalled", "Whether the provider did not come back from a call and is left aside.",
              of_providers("is_stalled"), ("provider",)),
    Described("provider_connections", "Connections that the provider holds.", of_providers("connections"),
              ("provider",)),
    Described("provider_orphans", "Handles of a stalled provider that wait for its return.", of_providers("orphans"),
              ("provider",)),
    Described("provider_stalls", "Calls that took longer than their limit.", of_providers("stalls"), ("provider",),
              is_counter=True),
    Described("operations", "Operations of a provider, by kind and result.", operations,
              ("provider", "operation", "result"), is_counter=True),
    Described("queue_depth", "Operations outstanding, by class.", queues("depth"), ("provider", "queue")),
    Described("queue_high_water", "Most operations that were outstanding in one loop, by class.", queues("high_water"),
              ("provider", "queue")),
    Described("operation_latency_seconds", "From handing an operation over to its answer, moving average.", latency,
              ("provider",)),
    Described("not_offloaded", "Refusals of a provider, by reason.", reasons, ("provider", "reason"), is_counter=True),
)  # fmt: skip


class EngineCollector(Collector):
    """All metrics of one System; collected on the control thread."""

    def __init__(self, system: System) -> None:
        self.system = system

    def collect(self) -> Iterator[Metric]:
        """Each metric with its values now."""
        now = Snapshot(self.system)
        for described in METRICS:
            family: CounterMetricFamily | GaugeMetricFamily
            kind = CounterMetricFamily if described.is_counter else GaugeMetricFamily
            family = kind(f"{PREFIX}{described.name}", described.doc, labels=described.labels)
            for labels, value in described.read(now):
                family.add_metric(labels, float(value))
            yield family


def page() -> str:
    """docs/metrics.md's table."""
    rows = ["| metric | type | labels | what it is |", "|---|---|---|---|"]
    for described in METRICS:
        labels = ", ".join(f"`{label}`" for label in described.labels)
        kind = "counter" if described.is_counter else "gauge"
        rows.append(f"| `{described.full_name}` | {kind} | {labels} | {described.doc.rstrip('.')} |")
    return "\n".join(rows) + "\n"
