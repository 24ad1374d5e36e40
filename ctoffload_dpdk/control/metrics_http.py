"""The metrics over HTTP, for Prometheus: GET /metrics, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from http import HTTPStatus

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.control.metrics import EngineCollector
from ctoffload_dpdk.control.sockets import stop
from ctoffload_dpdk.control.system import System

LOGGER = logging.getLogger("ctoffload.control.metrics")

MAX_HEAD_BYTES = 8192
MAX_CLIENTS = 32
# A scrape is one request and its answer; the client has so long for both.
LIMIT_S = 10.0
LISTEN = {"local": "127.0.0.1", "any": None}


class MetricsServer:
    """Answers scrapes in the asyncio loop of the control thread. turned_away: clients, by reason."""

    def __init__(self, system: System, listen: str, port: int) -> None:
        """listen: local or any; port 0: one that is free."""
        self.system = system
        self.listen = listen
        self.port = port
        self.scrapes = 0
        self.turned_away: Counter[str] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(EngineCollector(system))
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens; `port` is then the one it has. Raises UsageError, with the errno, where it cannot: EADDRINUSE."""
        host = LISTEN[self.listen]
        try:
            self._server = await asyncio.start_server(self._accept, host, self.port, limit=MAX_HEAD_BYTES)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at port {self.port}: {error.strerror}",
                errno=error.errno or errno.EIO,
                hint="set ct-offload-metrics-port to one that is free, or to 0",
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Lets the clients go and frees the port. Idempotent."""
        if self._server is None:
            return
        await stop(self._server, self._clients)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MAX_CLIENTS:
            self.turned_away["too-many"] += 1
            writer.transport.abort()
            return
        self._clients.add(task)
        try:
            async with asyncio.timeout(LIMIT_S):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, ConnectionError):
            self.turned_away["slow"] += 1
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        except Exception:
            LOGGER.exception("a scrape failed")
            writer.transport.abort()
        finally:
            self._clients.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return self._refused(HTTPStatus.BAD_REQUEST)
        except asyncio.LimitOverrunError:
            return self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        lines = head.decode("latin-1").split("\r\n")
        wrong = wrong_with(lines[0])
        if wrong is not None:
            return self._refused(wrong)
        accept = next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("accept:")), "")
        return self._metrics(accept, lines[0].partition(" ")[0])

    def _metrics(self, accept: str, method: str) -> bytes:
        try:
            encode, kind = choose_encoder(accept)
        except (ValueError, TypeError):  # a version in it that is none
            encode, kind = choose_encoder("")
        body = encode(self._registry)
        self.scrapes += 1
        return response(HTTPStatus.OK, kind, body if method == "GET" else b"", len(body))

    def _refused(self, status: HTTPStatus) -> bytes:
        self.turned_away[status.phrase] += 1
        body = f"{status.value} {status.phrase}; the metrics are at /metrics\n".encode()
        return response(status, "text/plain; charset=utf-8", body, len(body))


def wrong_with(request: str) -> HTTPStatus | None:
    """The status that refuses a request line; None for one that is answered."""
    words = request.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return HTTPStatus.BAD_REQUEST
    if words[0] not in {"GET", "HEAD"}:
        return HTTPStatus.METHOD_NOT_ALLOWED
    return None if words[1].partition("?")[0] == "/metrics" else HTTPStatus.NOT_FOUND


def response(status: HTTPStatus, kind: str, body: bytes, length: int) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(head).encode() + body
