"""A pytest plugin for provider authors: `--provider my.module:MyProvider` is the provider the conformance tests try.

    pytest -p ctoffload_dpdk.testing.plugin --pyargs ctoffload_dpdk.testing.conformance --provider my.module:MyProvider

The name may be a CtOffloadProvider class, a PyCapsule of a C class, an object that gives one, or a function that
returns any of these. `--connections my.module:contexts` names a function (n) -> rows of contract.CTX that the provider
is able to take; without it, TCP and UDP over IPv4 and IPv6 between ports 0 and 1 are offered. `--clock
my.module:set_clock` names a function (now_ms), called with the tests' time whenever it moved, before the provider hears
of it: for a device that counts seconds by itself, of which it has to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

from ctoffload_dpdk.testing.kit import Kit, contexts


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("ctoffload", "conformance of a conntrack offload provider")
    group.addoption("--provider", metavar="MODULE:NAME", help="the provider to try")
    group.addoption("--clock", metavar="MODULE:FUNCTION", help="sets the time by which the provider's device counts")
    group.addoption("--connections", metavar="MODULE:FUNCTION", help="makes connections the provider is able to take")


def named(text: str, option: str) -> Any:
    """What MODULE:NAME names. Raises pytest.UsageError with what is wrong."""
    module, _, name = text.partition(":")
    if not name:
        raise pytest.UsageError(f"{option} {text}: write MODULE:NAME, e.g. my.module:MyProvider")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as wrong:
        raise pytest.UsageError(f"{option} {text}: {wrong}") from None
    return found


def make(source: Any) -> object:
    """A fresh provider where the source can make one."""
    is_maker = callable(source) and not hasattr(source, "__ct_offload_class__")
    return source() if is_maker or isinstance(source, type) else source


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """The provider, registered alone in a layer; after the test nothing may be left and nothing have gone wrong."""
    text = request.config.getoption("--provider")
    if not text:
        raise pytest.UsageError("--provider MODULE:NAME is missing: which provider is to be tried?")
    maker: Callable[[int], Any] = contexts
    if request.config.getoption("--connections"):
        maker = named(request.config.getoption("--connections"), "--connections")
    clock: Callable[[int], object] | None = None
    if request.config.getoption("--clock"):
        clock = named(request.config.getoption("--clock"), "--clock")
    made = Kit(lambda: make(named(text, "--provider")), maker, clock)
    yield made
    made.finish()
