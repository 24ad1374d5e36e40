"""The control socket: clients, their requests, and the limits that keep one client from hurting the others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.control import protocol
from ctoffload_dpdk.control.command import Answers, Part
from ctoffload_dpdk.control.commands import begin, find
from ctoffload_dpdk.control.paths import check_length
from ctoffload_dpdk.control.protocol import Request, error_line, line_of, part_line, request_of
from ctoffload_dpdk.control.sockets import bind_private, stop
from ctoffload_dpdk.control.system import System

LOGGER = logging.getLogger("ctoffload.control")

# How often a stream looks whether something happened.
STREAM_LOOK_S = 0.02
# How long a command that waits for the NIC is left alone.
WAIT_S = 0.005
# An answer that takes longer says how far it is; again after so long.
PROGRESS_AFTER_S = 0.02
PROGRESS_EVERY_S = 0.25
# What may wait in the buffer of one client before its command waits as well.
HIGH_WATER_BYTES = 256 * 1024

Result = TypeVar("Result")


class Server:
    """The stream socket of one System, in an asyncio loop on the control thread.

    Every client has a task; a long answer is written a part at a time, and waits for a client that reads slowly.
    served: how many requests were answered; turned_away: how many clients were, by reason.
    """

    def __init__(self, system: System, path: Path) -> None:
        check_length(path)
        self.system = system
        self.path = path
        self.served = 0
        self.turned_away: Counter[str] = Counter()
        self._lock = -1
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Takes the path, with a lock beside it, and listens. Raises UsageError EADDRINUSE where a daemon has it, and
        where something else than a socket is there: that is left alone."""
        self._loop = asyncio.get_running_loop()
        refuse_other_files(self.path)
        self._lock = lock_file(self.path.with_name(f"{self.path.name}.lock"))
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()  # of a daemon that was killed: nobody holds its lock
        listening = bind_private(self.path, "name another place with --socket")
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listening, limit=protocol.MAX_LINE_BYTES, backlog=protocol.MAX_CLIENTS
        )

    def call(self, function: Callable[[], Result], timeout_s: float = 30.0) -> Result:
        """Runs a function on the control thread and returns what it returns; from any other thread."""
        assert self._loop is not None

        async def on_control_thread() -> Result:
            return function()

        return asyncio.run_coroutine_threadsafe(on_control_thread(), self._loop).result(timeout_s)

    async def close(self) -> None:
        """Lets the clients go and frees the path."""
        if self._server is not None:
            await stop(self._server, self._clients)
            self._server = None
        if self._lock >= 0:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            os.close(self._lock)
            self._lock = -1

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        writer.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        client = Client(self, reader, writer)
        try:
            if len(self._clients) > protocol.MAX_CLIENTS:
                await client.turn_away(
                    "too-many", f"{protocol.MAX_CLIENTS} clients are served already", errno.EAGAIN, "try again later"
                )
            else:
                await client.serve()
        except (ConnectionError, TimeoutError):
            self.turned_away["gone"] += 1
        except asyncio.CancelledError:
            pass
        except Exception:
            LOGGER.exception("a client's task failed")
        finally:
            self._clients.discard(task)
            writer.transport.abort() if client.is_stuck else writer.close()


