import numpy.typing as npt

from ctoffload_dpdk.offload._batch import Batch

class Host:
    def complete(
        self,
        op_id: int,
        *,
        error: int = 0,
        reason: int = 0,
        handle: int = 0,
        flags: int = 0,
        last_used_ms: int = 0,
        sampled_ms: int = 0,
        peers: npt.ArrayLike | None = None,
        counts: npt.ArrayLike | None = None,
    ) -> None: ...
    def event(self, conn_id: int, event: int) -> None: ...

class Provider:
    index: int
    n_raised: int
    last_error: str

    @property
    def name(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def implementation(self) -> object: ...
    def run_once(self, now_ms: int) -> int: ...
    def submit(self, batch: Batch, now_ms: int, limit_ms: int = 2000) -> None: ...
    @property
    def n_nonsense(self) -> int: ...
    def run_queries(self, now_ms: int) -> int: ...
    def start(self) -> None: ...
    def stop(self, timeout_s: float = 5.0) -> bool: ...
