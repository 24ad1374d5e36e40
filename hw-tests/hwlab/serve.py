"""The process under test: calls functions of bench.py on demand, over its standard input and output.

One call a line, as JSON: {"call": NAME, "args": [...], "kwargs": {...}}; one answer a line: {"answer": ...} or
{"error": {...}}. Bytes travel as {"bytes": BASE64}. Whatever else writes to standard output goes to standard error.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def encode(value: Any) -> Any:
    """JSON's `default`: bytes as text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be sent")


def decode(table: dict[str, Any]) -> Any:
    """JSON's `object_hook`: the reverse of `encode`."""
    return base64.b64decode(table["bytes"]) if set(table) == {"bytes"} else table


def described(error: Exception) -> dict[str, Any]:
    """An exception as the other side can raise it again."""
    facts = getattr(error, "as_dict", dict)()
    return {"error": type(error).__name__, "message": str(error), **facts}


def serve(functions: Mapping[str, Any], source: Any, sink: Any) -> None:
    """Answers until the source ends."""
    for line in source:
        request = json.loads(line, object_hook=decode)
        try:
            answer = {"answer": functions[request["call"]](*request["args"], **request["kwargs"])}
        except Exception as error:  # whatever it is, the caller has to see it
            answer = {"error": described(error)}
        sink.write(json.dumps(answer, default=encode) + "\n")
        sink.flush()


def main() -> None:
    # The channel is a copy: DPDK's drivers print to standard output as they like.
    sink = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:0] = [str(HERE.parent)]
    sys.path.append(str(HERE.parent.parent))
    from hwlab import bench  # noqa: PLC0415 - needs the path above

    functions = {n: f for n, f in vars(bench).items() if getattr(f, "__module__", "") == bench.__name__}
    serve(functions, sys.stdin, sink)
    bench.finish()


if __name__ == "__main__":
    main()
