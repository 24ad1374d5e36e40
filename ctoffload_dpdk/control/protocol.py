"""The stream socket's language: a JSON object a line, UTF-8.

Request:  {"id": 7, "command": "dump", "parameters": {"zone": 5}}
Answers:  {"id": 7, "schema": 1, "result": {...}}                   a document
          {"id": 7, "schema": 1, "progress": {...}}                 before it: what is known until now
          {"id": 7, "schema": 1, "rows": [{...}, ...]}              a part of a long answer
          {"id": 7, "schema": 1, "text": "...\\n"}                   a part, as finished lines
          {"id": 7, "schema": 1, "end": {"n": 12345}}               the end of the parts
          {"id": 7, "schema": 1, "error": {"error": ..., "message": ..., "errno": ..., "hint": ...}}

id is any number or text of the client's, null where a request had none that could be read. Requests are answered in
order, one at a time; what a client sends meanwhile waits in its socket. After an error that has no request ("goodbye")
the server closes.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctoffload_dpdk.base import errors
from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.control.command import SCHEMA, Part

MAX_LINE_BYTES = 64 * 1024
MAX_CLIENTS = 256
# A client that asks nothing for so long is let go; so is one that takes nothing of its answer.
IDLE_LIMIT_S = 600.0
READ_LIMIT_S = 30.0

RequestId = int | str | None


@dataclass(frozen=True)
class Request:
    """One request as it was read."""

    id: RequestId
    command: str
    parameters: Mapping[str, object]


def request_of(line: bytes) -> Request:
    """Reads a request. Raises UsageError EBADMSG for what is none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise refused("a request is one line of JSON") from None
    if not isinstance(content, dict):
        raise refused("a request is a JSON object")
    number = content.get("id")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int | str) or len(str(number)) > 64):
        raise refused("id is a number or a text of at most 64 characters")
    command, parameters = content.get("command"), content.get("parameters", {})
    if not isinstance(command, str):
        raise refused("command is missing, or no text")
    if not isinstance(parameters, dict):
        raise refused("parameters is a JSON object")
    return Request(number, command, parameters)


def refused(message: str) -> UsageError:
    return UsageError(
        message, errno=errno.EBADMSG, hint='for example: {"id": 1, "command": "count", "parameters": {"zone": 5}}'
    )


def line_of(request_id: RequestId, key: str, content: object) -> bytes:
    """An answer's line. key: result, progress, end or error."""
    return json.dumps({"id": request_id, "schema": SCHEMA, key: content}).encode() + b"\n"


def part_line(request_id: RequestId, part: Part) -> bytes:
    """A part's line."""
    head = b'{"id": %s, "schema": %d, ' % (json.dumps(request_id).encode(), SCHEMA)
    if part.rows:
        return b'%s"rows": [%s]}\n' % (head, part.rows)
    return b'%s"text": %s}\n' % (head, json.dumps(part.text, ensure_ascii=False).encode())


def error_line(request_id: RequestId, error: CtoffloadError) -> bytes:
    """An error's answer. A class that a client cannot know of goes as the nearest one that it does."""
    kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in ERRORS)
    return line_of(request_id, "error", error.as_dict() | {"error": kind})


def error_of(facts: object) -> CtoffloadError:
    """The error that an answer tells of, of its class where that is one of `base.errors`, else a CtoffloadError."""
    told: Mapping[str, Any] = facts if isinstance(facts, dict) else {}
    number = told.get("errno", 0)
    return ERRORS.get(str(told.get("error")), CtoffloadError)(
        str(told.get("message", "the daemon gave no reason")),
        errno=number if isinstance(number, int) else 0,
        **{key: str(told.get(key, "")) for key in ("op", "provider", "port", "hint")},
    )


# Classes that are made of what an answer tells, by name.
ERRORS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, CtoffloadError)
}
