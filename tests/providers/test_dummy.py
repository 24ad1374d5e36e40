"""The dummy provider: counters and helpers, and an honest last-used."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import numpy as np
import pytest

from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload.contract import CTX, NO_PORT, make_id
from ctoffload_dpdk.providers.dummy import DummyProvider

CONN = make_id(255, 1, 7)


@pytest.fixture
def dummy() -> DummyProvider:
    return DummyProvider()


@pytest.fixture
def layer(dummy: DummyProvider) -> Iterator[OffloadLayer]:
    made = OffloadLayer()
    made.force_enable()
    made.register(dummy, activate=True)
    yield made
    made.close()
    assert len(dummy) == 0


def context(port_in: int = 1, port_reply: int = NO_PORT) -> np.ndarray[tuple[()], np.dtype[np.void]]:
    row = np.zeros((), CTX)
    row["port"]["id"] = (port_in, port_reply)
    return row


def test_add(layer: OffloadLayer, dummy: DummyProvider) -> None:
    assert layer.conn_add(CONN, context())
    assert (dummy.n_added, dummy.contains(CONN)) == (1, True)


def test_add_then_delete(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    assert layer.conn_del(CONN)
    assert (dummy.n_added, dummy.n_deleted, dummy.contains(CONN)) == (1, 1, False)


def test_several(layer: OffloadLayer, dummy: DummyProvider) -> None:
    conns = [make_id(255, 1, n) for n in range(4)]
    for conn in conns:
        layer.conn_add(conn, context())
    assert dummy.n_added == 4
    assert all(dummy.contains(conn) for conn in conns)


def test_it_claims_no_use_it_was_not_told_of(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    assert layer.conn_update(CONN, now_ms=5000).error == errno.ENODATA
    dummy.set_last_used(CONN, 4000)
    layer.run_workers(5000)
    result = layer.conn_update(CONN, now_ms=5000)
    assert (result.error, result.last_used_ms, result.sampled_ms) == (0, 4000, 5000)
    assert dummy.n_updated == 2


def test_established_once_with_both_ports(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    assert not dummy.is_bidirectional(CONN)
    assert layer.conn_established(CONN, context(1, 2))
    assert (dummy.n_established, dummy.is_established(CONN), dummy.is_bidirectional(CONN)) == (1, True, True)
    assert layer.conn_established(CONN, context(1, 3)).error == errno.EALREADY
    assert dummy.n_established == 1


def test_established_without_reply_port_is_not_bidirectional(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    layer.conn_established(CONN, context())
    assert (dummy.is_established(CONN), dummy.is_bidirectional(CONN)) == (True, False)


def test_counters_start_again(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    dummy.reset_counters()
    assert (dummy.n_added, len(dummy)) == (0, 1)


def test_flush(layer: OffloadLayer, dummy: DummyProvider) -> None:
    layer.conn_add(CONN, context())
    layer.flush()
    assert (len(dummy), dummy.n_flushed, layer.is_offloaded(CONN)) == (0, 1, False)


def test_unknown_connections_are_no_connections(dummy: DummyProvider) -> None:
    assert not dummy.contains(CONN)
    assert not dummy.is_established(CONN)
    assert not dummy.is_bidirectional(CONN)
    with pytest.raises(KeyError):
        dummy.set_last_used(CONN, 1)
