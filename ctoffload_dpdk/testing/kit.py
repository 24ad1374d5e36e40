"""What the conformance tests are made of: a provider alone in a layer, spoken to in batches."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctoffload_dpdk.base.errors import errno_name
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload._batch import Batch, Result
from ctoffload_dpdk.offload._provider import Provider
from ctoffload_dpdk.offload.contract import COUNTS, CTX, PEER, OpType, TcpState, make_id

Rows = npt.NDArray[np.void]

TCP, UDP = 6, 17
ETH_IPV4, ETH_IPV6 = 0x0800, 0x86DD


def contexts(n: int) -> Rows:
    """n established connections, TCP and UDP over IPv4 and IPv6 by turns, from port 0 to port 1 and back."""
    rows = np.zeros(n, CTX)
    for i, row in enumerate(rows):
        row["proto"] = UDP if i & 1 else TCP
        row["eth_type"] = ETH_IPV6 if i & 2 else ETH_IPV4
        length = 16 if i & 2 else 4
        client, server = np.zeros(16, np.uint8), np.zeros(16, np.uint8)
        client[:length], server[:length] = 10, 20
        client[length - 2 : length] = (i >> 8 & 255, i & 255)
        for direction, (src, dst) in enumerate(((client, server), (server, client))):
            row["tuple"]["src"][direction], row["tuple"]["dst"][direction] = src, dst
            row["tuple"]["src_port"][direction] = (1024 + i % 60000, 80)[direction]
            row["tuple"]["dst_port"][direction] = (80, 1024 + i % 60000)[direction]
        row["port"]["id"], row["port"]["generation"] = (0, 1), 1
        row["timeout_ms"], row["timeout_max_ms"] = 30_000, 86_400_000
        if row["proto"] == TCP:
            row["peer"]["state"], row["peer"]["max_win"] = TcpState.ESTABLISHED, (501, 65535)
            row["peer"]["wscale"], row["peer"]["has_wscale"] = (7, 2), 1
            row["peer"]["seq_lo"], row["peer"]["seq_hi"] = (1000, 2**32 - 2000), (1000 + (65535 << 2), 62128)
    return rows


class Kit:
    """One provider under test. `now_ms` is the time it is told; connections are numbered from 0.

    clock: told of that time before the provider is, whenever it was moved: for a device that counts time by itself.
    """

    def __init__(
        self,
        source: Callable[[], object],
        maker: Callable[[int], Rows],
        clock: Callable[[int], object] | None = None,
    ) -> None:
        self.source = source
        self.maker = maker
        self.clock = clock
        self.now_ms = 10_000
        self.layer = OffloadLayer()
        self.layer.force_enable()
        self.provider: Provider = self.layer.register(source(), activate=True)
        self.handles: dict[int, int] = {}
        # of the operations asked last: what WINDOW read back, what UPD and DEL counted
        self.windows: Rows = np.zeros((0, 2), PEER)
        self.counts: Rows = np.zeros(0, COUNTS)
        self.run()

    def run(self, n: int = 1, ms: int = 0) -> None:
        """n turns of the worker, ms later each."""
        for _ in range(n):
            if self.clock is not None:
                self.clock(self.now_ms)
            self.provider.run_once(self.now_ms)
            self.now_ms += ms
        if self.clock is not None:
            self.clock(self.now_ms)

    def conn(self, i: int, generation: int = 1) -> int:
        """The id of connection i."""
        return make_id(255, generation, i)

    def ask(self, *operations: tuple[OpType, int], generation: int = 1) -> list[Result]:
        """Hands these operations over in one batch, with the handles that were given; their results."""
        batch = Batch()
        rows = self.maker(max((i for _, i in operations), default=0) + 1)
        for op_type, i in operations:
            batch.add(op_type, self.conn(i, generation), rows[i])
        batch.set_handles([self.handles.get(self.conn(i, generation), 0) for _, i in operations])
        self.provider.submit(batch, self.now_ms)
        self.windows, self.counts = batch.windows, batch.counts
        results = [batch.result(n) for n in range(len(batch))]
        for (op_type, i), result in zip(operations, results, strict=True):
            if result.error == 0 and op_type in (OpType.ADD, OpType.EST) and result.handle:
                self.handles[self.conn(i, generation)] = result.handle
        return results

    def one(self, op_type: OpType, i: int = 0, generation: int = 1) -> Result:
        """One operation."""
        return self.ask((op_type, i), generation=generation)[0]

    def accepted(self, n: int) -> list[int]:
        """Adds n connections; those that were accepted. Skips the test where none is."""
        results = self.ask(*[(OpType.ADD, i) for i in range(n)])
        taken = [i for i, result in enumerate(results) if result.error == 0]
        if not taken:
            pytest.skip(f"{self.provider.name} accepts none of the {n} connections offered; see --connections")
        return taken

    def installed(self, n: int) -> list[int]:
        """Adds and establishes n connections; those that were accepted, all of which must be installed."""
        taken = self.accepted(n)
        results = self.ask(*[(OpType.EST, i) for i in taken])
        good(results, "EST of an accepted connection")
        return taken

    def remove(self, which: Iterable[int]) -> None:
        """Deletes connections; each must be gone then."""
        gone(self.ask(*[(OpType.DEL, i) for i in which]), "DEL")

    def again(self) -> None:
        """Unregisters the provider and registers it, or a new one of its kind, again."""
        self.layer.unregister(self.provider.name)
        self.handles.clear()
        self.provider = self.layer.register(self.source(), activate=True)
        self.run()

    def finish(self) -> None:
        """Everything out, and nothing may have been raised or have made no sense."""
        raised, said, nonsense = self.provider.n_raised, self.provider.last_error, self.provider.n_nonsense
        self.layer.close()
        assert raised == 0, f"the provider raised {raised} times, last: {said}"
        assert nonsense == 0, f"{nonsense} answers made no sense (negative errno, unknown reason, impossible time)"


def good(results: list[Result], what: str) -> None:
    """All succeeded."""
    bad = {i: str(result) for i, result in enumerate(results) if result.error}
    assert not bad, f"{what} failed: {bad}"


def gone(results: list[Result], what: str) -> None:
    """All succeeded, or there was nothing to do."""
    bad = {i: str(result) for i, result in enumerate(results) if result.error not in (0, errno.ENOENT)}
    assert not bad, f"{what} failed: {bad}"


def refused(result: Result, what: str) -> None:
    """It failed, with an errno that has a name and a reason of the list."""
    assert result.error > 0, f"{what} must not succeed"
    assert errno_name(result.error) != str(result.error), f"{what}: {result.error} is no errno"
    assert result.reason in list(Reason)


def unknown(kit: Any, i: int, when: str) -> None:
    """The provider knows nothing of the connection."""
    result = kit.one(OpType.UPD, i)
    assert result.error != 0, f"UPD answers for a connection {when}"
    assert kit.one(OpType.EST, i).error != 0, f"EST succeeds for a connection {when}"
