"""Connection tracking offload to NICs through DPDK rte_flow."""

from pathlib import Path

from ctoffload_dpdk._version import __version__

__all__ = ["__version__", "get_include"]


def get_include() -> str:
    """Directory of ct_offload.h, for compiling a provider."""
    return str(Path(__file__).parent / "include")
