"""The channel into a process that runs on the stand-in: what rules it made, and what tests move."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

TIMEOUT_S = 20


class ControlError(Exception):
    """The stand-in refused a command."""


class Fault(StrEnum):
    """What a test can let fail."""

    RULE = "rule"
    QUEUE_ENTRY = "queue-entry"
    OBJECT = "object"


@dataclass(frozen=True)
class RuleRecord:
    """A rule as the device got it.

    engine: "software", "hardware", or "root" for rules the kernel would make. domain: "nic-rx", "nic-tx", "fdb", or one
    side of the E-Switch, "fdb-rx", "fdb-tx". table: the level in software steering, a number of firmware's in hardware.
    """

    number: int
    engine: str
    domain: str
    table: int
    priority: int
    match: list[dict[str, str]]
    actions: list[dict[str, Any]]

    @property
    def kinds(self) -> list[str]:
        """The actions' kinds in order, e.g. ["counter", "table"]."""
        return [str(a["action"]) for a in self.actions]

    def matched(self) -> dict[str, str]:
        """Field to value; a value of which not all bits count as value/mask."""
        full = {m["field"]: set(m["mask"][2:]) == {"f"} or m["mask"] in FULL_MASKS for m in self.match}
        return {m["field"]: m["value"] if full[m["field"]] else f"{m['value']}/{m['mask']}" for m in self.match}


FULL_MASKS = {"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}


@dataclass(frozen=True)
class Refusal:
    """A rule the stand-in refused, with the errno libmlx5 gives and why."""

    errno: int
    why: str
    rule: RuleRecord


@dataclass(frozen=True)
class Complaint:
    """What the driver wrote into struct rte_flow_error. type: enum rte_flow_error_type."""

    errno: int
    type: int
    message: str


@dataclass(frozen=True)
class Context:
    """A CONNTRACK object in the device, with firmware's names for its fields."""

    id: int
    fields: dict[str, int] = field(default_factory=dict)


def rule_of(line: dict[str, Any], number: int) -> RuleRecord:
    return RuleRecord(
        number=number,
        engine=line["engine"],
        domain=line["domain"],
        table=line["table"] if "table" in line else line["level"],
        priority=line.get("priority", 0),
        match=line["match"],
        actions=line["actions"],
    )


class Control:
    """A connection to the stand-in in one process; one at a time."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("r", encoding="utf-8")

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, *words: object) -> list[dict[str, Any]]:
        """One command; the lines of its answer. Raises ControlError where the stand-in says no."""
        command = " ".join(str(w) for w in words)
        self._socket.sendall(f"{command}\n".encode())
        lines: list[dict[str, Any]] = []
        for text in self._file:
            line: dict[str, Any] = json.loads(text)
            if "error" in line:
                raise ControlError(f"{command}: {line['error']}")
            if line.get("ok"):
                return lines
            lines.append(line)
        raise ControlError(f"{command}: the process ended before it answered")

    def rules(self) -> list[RuleRecord]:
        """The live rules in the order they were made, the driver's own included."""
        return [rule_of(line, line["rule"]) for line in self.ask("rules")]

    def refusals(self) -> list[Refusal]:
        """The rules refused since the last call."""
        return [Refusal(line["errno"], line["why"], rule_of(line, line["refused"])) for line in self.ask("refusals")]

    def complaints(self) -> list[Complaint]:
        """The driver's complaints since the last call, at most the latest 64."""
        return [Complaint(line["errno"], line["type"], line["message"]) for line in self.ask("complaints")]

    def hit(self, rule: RuleRecord, packets: int = 1, n_bytes: int = 0) -> None:
        """As if packets had hit the rule: its counter grows, its age bit is set."""
        self.ask("hit", rule.number, packets, n_bytes)

    def contexts(self) -> list[Context]:
        """The CONNTRACK objects that were written so far."""
        return [Context(line.pop("context"), line) for line in self.ask("contexts")]

    def set_context(self, context: Context, **fields: int) -> None:
        """As if packets had moved the context; a dot in a field's name is written as two underscores."""
        for name, value in fields.items():
            self.ask("context", context.id, name.replace("__", "."), value)

    def fail(self, what: Fault, nth: int, errno: int) -> None:
        """The nth from now fails, once. errno is what libmlx5 gives for a rule or object; a queue entry knows none."""
        self.ask("fail", what, nth, errno)

    def remove_device(self) -> None:
        """As if the card had been pulled out: the driver is told so, and raises RTE_ETH_EVENT_INTR_RMV."""
        self.ask("remove")

    def n_objects(self) -> dict[tuple[int, int], int]:
        """How many firmware objects there are, by opcode of their command and by type."""
        return {(line["opcode"], line["type"]): line["n"] for line in self.ask("objects")}
