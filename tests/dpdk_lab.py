"""Runs a function of a test file in a process of its own: EAL starts once, and some tests are about how it starts."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 60


@dataclass(frozen=True)
class Ended:
    """How a process ended: what its function returned, and what it printed."""

    answer: Any
    stdout: str
    stderr: str


def in_a_process(function: Callable[..., Any], *args: Any, flags: tuple[str, ...] = (), nic: Any = None) -> Ended:
    """Calls function(*args) in a fresh Python; arguments and answer are JSON. Fails with its last words if it dies.

    nic: the stand-in the process runs on.
    """
    place = inspect.getsourcefile(function)
    command = [sys.executable, *flags, __file__, str(place), function.__name__, json.dumps(args)]
    environment = None
    if nic is not None:
        command, environment = nic.command(command), nic.environment()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=environment)
    head, mark, answer = done.stdout.rpartition("ANSWER ")
    assert done.returncode == 0 and mark, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Ended(json.loads(answer), head, done.stderr)


def main() -> None:
    place, name, args = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("tests_in_a_process", Path(place))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer = getattr(module, name)(*json.loads(args))
    print("ANSWER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
