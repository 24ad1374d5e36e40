"""What the layer counts, typed; `as_dict` gives the same for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class OpStats:
    """One type of operation: handed over, answered well, answered badly. DEL's ENOENT and UPD's ENODATA are well."""

    enqueued: int = 0
    completed: int = 0
    failed: int = 0


@dataclass
class QueueStats:
    """Outstanding operations of one class over all shards: now, at most in one shard, and the budget per shard."""

    depth: int = 0
    high_water: int = 0
    budget: int = 0


@dataclass
class LatencyStats:
    """From handing over to taking the answer, in microseconds; `ewma_us` forgets with 1/16."""

    n: int = 0
    last_us: float = 0.0
    average_us: float = 0.0
    ewma_us: float = 0.0
    stddev_us: float = 0.0


@dataclass
class ProviderStats:
    """One provider over all shards.

    connections: it holds; installed: of these, in hardware; rules: two per installed one; orphans: it may still hold
    after a stall, to be taken out; lost: it may hold for good; calls, operations, polls: made by its worker; events:
    it said by itself; nonsense: answers that cannot be; misplaced: completions and events from outside its calls;
    stalls: calls over the limit; raised: exceptions of a Python provider, last_error the last of them. Keys of ops:
    names of OpType; of queues: delete, add, query; of reasons: Reason.text.
    """

    name: str
    priority: int = 0
    is_active: bool = False
    is_stalled: bool = False
    connections: int = 0
    installed: int = 0
    rules: int = 0
    orphans: int = 0
    lost: int = 0
    ops: dict[str, OpStats] = field(default_factory=dict)
    queues: dict[str, QueueStats] = field(default_factory=dict)
    latency: LatencyStats = field(default_factory=LatencyStats)
    reasons: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    operations: int = 0
    polls: int = 0
    events: int = 0
    events_dropped: int = 0
    nonsense: int = 0
    misplaced: int = 0
    stalls: int = 0
    raised: int = 0
    last_error: str = ""


@dataclass
class ShardStats:
    """One shard: what waits for its turn, by list, and what came for connections that are gone.

    `windows_unread`: removals before which no window was read back, for want of budget or of room for a query.
    """

    shard: int
    slots_touched: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    waiting_high_water: dict[str, int] = field(default_factory=dict)
    notices: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    wanted: int = 0
    stale: int = 0
    nonsense: int = 0
    leaving: int = 0
    windows_unread: int = 0


@dataclass
class LayerStats:
    """The whole layer. `connections`: one per connection and provider that holds it; `rules`: two per installed one."""

    is_enabled: bool = False
    epoch: int = 0
    walk_left: int = 0
    connections: int = 0
    installed: int = 0
    rules: int = 0
    orphans: int = 0
    lost: int = 0
    providers: list[ProviderStats] = field(default_factory=list)
    shards: list[ShardStats] = field(default_factory=list)
    batches: dict[str, OpStats] = field(default_factory=dict)

    def provider(self, name: str) -> ProviderStats:
        """The figures of one provider. Raises KeyError."""
        for one in self.providers:
            if one.name == name:
                return one
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self)
