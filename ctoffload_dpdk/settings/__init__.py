"""Settings: one typed table, defaults and validation. Reads and writes nothing; `config` does."""

from ctoffload_dpdk.settings.helpers import HelperRule, read_helpers
from ctoffload_dpdk.settings.table import (
    TABLE,
    ContradictionError,
    Setting,
    Settings,
    Value,
    find,
    settings_from,
)

__all__ = [
    "TABLE",
    "ContradictionError",
    "HelperRule",
    "Setting",
    "Settings",
    "Value",
    "find",
    "read_helpers",
    "settings_from",
]
