from dataclasses import dataclass

@dataclass(frozen=True)
class RteFlowStats:
    connections: int
    rules_live: int
    rules_high_water: int
    rules_created: int
    rules_destroyed: int
    rules_lost: int
    rules_failed: int
    queries: int
    queries_failed: int
    aged_hints: int
    removals_retried: int

@dataclass(frozen=True)
class Capability:
    in_port: int
    out_port: int
    family: str
    proto: str
    works: bool
    errno: int
    evidence: str

class RteFlowProvider:
    def __init__(self, refresh_ms: int = 1000) -> None: ...
    def __ct_offload_class__(self) -> object: ...
    def port_add(self, port_id: int, generation: int, name: str) -> bool: ...
    def port_del(self, port_id: int, generation: int) -> None: ...
    def stats(self) -> RteFlowStats: ...
    def capabilities(self) -> list[Capability]: ...
