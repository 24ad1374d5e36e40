from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack._shardgroup import ShardGroup
from ctoffload_dpdk.conntrack.nat import Nat
from ctoffload_dpdk.offload._layer import OffloadLayer

VERDICT: np.dtype[Any]
CONNECTION: np.dtype[Any]
LINE: np.dtype[Any]
TIMEOUT_NAMES: tuple[str, ...]
REFUSAL_NAMES: tuple[str, ...]
STATE_WORDS: tuple[str, ...]

@dataclass(frozen=True)
class Counters:
    packets: int
    invalid: int
    created: int
    live: int
    expired: int
    closed: int
    flushed: int
    replaced: int
    held: int
    events_lost: int
    relaxed: int
    unconfirmed_rst: int
    back_in: int
    queries: int
    no_samples: int
    expected: int
    not_expected: int
    no_room: int
    handed_over: int
    windows_read: int
    windows_refused: int
    windows_overtaken: int
    confirmed_rst: int
    made_liberal: int
    hint_hits: int
    hint_misses: int
    nic_packets: tuple[int, int]
    nic_bytes: tuple[int, int]
    refused: dict[str, int]

def states_text(state: int) -> str: ...

class Conntrack:
    establish_at_reply: bool
    max_connections: int
    zone_default_limit: int
    tcp_liberal: bool
    strict_windows: bool
    unconfirmed_rst_ms: int
    @property
    def capacity(self) -> int: ...
    def __init__(
        self,
        max_connections: int = 3_000_000,
        *,
        shard: int = 0,
        ovs_compat: bool = False,
        establish_at_reply: bool = False,
        layer: OffloadLayer | None = None,
        now_ms: int | None = None,
        events: int = 0,
        group: ShardGroup | None = None,
    ) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def n_tracked(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def now_ms(self) -> int: ...
    @property
    def ovs_compat(self) -> bool: ...
    @property
    def shard_number(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def hold(self, limit_ms: int = 5000) -> None: ...
    def release(self) -> None: ...
    def held(self) -> AbstractContextManager[Self]: ...
    def process(
        self,
        packets: Packets,
        now_ms: int | NDArray[np.int64] | None = None,
        *,
        commit: bool = True,
        force: bool = False,
        zone: int | NDArray[np.uint16] = 0,
        mark: int = 0,
        mark_mask: int = 0,
        label: int = 0,
        label_mask: int = 0,
        timeout_policy: int = 0,
        flags: int | NDArray[np.uint32] = 0,
        port: int | NDArray[np.uint32] = 0xFFFFFFFF,
        port_generation: int | NDArray[np.uint32] = 0,
        nat: Nat | None = None,
        helper: str = "",
        room: object = 0,
    ) -> NDArray[np.void]: ...
    def track(
        self,
        packets: Packets,
        now_ms: int | NDArray[np.int64] | None = None,
        *,
        commit: bool = True,
        force: bool = False,
        zone: int | NDArray[np.uint16] = 0,
        mark: int = 0,
        mark_mask: int = 0,
        label: int = 0,
        label_mask: int = 0,
        timeout_policy: int = 0,
        flags: int | NDArray[np.uint32] = 0,
        port: int | NDArray[np.uint32] = 0xFFFFFFFF,
        port_generation: int | NDArray[np.uint32] = 0,
        nat: Nat | None = None,
        helper: str = "",
        room: object = 0,
    ) -> NDArray[np.void]: ...
    def expire(self, now_ms: int | None = None, budget_us: int = 1_000_000) -> int: ...
    def advance(self, now_ms: int) -> None: ...
    def iterate(self, chunk: int = 65536) -> Iterator[NDArray[np.void]]: ...
    def connections(self, zone: int | None = None) -> NDArray[np.void]: ...
    def find(
        self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0
    ) -> NDArray[np.void]: ...
    def find_id(self, conn_id: int) -> NDArray[np.void]: ...
    def ask(self, conn_ids: ArrayLike | None = None) -> int: ...
    def flush(self, zone: int | None = None) -> int: ...
    def flush_tuple(
        self, src: str, dst: str, proto: int, src_port: int = 0, dst_port: int = 0, zone: int = 0
    ) -> bool: ...
    def flush_ids(self, conn_ids: ArrayLike) -> int: ...
    def counters(self) -> Counters: ...
    def keep_events(self, size: int) -> None: ...
    def events(self) -> NDArray[np.void]: ...
    @property
    def n_borrowed(self) -> int: ...
    def set_fragments(
        self,
        family: int,
        *,
        enabled: bool | None = None,
        min_size: int | None = None,
        max_held: int | None = None,
        timeout_ms: int | None = None,
    ) -> None: ...
    def fragments(self) -> dict[str, int]: ...
    def set_zone_limit(self, zone: int, limit: int) -> None: ...
    def clear_zone_limit(self, zone: int) -> None: ...
    def zone_limits(self) -> dict[int, tuple[int, int]]: ...
    def zone_limit(self, zone: int) -> tuple[int, int]: ...
    def zone_count(self, zone: int) -> int: ...
    def set_timeout_policy(self, policy: int, **timeouts_s: int) -> None: ...
    def clear_timeout_policy(self, policy: int) -> None: ...
    def timeout_policy(self, policy: int = 0) -> dict[str, int]: ...
