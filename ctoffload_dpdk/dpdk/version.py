"""Which DPDK this was compiled for, which one runs, and whether the two fit."""

from __future__ import annotations


def abi_year(year: int, month: int) -> int:
    """The ABI a release belongs to: 22.11 begins ABI 23, 23.11 ABI 24, and so on."""
    return year + 1 if month >= 11 else year


def mismatch(compiled: tuple[int, int], running: tuple[int, int]) -> str:
    """Why a module compiled for one (year, month) must not call the other; empty where it may.

    Most of rte_flow is experimental: it is compatible within one ABI year, towards newer releases.
    """
    names = f"compiled for DPDK {_name(compiled)}, but {_name(running)} is loaded"
    if abi_year(*compiled) != abi_year(*running):
        return f"{names}, which has another ABI"
    return f"{names}, which is older" if running < compiled else ""


def _name(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:02d}"
