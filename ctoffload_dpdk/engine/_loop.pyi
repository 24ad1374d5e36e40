from dataclasses import dataclass
from enum import IntEnum

from ctoffload_dpdk.conntrack import Conntrack, Nat
from ctoffload_dpdk.engine._tap import PacketTap
from ctoffload_dpdk.offload import OffloadLayer

class FragmentPolicy(IntEnum):
    FRAGMENTS_TRACK = 0
    FRAGMENTS_PASS = 1
    FRAGMENTS_DROP = 2

@dataclass(frozen=True)
class LoopStats:
    host_rx: int
    host_tx: int
    held: int
    tracked: int
    sw_dropped: dict[str, int]
    untracked: dict[str, int]

DROP_NAMES: tuple[str, ...]
UNTRACKED_NAMES: tuple[str, ...]

class Loop:
    def __init__(self, conntrack: Conntrack, layer: OffloadLayer | None) -> None: ...
    def configure(
        self, *, drop_invalid: bool, expire_budget_us: int, fragments: FragmentPolicy = FragmentPolicy.FRAGMENTS_TRACK
    ) -> None: ...
    def close(self) -> None: ...
    def add_port(self, ethdev: int, port_id: int, generation: int, queue: int = 0) -> int: ...
    def join(self, first: int, second: int) -> None: ...
    def set_zone(self, index: int, tags: tuple[int, ...], zone: int) -> None: ...
    def set_nat(self, index: int, nat: Nat) -> None: ...
    def set_tap(self, tap: PacketTap | None) -> None: ...
    def remove_port(self, index: int) -> None: ...
    def run_once(self, now_ms: int) -> int: ...
    def stats(self) -> LoopStats: ...
