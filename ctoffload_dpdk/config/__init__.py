"""Where settings come from: a TOML file, OVSDB, the command line, run-time commands."""

from ctoffload_dpdk.config.sources import Configuration, Given, Origin, Sources, given_flags
from ctoffload_dpdk.config.toml import read_toml

__all__ = ["Configuration", "Given", "Origin", "Sources", "given_flags", "read_toml"]
