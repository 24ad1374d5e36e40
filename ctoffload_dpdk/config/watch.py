"""The configuration that holds, kept current while the engine runs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.config.ovsdb import OvsdbOwner, OvsdbSource
from ctoffload_dpdk.config.sources import Configuration, Given, Sources
from ctoffload_dpdk.config.toml import read_toml


class Watch:
    """File, OVSDB, flags and commands together. What is wrong is reported; the last good configuration stays in force.

    configuration: what holds. Raises SettingsError where the file or the flags are wrong at the start: there is no
    last good one then. A wrong row of the OVSDB is a problem like later ones.
    """

    def __init__(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        flags: Mapping[str, Given] | None = None,
        ovsdb: OvsdbSource | None = None,
        owner: OvsdbOwner | None = None,
    ) -> None:
        self.file = file
        self.ovsdb = ovsdb
        self._owner = owner
        self._sources = Sources(file=read_toml(file) if file is not None else {}, flags=flags or {})
        self._file_problem: SettingsError | None = None
        self._pair_problem: SettingsError | None = None
        self.configuration: Configuration = self._sources.resolve()

    def poll(self) -> bool:
        """Reads what the OVSDB says. Returns whether `configuration` changed. Never blocks."""
        if self.ovsdb is None or not self.ovsdb.run():
            return False
        self._sources.set_ovsdb(self.ovsdb.given)
        return self._resolve()

    def wait(self, timeout_s: float) -> None:
        """Waits until the OVSDB was read for the first time, no longer than this."""
        until = time.monotonic() + timeout_s
        while self.ovsdb is not None and not self.ovsdb.was_read and time.monotonic() < until:
            self.ovsdb.wait(50)
            self.poll()

    def reload(self) -> bool:
        """Reads the file again. Returns whether `configuration` changed."""
        if self.file is None:
            return False
        try:
            given = read_toml(self.file)
        except SettingsError as error:
            self._file_problem = error
            return False
        self._file_problem = None
        self._sources.set_file(given)
        return self._resolve()

    def command(self, name: str, value: object, where: str = "") -> bool:
        """Sets a key at run time. Returns whether `configuration` changed. Raises SettingsError, then nothing did."""
        before = self._sources.commands.copy()
        self._sources.command(name, value, where)
        try:
            configuration = self._sources.resolve()
        except SettingsError:
            self._sources.commands = before
            raise
        return self._take(configuration)

    def acknowledge(self) -> None:
        """What was read so far has been applied, or refused: says so in the OVSDB. Cheap; call it in each turn."""
        if self._owner is not None and self.ovsdb is not None:
            self._owner.run(self.ovsdb.next_cfg)

    def problems(self) -> list[SettingsError]:
        """What is wrong in the sources as they are now."""
        rows = self.ovsdb.problems if self.ovsdb is not None else []
        return [*rows, *(p for p in (self._file_problem, self._pair_problem) if p is not None)]

    def _resolve(self) -> bool:
        try:
            configuration = self._sources.resolve()
        except SettingsError as error:
            self._pair_problem = error
            return False
        self._pair_problem = None
        return self._take(configuration)

    def _take(self, configuration: Configuration) -> bool:
        changed = configuration.settings != self.configuration.settings
        self.configuration = configuration
        return changed

    def close(self) -> None:
        """Disconnects from the database, this host's status taken out where that is done within a second."""
        for part in (self.ovsdb, self._owner):
            if part is not None:
                part.close()
