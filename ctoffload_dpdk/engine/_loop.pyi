from dataclasses import dataclass

from ctoffload_dpdk.conntrack import Conntrack
from ctoffload_dpdk.offload import OffloadLayer

@dataclass(frozen=True)
class LoopStats:
    host_rx: int
    host_tx: int
    tracked: int
    sw_dropped: dict[str, int]
    untracked: dict[str, int]

class Loop:
    def __init__(
        self,
        conntrack: Conntrack,
        layer: OffloadLayer | None,
        *,
        drop_invalid: bool = True,
        expire_budget_us: int = 200,
    ) -> None: ...
    def add_port(self, ethdev: int, port_id: int, generation: int, queue: int = 0) -> int: ...
    def join(self, first: int, second: int) -> None: ...
    def remove_port(self, index: int) -> None: ...
    def run_once(self, now_ms: int) -> int: ...
    def stats(self) -> LoopStats: ...
