from collections.abc import Callable

from ctoffload_dpdk.dpdk._owned import Owned
from ctoffload_dpdk.dpdk.types import Event

class Subscription(Owned):
    @property
    def event(self) -> Event: ...
    @property
    def n_pending(self) -> int: ...
    @property
    def n_delivered(self) -> int: ...
    def deliver(self) -> int: ...

def subscribe(
    owner: Owned, port_id: int, event: Event, callback: Callable[[int, Event], object], thread: bool
) -> Subscription: ...
