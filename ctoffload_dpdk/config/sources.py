"""Which source a setting's value comes from: defaults < file < OVSDB < flags, and run-time commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.settings import TABLE, ContradictionError, Settings, Value, find


@dataclass(frozen=True)
class Given:
    """A value and the place it was read from, e.g. "lab.toml line 3"."""

    value: Value
    where: str


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: source is default, file, ovsdb, flag or command; where is empty for a default."""

    source: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source} ({self.where})" if self.where else self.source


@dataclass(frozen=True)
class Configuration:
    """Settings, and the origin of each by its kebab-case name."""

    settings: Settings
    origins: Mapping[str, Origin]


@dataclass
class Sources:
    """The values each source gives now. A source that changes is handed over whole; `resolve` says what holds.

    A command outranks all for its key until the file's or OVSDB's value of that key changes; a key given as a flag
    is fixed.
    """

    file: Mapping[str, Given] = field(default_factory=dict)
    ovsdb: Mapping[str, Given] = field(default_factory=dict)
    flags: Mapping[str, Given] = field(default_factory=dict)
    commands: dict[str, Given] = field(default_factory=dict)

    def set_file(self, given: Mapping[str, Given]) -> None:
        """The file was read again."""
        self._forget_commands(self.file, given)
        self.file = given

    def set_ovsdb(self, given: Mapping[str, Given]) -> None:
        """OVSDB's other_config has changed."""
        self._forget_commands(self.ovsdb, given)
        self.ovsdb = given

    def command(self, name: str, value: object, where: str = "") -> None:
        """Sets a key at run time. Raises SettingsError for a key given as a flag, an unknown key, a wrong value."""
        setting = find(name, where)
        if name in self.flags:
            raise SettingsError(
                f"{name} was given on the command line ({self.flags[name].where}) and is fixed",
                hint=f"start again without {self.flags[name].where}",
            )
        self.commands[name] = Given(setting.parse(value, where), where)

    def resolve(self) -> Configuration:
        """The settings that hold now, each with its origin. Raises ContradictionError, which names both."""
        layers = (("file", self.file), ("ovsdb", self.ovsdb), ("flag", self.flags), ("command", self.commands))
        values: dict[str, Any] = {}
        origins = dict.fromkeys(TABLE, Origin("default"))
        for source, layer in layers:
            for name, given in layer.items():
                values[find(name).field] = given.value
                origins[name] = Origin(source, given.where)
        try:
            return Configuration(Settings(**values), origins)
        except ContradictionError as error:
            said = ", ".join(f"{name} from {origins[name]}" for name in (error.pair.first, error.pair.second))
            error.message = f"{error.message} ({said})"
            raise

    def _forget_commands(self, old: Mapping[str, Given], new: Mapping[str, Given]) -> None:
        for name in list(self.commands):
            before, after = old.get(name), new.get(name)
            if (before and before.value) != (after and after.value):
                del self.commands[name]


def parse_each(values: Iterable[tuple[str, object, str]]) -> tuple[dict[str, Given], list[SettingsError]]:
    """Reads (name, value, where) one by one: those that are right, and an error for each that is not."""
    given: dict[str, Given] = {}
    errors: list[SettingsError] = []
    for name, value, where in values:
        try:
            given[name] = Given(find(name, where).parse(value, where), where)
        except SettingsError as error:
            errors.append(error)
    return given, errors


def given_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    """The flags of a command line (kebab-case name to value; None: not given) as a source. Raises SettingsError."""
    given = {}
    for name, value in flags.items():
        if value is not None:
            setting = find(name)
            given[name] = Given(setting.parse(value, f"--{name}"), f"--{name}")
    return given
