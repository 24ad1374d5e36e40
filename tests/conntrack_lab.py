"""A tracker over the offload layer with a recording provider; everything is stepped by hand."""

from __future__ import annotations

import numpy as np
from conntrack_packets import Peers, Tracker

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import Conntrack
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload.contract import ConnFlag, OpType, ResultFlag
from ctoffload_dpdk.providers.recording import RecordingProvider

CONTEXT = ResultFlag.BYPASS | ResultFlag.CONTEXT
WINDOW = 8192
FAR = 50_000_000


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


class OffloadPeers(Peers):
    """TCP peers whose ports are 1 and 2, and who may speak past software."""

    tracker: OffloadLab

    def send(self, who: int, flags: str, data: bytes = b"", **fields: object) -> str:
        state = self.tracker(self.frame(who, flags, data, **fields), port=1 + who)
        if "seq" not in fields:
            self.seq[who] += len(data) + ("S" in flags) + ("F" in flags)
        return state

    def past_software(self, who: int, n_bytes: int) -> None:
        """The NIC forwards so many bytes, and their acknowledgements."""
        self.seq[who] += n_bytes

    def conn_id(self) -> int:
        return int(self.row()["conn_id"])

    def offload(self) -> tuple[int, Reason]:
        row = self.row()
        return int(row["offload"]), Reason(int(row["reason"]))

    def installed(self) -> OffloadPeers:
        self.handshake()
        self.tracker.step()
        assert self.offload() == (2, Reason.NONE)
        self.tracker.used(self.conn_id())
        return self


class ContextProvider(RecordingProvider):
    """Has contexts; `strict` are the connections that were installed with a context that checks."""

    def __init__(self) -> None:
        super().__init__(flags=CONTEXT)
        self.strict: list[int] = []
        self.liberal: list[int] = []

    def submit(self, ops: np.ndarray, contexts: np.ndarray) -> None:
        for op, context in zip(ops, contexts, strict=True):
            if op["type"] == OpType.EST:
                (self.strict if context["flags"] & ConnFlag.STRICT else self.liberal).append(int(op["conn_id"]))
        super().submit(ops, contexts)


class NicPeers(OffloadPeers):
    """Peers whose packets the NIC forwards, and follows in its context."""

    def scale(self) -> int:
        return self.options[3] if self.options else 0

    def followed(self) -> None:
        """The context has the window of this moment: all is acknowledged."""
        self.tracker.provider.windows[self.conn_id()] = tuple(
            (seq % 2**32, (seq + (WINDOW << self.scale())) % 2**32, WINDOW) for seq in self.seq
        )

    def carried(self, n_bytes: int = FAR) -> NicPeers:
        """The NIC forwards so much in each direction."""
        for who in (0, 1):
            self.past_software(who, n_bytes)
        self.followed()
        return self
