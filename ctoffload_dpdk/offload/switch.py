"""The switch: may connections go to hardware, globally and per provider. Ports carry their own in the registry."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field

from ctoffload_dpdk.base.errors import SettingsError

TRUE = ("true", "1", "on", "yes")
FALSE = ("false", "0", "off", "no")


def boolean(key: str, value: str | bool) -> bool:
    """The truth value of a setting. Raises SettingsError EINVAL with what is allowed."""
    text = str(value).strip().lower()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise SettingsError(
        f"{key}: {value!r} is neither true nor false",
        errno=errno.EINVAL,
        op="set_global_cfg",
        hint="write true or false",
    )


@dataclass
class Switch:
    """What was asked for. `is_on` is what holds."""

    is_configured: bool = False
    is_forced: bool = False
    off_providers: set[str] = field(default_factory=set)

    @property
    def is_on(self) -> bool:
        """Configured on, or forced on by a test."""
        return self.is_configured or self.is_forced

    def configure(self, cfg: Mapping[str, str | bool]) -> bool:
        """Takes `hw-offload` from a configuration, off without it; True where that changed what holds.

        Raises SettingsError EINVAL for what is no truth value.
        """
        before = self.is_on
        self.is_configured = boolean("hw-offload", cfg.get("hw-offload", False))
        return self.is_on != before

    def force(self, on: bool) -> bool:
        """For tests: on whatever the configuration says; True where that changed what holds."""
        before = self.is_on
        self.is_forced = on
        return self.is_on != before

    def set_provider(self, name: str, on: bool) -> bool:
        """On or off for one provider; True where that changed something."""
        before = name in self.off_providers
        (self.off_providers.discard if on else self.off_providers.add)(name)
        return before == on
