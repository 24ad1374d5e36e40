from collections.abc import Iterable

from ctoffload_dpdk.dpdk.items import Item

class Pattern:
    def __init__(self, pattern: Iterable[Item]) -> None: ...

def mac_bytes(value: str, field: str) -> bytes: ...
