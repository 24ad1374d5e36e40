"""Settings from a TOML file: the table [other_config], with the line of each key."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.config.sources import Given, parse_each

TABLE_NAME = "other_config"
MAX_BYTES = 1 << 20


def read_toml(path: str | os.PathLike[str]) -> dict[str, Given]:
    """The settings a file gives, each with "FILE line N". Raises SettingsError for what is wrong, with its line."""
    given, errors = check_toml(path)
    if errors:
        raise errors[0]
    return given


def check_toml(path: str | os.PathLike[str]) -> tuple[dict[str, Given], list[SettingsError]]:
    """The settings a file gives, and every wrong one.

    Raises SettingsError where the file as a whole is wrong: it cannot be read (errno), is above 1 MiB, is no TOML, or
    has something else than the table [other_config].
    """
    name = os.fspath(path)
    text = _text(name)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of numbers of thousands of digits as well
        raise SettingsError(f"{name} is not TOML: {error}") from None
    for table in content:
        if table != TABLE_NAME:
            where = f"{name} line {_line(text, '', table)}"
            raise SettingsError(f"{where}: unknown table or key {table!r}", hint=f"settings stand under [{TABLE_NAME}]")
    values = content.get(TABLE_NAME, {})
    if not isinstance(values, dict):
        raise SettingsError(f"{name}: {TABLE_NAME} is no table", hint=f"begin the settings with a line [{TABLE_NAME}]")
    return parse_each((key, value, f"{name} line {_line(text, TABLE_NAME, key)}") for key, value in values.items())


def _text(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise SettingsError(f"{name}: more than {MAX_BYTES} bytes, not a settings file")
        return data.decode()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read the settings: {error.strerror}", errno=error.errno or 0) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not TOML: no UTF-8 text at byte {error.start}") from None


def _line(text: str, table: str, key: str) -> int:
    """The line where a key stands (tomllib does not tell), or its table's; 1 where neither is found."""
    current, table_line = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line)
        if header:
            current = header[1].strip("\"'")
            if current == key and not table:
                return number
            table_line = number if current == table else table_line
        elif re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) and current == table:
            return number
    return table_line
