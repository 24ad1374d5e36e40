from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.dpdk._flow import FlowDevice, IndirectAction, Rule
from ctoffload_dpdk.dpdk._templates import ActionsTemplate, PatternTemplate, TemplateTable
from ctoffload_dpdk.dpdk.actions import Action, Attr, Conntrack
from ctoffload_dpdk.dpdk.items import Item
from ctoffload_dpdk.dpdk.pulled import Pulled
from ctoffload_dpdk.dpdk.types import AgeState, Count, FlowSizes

class AsyncDevice(FlowDevice):
    def configure_flow(self, sizes: FlowSizes, *, share_with: int | None = None) -> None: ...
    def pattern_template(self, pattern: Iterable[Item], attr: Attr, *, relaxed: bool = False) -> PatternTemplate: ...
    def actions_template(
        self, actions: Iterable[Action], attr: Attr, *, fixed: Sequence[bool] | None = None
    ) -> ActionsTemplate: ...
    def template_table(
        self,
        attr: Attr,
        patterns: Iterable[PatternTemplate],
        actions: Iterable[ActionsTemplate],
        n_rules: int,
        *,
        resizable: bool = False,
    ) -> TemplateTable: ...
    def flow_queue(self, index: int = 0) -> FlowQueue: ...

class AsyncRule(Rule):
    @property
    def queue(self) -> FlowQueue: ...
    @property
    def is_confirmed(self) -> bool: ...
    @property
    def is_failed(self) -> bool: ...

class Answer:
    kind: type[Action]
    value: Count | AgeState | Conntrack | None
    is_failed: bool

class FlowQueue:
    @property
    def port(self) -> AsyncDevice: ...
    @property
    def index(self) -> int: ...
    @property
    def n_under_way(self) -> int: ...
    def enqueue_create(
        self,
        table: TemplateTable,
        pattern: Iterable[Item],
        actions: Iterable[Action],
        *,
        pattern_index: int = 0,
        actions_index: int = 0,
        user_data: int = 0,
        postpone: bool = False,
    ) -> AsyncRule: ...
    def enqueue_destroy(self, rule: AsyncRule, *, user_data: int = 0, postpone: bool = False) -> None: ...
    def push(self) -> None: ...
    def pull(self, most: int = 64) -> Pulled: ...
    def pull_all(self, *, timeout_s: float = 5.0) -> Pulled: ...
    def aged(self) -> NDArray[np.uint64]: ...
    def enqueue_indirect_create(
        self,
        action: Action,
        *,
        ingress: bool = False,
        egress: bool = False,
        transfer: bool = False,
        user_data: int = 0,
        postpone: bool = False,
    ) -> IndirectAction: ...
    def enqueue_conntrack_update(
        self,
        action: IndirectAction,
        conntrack: Conntrack | None = None,
        *,
        original_direction: bool | None = None,
        user_data: int = 0,
        postpone: bool = False,
    ) -> None: ...
    def enqueue_query(self, action: IndirectAction, *, user_data: int = 0, postpone: bool = False) -> Answer: ...
    def enqueue_indirect_destroy(
        self, action: IndirectAction, *, user_data: int = 0, postpone: bool = False
    ) -> None: ...
