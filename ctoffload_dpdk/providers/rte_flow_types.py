"""What the rte_flow provider tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RteFlowStats:
    """What the provider did, in numbers since it was made. rules_live = created - destroyed - lost."""

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
    """Whether rules of one family and protocol lead from one port to another, and what the driver said."""

    in_port: int
    out_port: int
    family: str
    proto: str
    works: bool
    errno: int
    evidence: str


@dataclass(frozen=True)
class Result:
    """What became of one operation on a flow queue: the rule's number, an errno or 0, whether the rule is there now."""

    rule: int
    is_destroy: bool
    error: int
    is_there: bool
