"""Connection tracking offload to NICs through DPDK rte_flow."""

from pathlib import Path

from ctoffload_dpdk._version import __version__

__all__ = ["__version__", "get_cython_include", "get_include"]


def get_include() -> str:
    """Directory of ct_offload.h, for compiling a provider."""
    return str(Path(__file__).parent / "include")


def get_cython_include() -> str:
    """Directory for Cython's -I: there `ctoffload_dpdk.offload.libct_offload` can be cimported.

    In an installed package that is where the package lies; in a source tree, where its declarations are.
    """
    in_source_tree = Path(__file__).parent.parent / "pyx"
    return str(in_source_tree if in_source_tree.is_dir() else Path(__file__).parent.parent)
