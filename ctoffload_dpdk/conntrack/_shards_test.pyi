from typing import Any

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack._conntrack import Conntrack

def serve(tracker: Conntrack, packets: Packets, turn_ms: int, **action: Any) -> None: ...