class Client:
    """One client."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.is_stuck = False
        self.has_said_all = False
        self._feed_eof = reader.feed_eof
        reader.feed_eof = self._no_more  # type: ignore[method-assign]

    def _no_more(self) -> None:
        """The client half closed or left, while requests of its may still wait: what would go on for ever ends."""
        self.has_said_all = True
        self._feed_eof()

    async def serve(self) -> None:
        """Answers request after request, until the client ends or breaks a limit."""
        while True:
            try:
                async with asyncio.timeout(protocol.IDLE_LIMIT_S):
                    line = await self.reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                if end.partial.strip():
                    await self.answer(end.partial)
                return None
            except asyncio.LimitOverrunError:
                limit = f"a request has {protocol.MAX_LINE_BYTES} bytes at most"
                return await self.turn_away("line-too-long", limit, errno.EMSGSIZE, "ask for less at a time")
            except TimeoutError:
                idle = f"nothing was asked for {protocol.IDLE_LIMIT_S:.0f} s"
                return await self.turn_away("idle", idle, errno.ETIMEDOUT, "connect again")
            if line.strip():
                await self.answer(line)

    async def turn_away(self, reason: str, message: str, number: int, hint: str) -> None:
        """Says why, and closes."""
        self.server.turned_away[reason] += 1
        await self.write(error_line(None, CtoffloadError(message, errno=number, hint=hint)))

    async def write(self, data: bytes) -> None:
        """Waits where the client has much to read yet. Raises TimeoutError where it reads nothing."""
        self.writer.write(data)
        try:
            async with asyncio.timeout(protocol.READ_LIMIT_S):
                await self.writer.drain()
        except TimeoutError:
            self.is_stuck = True
            self.server.turned_away["slow"] += 1
            raise

    async def answer(self, line: bytes) -> None:
        """Answers one request, whatever it is."""
        request = None
        try:
            request = request_of(line)
            await self.run(request)
        except CtoffloadError as error:
            await self.write(error_line(request.id if request else None, error))
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise
            told = CtoffloadError(str(error), errno=error.errno or 0)
            await self.write(error_line(request.id if request else None, told))
        except Exception as error:  # a bug of ours ends one request, not the daemon
            LOGGER.exception("command %s failed", request.command if request else "?")
            told = CtoffloadError(f"a bug in ctoffload: {type(error).__name__}: {error}", hint="see the daemon's log")
            await self.write(error_line(request.id if request else None, told))
        self.server.served += 1

    async def run(self, request: Request) -> None:
        """Runs a command and writes what it answers."""
        command = find(request.command)
        answer = begin(self.server.system, request.command, request.parameters)
        if isinstance(answer, dict):
            return await self.write(line_of(request.id, "result", answer))
        n = 0
        is_stream = command.answers is Answers.STREAM
        progress_s = time.monotonic() + PROGRESS_AFTER_S
        with contextlib.closing(answer):  # type: ignore[type-var]
            while True:
                try:
                    part = next(answer)
                except StopIteration as end:
                    key, content = ("result", end.value) if command.answers is Answers.DOCUMENT else ("end", {"n": n})
                    return await self.write(line_of(request.id, key, content))
                if isinstance(part, Part) and (part.rows or part.text):
                    n += part.n
                    await self.write(part_line(request.id, part))
                elif isinstance(part, dict) and time.monotonic() >= progress_s:
                    progress_s = time.monotonic() + PROGRESS_EVERY_S
                    await self.write(line_of(request.id, "progress", part))
                waits = isinstance(part, Part) and part.waits
                await asyncio.sleep(STREAM_LOOK_S if is_stream else WAIT_S if waits else 0)
                if self.writer.is_closing():
                    raise ConnectionResetError
                if is_stream and self.has_said_all:
                    return await self.write(line_of(request.id, "end", {"n": n}))


def refuse_other_files(path: Path) -> None:
    """Raises UsageError EADDRINUSE where the path is taken by what is no socket: nothing of ours may replace it."""
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UsageError(
                f"cannot make the socket {path}: something is there that is no socket",
                errno=errno.EADDRINUSE,
                hint="name another place with --socket",
            )


def lock_file(path: Path) -> int:
    """Locks a file for as long as this process lives. Raises UsageError EADDRINUSE where another has it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot open {path}: {error.strerror}",
            errno=error.errno or errno.EIO,
            hint="name another place with --socket",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        raise UsageError(
            f"a daemon serves this socket already{f' (process {pid})' if pid else ''}: {path}",
            errno=errno.EADDRINUSE,
            hint="stop it, or give this one a socket of its own with --socket",
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock
