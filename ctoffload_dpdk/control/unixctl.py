"""OVS's unixctl protocol, for `ovs-appctl -t SOCKET`: JSON objects one after the other, without any framing.

The texts of its refusals are OVS's. Messages are read and judged by the ovs package's own parser and message class.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ovs.json
import ovs.jsonrpc

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.dpctl import ANY, Arguments, DpctlCommand, DpctlError, Steps
from ctoffload_dpdk.control.dpctl import commands as dpctl_commands
from ctoffload_dpdk.control.paths import check_length
from ctoffload_dpdk.control.sockets import bind_private, stop
from ctoffload_dpdk.control.system import System

LOGGER = logging.getLogger("ctoffload.control.unixctl")

READ_BYTES = 4096
# A request that is longer is none of ovs-appctl's, whose arguments come from a command line.
MAX_REQUEST_BYTES = 64 * 1024
MAX_CLIENTS = 128
IDLE_LIMIT_S = 600.0
WRITE_LIMIT_S = 30.0
PADDING = 23
FORMATS = ("text", "json")
HEADER = "The available commands are:"


class Refused(Exception):
    """An error text for the client."""


@dataclass(frozen=True)
class Builtin:
    """A command of the server itself. run(client, words) gives a text, or JSON content in format json."""

    usage: str
    least: int
    most: int
    run: Callable[[Client, Sequence[str]], object]


def list_commands(client: Client, words: Sequence[str]) -> object:
    """Every command with its usage."""
    usages = {name: command.usage for name, command in sorted(client.server.commands.items())}
    if client.format == "json":
        return usages
    return "\n".join([HEADER, *(f"  {name:<{PADDING}} {usage}" for name, usage in usages.items())]) + "\n"


def list_dpctl(client: Client, words: Sequence[str]) -> str:
    """dpctl's commands, in the order of its table."""
    names = [(f"dpctl/{name}", command.usage) for name, command in client.server.dpctl.items()]
    return "\n".join([HEADER, *(f"  {name:<{PADDING}} {usage}" for name, usage in names)]) + "\n"


def version(client: Client, words: Sequence[str]) -> str:
    return f"ctoffload {__version__}\n{client.server.system.engine.eal.version}\n"


def set_options(client: Client, words: Sequence[str]) -> str:
    """[--format text|json], for this client from now on. Raises Refused for another option or value."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name != "--format":
            raise Refused(f"unrecognized option '{word}'")
        if not equals and not rest:
            raise Refused("option '--format' requires an argument")
        value = value if equals else rest.pop(0)
        if value.lower() not in FORMATS:
            raise Refused(f"option format has invalid value {value}")
        client.format = value.lower()
    return ""


BUILTINS = {
    "dpctl/list-commands": Builtin("", 0, 0, list_dpctl),
    "list-commands": Builtin("", 0, 0, list_commands),
    "set-options": Builtin("[--format text|json]", 1, 2, set_options),
    "version": Builtin("", 0, 0, version),
}


class UnixctlServer:
    """The unixctl socket of one System, in the asyncio loop of the control thread. turned_away: clients, by reason."""

    def __init__(self, system: System, path: Path) -> None:
        check_length(path)
        self.system = system
        self.path = path
        self.dpctl = dpctl_commands()
        self.commands: dict[str, Builtin | DpctlCommand] = dict(BUILTINS)
        self.commands |= {f"dpctl/{name}": command for name, command in self.dpctl.items()}
        self.served = 0
        self.turned_away: Counter[str] = Counter()
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens. A socket of that name that nobody serves is replaced; UsageError where somebody does."""
        listening = listen_at(self.path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listening, backlog=MAX_CLIENTS)

    async def close(self) -> None:
        """Lets the clients go and frees the path. Idempotent."""
        if self._server is None:
            return
        await stop(self._server, self._clients)
        self._server = None
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MAX_CLIENTS:
            self.turned_away["too-many"] += 1
            writer.close()
            return
        self._clients.add(task)
        client = Client(self, reader, writer)
        try:
            await client.serve()
        except (ConnectionError, TimeoutError):
            self.turned_away["gone"] += 1
            writer.transport.abort()
        except asyncio.CancelledError:
            pass
        except Exception:
            LOGGER.exception("a client's task failed")
        finally:
            self._clients.discard(task)
            writer.close()


