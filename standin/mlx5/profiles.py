"""What card the stand-in is: profiles by name, as data in profiles/, or a file that a lab recorded.

A profile's `set` says what is different about a card; `recorded` holds what a real one answered to QUERY_HCA_CAP, by
operation modifier, which then takes the place of all else. `known_by` says what the numbers stand on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).with_name("profiles")
SCHEMA = 1
DEFAULT = "permissive"


class UnknownProfile(Exception):
    """There is no such profile, or its file is none; the text says which there are."""


@dataclass(frozen=True)
class Profile:
    """One card. device: its PCI device id; recorded: operation modifier to bytes."""

    name: str
    card: str
    device: int
    known_by: str
    firmware: str
    numbers: dict[str, int]
    recorded: dict[int, bytes]

    @property
    def is_recorded(self) -> bool:
        return bool(self.recorded)

    def lines(self) -> str:
        """The file that profile.c reads."""
        words = [f"set {name} {value}" for name, value in self.numbers.items()]
        words += [f"part {op_mod:#x} {data.hex() or '00'}" for op_mod, data in self.recorded.items()]
        return "\n".join(words) + "\n"


def names() -> list[str]:
    return sorted(path.stem for path in PLACE.glob("*.json"))


def load(name: str) -> Profile:
    """The profile of this name, or in this file. Raises UnknownProfile."""
    path = PLACE / f"{name}.json" if name in names() else Path(name)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["schema"] != SCHEMA:
            raise ValueError("schema")
        return Profile(
            name=path.stem,
            card=facts["card"],
            device=int(facts["device"], 16),
            known_by=facts["known_by"],
            firmware=facts["firmware"],
            numbers={key: int(value) for key, value in facts["set"].items()},
            recorded={int(key, 16): bytes.fromhex(value) for key, value in facts["recorded"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        there = ", ".join(names())
        raise UnknownProfile(f"no profile {name} ({type(error).__name__}: {error}); there are: {there}") from None
