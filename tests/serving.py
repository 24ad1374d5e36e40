"""A server of the control room in a thread of its own, over an engine that nobody steps meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


class Server(Protocol):
    """What start() and close() belong to."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


class Serving:
    """Started when it is made, until close()."""

    def __init__(self, *servers: Server) -> None:
        self.servers = servers
        self._up = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._up.wait(10)
        if self._failed is not None:
            self._thread.join()
            raise self._failed

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            for server in self.servers:
                await server.start()
        except BaseException as error:
            self._failed = error
            return
        finally:
            self._up.set()
        await self._stop.wait()
        for server in reversed(self.servers):
            await server.close()

    def call(self, function: Any) -> Any:
        """Runs a function in the server's thread."""

        async def there() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(20)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()


@contextlib.contextmanager
def connected(path: Path, timeout_s: float = 20) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))  # waits where many others do
        client.settimeout(timeout_s)
        yield client


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            data += chunk
    return data
