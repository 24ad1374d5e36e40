from collections.abc import Callable
from typing import Any

from ctoffload_dpdk.dpdk._eal import Eal

def register_command(
    eal: Eal, path: str, function: Callable[[str], dict[str, Any] | list[Any] | str], help_text: str
) -> None: ...
