"""Where settings come from: a TOML file, OVSDB, the command line, run-time commands."""

from typing import TYPE_CHECKING

from ctoffload_dpdk.config.sources import Configuration, Given, Origin, Sources, given_flags
from ctoffload_dpdk.config.toml import check_toml, read_toml

if TYPE_CHECKING:
    from ctoffload_dpdk.config.ovsdb import OvsdbOwner, OvsdbSource, Tls
    from ctoffload_dpdk.config.watch import Watch

# Imported when first asked for: the ovs package is slow to load, and a file needs none of it.
_LATE = {"OvsdbOwner": "ovsdb", "OvsdbSource": "ovsdb", "Tls": "ovsdb", "Watch": "watch"}

__all__ = [
    "Configuration",
    "Given",
    "Origin",
    "OvsdbOwner",
    "OvsdbSource",
    "Sources",
    "Tls",
    "Watch",
    "check_toml",
    "given_flags",
    "read_toml",
]


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
