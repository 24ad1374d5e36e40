"""A command as the table holds it: name, typed parameters, what it answers, its limits. Every front end reads this."""

from __future__ import annotations

import difflib
import errno
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ctoffload_dpdk.base.errors import UsageError, shown

SCHEMA = 1


class Answers(Enum):
    """What comes back. DOCUMENT: one object at once. ROWS: parts with an end. STREAM: parts until the client leaves."""

    DOCUMENT = "document"
    ROWS = "rows"
    STREAM = "stream"


@dataclass(frozen=True)
class Part:
    """A piece of a long answer, worth one write.

    n: how many rows it holds; 0: so much of the table was looked at and nothing fitted. rows: JSON objects, joined by
    commas; text: finished lines, each with its newline. One of the two is used. waits: nothing is to be done for a few
    milliseconds.
    """

    n: int = 0
    rows: bytes = b""
    text: str = ""
    waits: bool = False


def rows_part(rows: Iterable[Mapping[str, Any]]) -> Part:
    """A part of plain dicts."""
    encoded = [json.dumps(row) for row in rows]
    return Part(len(encoded), ",".join(encoded).encode())


Document = dict[str, Any]
# A document that takes a while: a step of the work each time, with how far it is; the document at the end.
Steps = Generator[Document, None, Document]
# Rows or lines; with how far it is, where nothing is there to be shown yet.
Parts = Iterator[Part | Document]
Answer = Document | Steps | Parts


@dataclass(frozen=True)
class Parameter:
    """One parameter. kind: int, bool or str; minimum, maximum: of an int; choices: of a str, empty for any text."""

    name: str
    kind: type
    doc: str
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 2**63 - 1

    @property
    def argument(self) -> str:
        """The name as a Python argument."""
        return self.name.replace("-", "_")

    @property
    def allowed(self) -> str:
        """The values it may have, in words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is int:
            return f"a number from {self.minimum} to {self.maximum}"
        return " or ".join(self.choices) or "text"

    def check(self, value: object) -> Any:
        """The value. Raises UsageError EINVAL for another type, a number out of bounds, and text that is no choice."""
        is_right = type(value) is self.kind  # bool is an int to Python, not to a user
        if is_right and isinstance(value, str):
            is_right = not self.choices or value in self.choices
        elif is_right and isinstance(value, int) and self.kind is int:
            is_right = self.minimum <= value <= self.maximum
        if not is_right:
            hint = f"it may be {self.allowed}"
            raise UsageError(f"{self.name} cannot be {shown(value)}", errno=errno.EINVAL, hint=hint)
        return value


@dataclass(frozen=True)
class Command:
    """One command. run(system, **parameters) gives a Document, Steps to one, or, for ROWS and STREAM, Parts.

    Each step and each part is a bounded piece of work. A stream gives empty parts while nothing happens.
    limit: what bounds the answer, in words.
    """

    name: str
    doc: str
    answers: Answers
    run: Callable[..., Answer]
    parameters: tuple[Parameter, ...] = ()
    limit: str = ""

    def arguments(self, given: Mapping[str, object]) -> dict[str, Any]:
        """What was given, checked, as Python arguments. Raises UsageError EINVAL for the unknown, wrong or missing."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                names = f"its parameters: {', '.join(known) or 'none'}"
                raise UsageError(
                    f"{self.name} has no parameter {name[:60]!r}",
                    errno=errno.EINVAL,
                    op=self.name,
                    hint=f"did you mean {near[0]}?" if near else names,
                )
        for parameter in self.parameters:
            if parameter.required and given.get(parameter.name) is None:
                raise UsageError(
                    f"{self.name} needs {parameter.name}", errno=errno.EINVAL, op=self.name, hint=parameter.doc
                )
        return {known[name].argument: known[name].check(value) for name, value in given.items() if value is not None}

    def as_document(self) -> Document:
        """What `commands` says of it."""
        parameters = [
            {
                "name": p.name,
                "kind": p.kind.__name__,
                "doc": p.doc,
                "required": p.required,
                "choices": list(p.choices),
                "allowed": p.allowed,
            }
            for p in self.parameters
        ]
        return {
            "name": self.name,
            "doc": self.doc,
            "answers": self.answers.value,
            "limit": self.limit,
            "parameters": parameters,
        }
