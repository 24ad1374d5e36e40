from collections.abc import Iterable

from ctoffload_dpdk.dpdk.actions import Action

class Actions:
    def __init__(self, wanted: Iterable[Action]) -> None: ...
