"""Ports over rings, made for a test and gone after it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

numbers = itertools.count()


@pytest.fixture(scope="module")
def pool(eal: Any) -> Iterator[Any]:
    with eal.mempool(2047) as pool:
        yield pool


@pytest.fixture
def make_port(eal: Any, pool: Any) -> Iterator[Callable[..., Any]]:
    """make_port("net_null") plugs a device of this driver in; its port is configured, and runs unless start=False."""
    made: list[Any] = []

    def make(driver: str, args: str = "", start: bool = True, **configuration: Any) -> Any:
        name = f"{driver}{next(numbers)}"
        eal.add_vdev(name, args)
        port = eal.port(name)
        made.append((port, name))
        if start:
            port.configure(**configuration)
            port.setup_queues(pool)
            port.start()
        return port

    yield make
    for port, name in reversed(made):
        port.close()
        eal.remove_vdev(name)


@pytest.fixture
def ring(make_port: Callable[..., Any]) -> Any:
    """A port that receives what it sends."""
    return make_port("net_ring")


@pytest.fixture
def null(make_port: Callable[..., Any]) -> Any:
    """A port without rte_flow."""
    return make_port("net_null")


@pytest.fixture
def stopped_null(null: Any) -> Any:
    """The same, configured with one queue each way, and stopped."""
    null.stop()
    return null