def listen_at(path: Path) -> socket.socket:
    """A socket at this path, in the place of one that nobody serves. Raises UsageError where somebody does."""
    with contextlib.suppress(OSError):
        if path.is_socket() and not is_served(path):
            path.unlink()
    return bind_private(path, "stop the daemon that serves it, or name another place")


def is_served(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


class Client:
    """One client. format: of its answers, "text" or "json"."""

    def __init__(self, server: UnixctlServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.format = "text"
        self._reader = reader
        self._writer = writer
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._parser: ovs.json.Parser | None = None
        self._parsed_bytes = 0

    async def serve(self) -> None:
        """Answers request after request, in order, until the client goes or sends what is none."""
        while True:
            async with asyncio.timeout(IDLE_LIMIT_S):
                data = await self._reader.read(READ_BYTES)
            if not data:
                return None
            try:
                text = self._decoder.decode(data)
            except UnicodeDecodeError:
                return self._drop("not-utf-8")
            while text:
                request, text, wrong = self._feed(text)
                if wrong:
                    return self._drop(wrong)
                if request is not None:
                    await self._answer(request)
                    self.server.served += 1

    def _drop(self, reason: str) -> None:
        """OVS closes without a word as well."""
        self.server.turned_away[reason] += 1

    def _feed(self, text: str) -> tuple[ovs.jsonrpc.Message | None, str, str]:
        """(a request that is complete, what follows it, why the client has to go)."""
        if self._parser is None:
            self._parser = ovs.json.Parser()
            self._parsed_bytes = 0
        try:
            used = self._parser.feed(text)
            is_done = self._parser.is_done()
        except (ValueError, OverflowError, ArithmeticError):  # numbers of thousands of digits
            return None, "", "no-json"
        self._parsed_bytes += used
        if self._parsed_bytes > MAX_REQUEST_BYTES:
            return None, "", "too-long"
        if not is_done:
            return None, "", ""
        content = self._parser.finish()
        self._parser = None
        if isinstance(content, str):
            return None, "", "no-json"
        message = ovs.jsonrpc.Message.from_json(content)
        if isinstance(message, str) or message.type != ovs.jsonrpc.Message.T_REQUEST:
            return None, "", "no-request"
        return message, text[used:], ""

    async def _answer(self, request: ovs.jsonrpc.Message) -> None:
        try:
            content = await self._run(request.method, request.params)
            body = {"error": None, "result": content}
        except (Refused, DpctlError) as error:
            body = {"error": str(error)}
        except CtoffloadError as error:
            body = {"error": f"ctoffload: {error.message}\n"}
        except Exception as error:  # a bug of ours ends one request, not the daemon
            LOGGER.exception("command %s failed", request.method)
            body = {"error": f"a bug in ctoffload: {type(error).__name__}: {error}"}
        self._writer.write(ovs.json.to_string({**body, "id": request.id}).encode())
        async with asyncio.timeout(WRITE_LIMIT_S):
            await self._writer.drain()

    async def _run(self, method: str, params: Sequence[object]) -> object:
        """The result of a command, as the client's format wants it."""
        command = self.server.commands.get(method)
        if command is None:
            raise Refused(f'"{method}" is not a valid command (use "list-commands" to see a list of valid commands)')
        if len(params) < command.least:
            raise Refused(f'"{method}" command requires at least {command.least} arguments')
        if command.most != ANY and len(params) > command.most:
            raise Refused(f'"{method}" command takes at most {command.most} arguments')
        words = [word for word in params if isinstance(word, str)]
        if len(words) < len(params):
            raise Refused(f'"{method}" command has non-string argument')
        if isinstance(command, Builtin):
            content = command.run(self, words)
            return content if not isinstance(content, str) else self._shaped(content)
        answer = command.run(self.server.system, Arguments.of(words))
        return self._shaped(answer if isinstance(answer, str) else await finished(answer))

    def _shaped(self, text: str) -> object:
        return text if self.format == "text" else {"reply": text, "reply-format": "plain"}


async def finished(steps: Steps) -> str:
    """Runs to the end; others have their turn after each step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            text: str = end.value
            return text
        await asyncio.sleep(0)
