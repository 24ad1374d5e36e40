"""What `ctoffload rules` says, in lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def rules_lines(answer: dict[str, Any]) -> Iterator[str]:
    """The answer of the command `rules` in words; of one port: with the reasons against better plans."""
    if "port" in answer:
        yield from _port_lines(answer["port"])
    else:
        for name, value in answer["provider"].items():
            shown = value if isinstance(value, str) else f"{value:,}"
            if shown:
                yield f"{name.replace('_', '-'):<22}{shown:>14}"
    for plan in answer["plans"]:
        nat = ", translated" if plan["nat"] else ""
        kind = f"{plan['from']} > {plan['to']}: {plan['proto']} over {plan['family']}{nat}"
        yield f"{kind}: " + (
            "none: it stays in software" if plan["plan"] == "none" else f"{plan['plan']} by {plan['fate']}"
        )
        if "port" in answer:
            yield from (f"  {refusal_text(one)}" for one in plan["refusals"])


def refusal_text(refusal: dict[str, Any]) -> str:
    """Why not a plan: by a fate, or by whichever."""
    by = "" if refusal["fate"] == "none" else f" by {refusal['fate']}"
    return f"not {refusal['plan']}{by}: {refusal['why']}"


def _port_lines(port: dict[str, Any]) -> Iterator[str]:
    yield f"{port['port']} ({port['driver']})"
    for one in port["rules_on"]:
        yield f"  rules on {one['port']}: {'there are some now' if one['has_rules'] else 'none now'}"
    if not port["rules_on"]:
        yield "  no rules are made for it: its driver was not found able to"
    yield from (f"  note: {note}" for note in port["notes"])
