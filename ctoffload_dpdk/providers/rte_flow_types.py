"""What the rte_flow provider tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RteFlowStats:
    """What the provider did, in numbers since it was made. live = created - destroyed - lost, of rules and contexts.

    unsettled: connections whose rules are on their way in or out. rules_static: of rules_live, those of the pipelines,
    which stay while their port is used. lost: gone without being destroyed; failed: refused by the driver; aged_hints:
    connections of which an AGE said that they are idle; queries: rte_flow_query and its like; queue_full: operations
    that found no place; came_late: results of operations that were given up. refusal: the driver's last words.
    """

    connections: int
    unsettled: int
    rules_live: int
    rules_static: int
    rules_high_water: int
    rules_created: int
    rules_destroyed: int
    rules_lost: int
    rules_failed: int
    contexts_live: int
    contexts_high_water: int
    contexts_created: int
    contexts_destroyed: int
    contexts_lost: int
    contexts_failed: int
    windows_read: int
    queries: int
    queries_failed: int
    aged_hints: int
    reinstalls: int
    removals_retried: int
    installs_retried: int
    queue_full: int
    came_late: int
    refusal: str


@dataclass(frozen=True)
class Result:
    """What became of one operation on a flow queue: the rule's number, an errno or 0, whether the rule is there now."""

    rule: int
    is_destroy: bool
    error: int
    is_there: bool
