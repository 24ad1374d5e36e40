"""Imported before all else that needs DPDK, so that a missing one is said in words."""

from __future__ import annotations

from ctoffload_dpdk.base.libraries import missing

try:
    import ctoffload_dpdk.dpdk._eal  # noqa: F401 - the first module that needs DPDK's libraries
except ImportError as error:
    if said := missing(error):
        raise said from None
    raise
