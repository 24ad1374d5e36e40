"""A tracker over the offload layer with a recording provider; everything is stepped by hand."""

from __future__ import annotations

from conntrack_packets import Tracker

from ctoffload_dpdk.conntrack import Conntrack
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.providers.recording import RecordingProvider


class OffloadLab(Tracker):
    """`provider` holds what it accepted; `step` lets the layer and the provider take one turn."""

    def __init__(self, provider: RecordingProvider | None = None, *, enabled: bool = True, **options: object) -> None:
        self.layer = OffloadLayer()
        self.provider = provider or RecordingProvider()
        self.layer.register(self.provider, activate=True)
        if enabled:
            self.layer.force_enable()
        super().__init__(Conntrack(1000, layer=self.layer, now_ms=1_000_000, events=1000, **options))

    def step(self, n: int = 4) -> None:
        self.ct.advance(self.now_ms)
        for _ in range(n):
            self.layer.step(self.now_ms)

    def used(self, conn_id: int, seconds_ago: float = 0, sample_age_s: float = 0) -> None:
        """The next answers to queries: last used so long ago, as a sample taken so long ago shows it."""
        self.provider.last_used[conn_id] = (
            self.now_ms - round(seconds_ago * 1000),
            self.now_ms - round(sample_age_s * 1000),
        )

    def sweep(self) -> int:
        """Expiry, the answers to its questions, and expiry again; returns how many connections are left."""
        self.ct.expire(self.now_ms)
        self.step()
        self.ct.expire(self.now_ms)
        return self.ct.count
