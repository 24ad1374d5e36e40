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
    def start(self) -> None: ...
    def stop(self, timeout_s: float = 5.0) -> bool: ...
