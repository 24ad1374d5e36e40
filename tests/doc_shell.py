"""One bash for one page: what a command leaves (variables, files, programs in the background) is there for the next."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

END = "end-of-command-8c1f"


class Shell:
    def __init__(self, directory: Path, programs: Path) -> None:
        """programs: the directory of the Python programs that the page's commands find first."""
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON", "CTOFFLOAD", "COV_"))
        }
        environment |= {"PATH": f"{programs}:{environment.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"}
        environment |= {"COLUMNS": "120", "TERM": "dumb", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"XDG_RUNTIME_DIR": str(directory), "HOME": os.environ.get("HOME", str(directory))}
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str, timeout_s: float) -> tuple[int, str]:
        """(status, what it printed). Raises TimeoutError with what was printed until then."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n{END} %s\\n' $?\n".encode())
        self.process.stdin.flush()
        printed, until = b"", time.monotonic() + timeout_s
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{command}\nhas not ended after {timeout_s:.0f} s; it printed:\n{text_of(printed)}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            printed += piece
            if not piece:
                raise EOFError(f"{command}\nended the shell; it printed:\n{text_of(printed)}")
            before, found, after = printed.rpartition(f"\n{END} ".encode())
            if found and after.endswith(b"\n"):
                return int(after), text_of(before)

    def close(self) -> None:
        """Ends it with everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def text_of(printed: bytes) -> str:
    return printed.decode(errors="replace")
