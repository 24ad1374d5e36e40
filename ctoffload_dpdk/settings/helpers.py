"""Which connections have a helper, as a setting says it: ftp=21,tftp=69@5."""

from __future__ import annotations

from dataclasses import dataclass

HELPERS = ("ftp", "tftp")
MAX_RULES = 16
HELPERS_FORM = f"helper=port or helper=port@zone, at most {MAX_RULES} with commas; helpers: {', '.join(HELPERS)}"


@dataclass(frozen=True)
class HelperRule:
    """Connections to this port, in this zone or in any, are read along by a helper."""

    helper: str
    port: int
    zone: int | None = None


def read_helpers(text: str) -> tuple[HelperRule, ...]:
    """The rules of a text, in its order: the first that fits a connection is its helper.

    Raises ValueError for a text of another form, an unknown helper, and more than 16 rules.
    """
    rules = tuple(read_rule(part) for part in text.split(",")) if text.strip() else ()
    if len(rules) > MAX_RULES:
        raise ValueError(f"{len(rules)} helpers, of {MAX_RULES} at most")
    return rules


def read_rule(text: str) -> HelperRule:
    helper, _, place = text.strip().partition("=")
    port, at, zone = place.partition("@")
    if helper not in HELPERS:
        raise ValueError(f"{helper!r} is no helper")
    return HelperRule(helper, number(port, 1), number(zone, 0) if at else None)


def number(text: str, lowest: int) -> int:
    """A port or a zone. Raises ValueError for what is not between lowest and 65535."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and lowest <= int(text) <= 65535):
        raise ValueError(f"{text!r} is not between {lowest} and 65535")
    return int(text)
