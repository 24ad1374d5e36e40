"""A laboratory for the generic layer: a table of connections and recording providers, stepped by hand."""

from __future__ import annotations

from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload._testtable import TestTable
from ctoffload_dpdk.providers.recording import RecordingProvider

OUT, ADDED, INSTALLED = 0, 1, 2


class Lab:
    """The layer, one shard of connections, and providers by name; time is a number."""

    def __init__(
        self,
        *providers: RecordingProvider,
        slots: int = 64,
        budgets: tuple[int, int, int] = (64, 64, 64),
        call_limit_ms: int = 2000,
    ):
        self.layer = OffloadLayer(budgets, call_limit_ms)
        self.table = TestTable(self.layer, slots)
        self.now_ms = 1000
        self.layer.force_enable()
        self.providers = providers
        for provider in providers:
            self.layer.register(provider, activate=True)

    def connection(self, slot: int = 0, generation: int = 1, want: int | None = INSTALLED) -> int:
        """A live connection; wanted in hardware unless said otherwise."""
        conn_id = self.table.put(slot, generation)
        if want is not None:
            self.table.want(conn_id, want)
        return conn_id

    def turn(self) -> list[tuple[str, int]]:
        """One turn of the shard; its notices."""
        self.table.turn(self.now_ms)
        return self.table.take()

    def work(self) -> None:
        """One turn of every worker."""
        self.layer.run_workers(self.now_ms)

    def step(self, n: int = 1, ms: int = 1) -> list[tuple[str, int]]:
        """n times all there is, ms later each; the notices."""
        for _ in range(n):
            self.layer.step(self.now_ms)
            self.now_ms += ms
        return self.table.take()

    def settle(self, *, ms: int = 50, limit: int = 400) -> list[tuple[str, int]]:
        """Goes on until nothing happens any more; the notices."""
        notices: list[tuple[str, int]] = []
        quiet = 0
        for _ in range(limit):
            before = [len(p.log) for p in self.providers]
            got = self.step(ms=ms)
            notices += got
            quiet = 0 if got or before != [len(p.log) for p in self.providers] else quiet + 1
            if quiet == 4:
                return notices
        raise AssertionError(f"still going on after {limit} steps: {notices[-5:]}")

    def installed(self, slot: int = 0, generation: int = 1) -> int:
        """A connection that is in hardware."""
        conn_id = self.connection(slot, generation)
        notices = self.settle()
        assert ("INSTALLED", slot) in notices, notices
        for provider in self.providers:
            provider.log.clear()
        return conn_id
