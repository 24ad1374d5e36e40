"""What every server of the control thread does alike: a socket for its owner alone, and the end of its clients."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

from ctoffload_dpdk.base.errors import UsageError


def bind_private(path: Path, hint: str) -> socket.socket:
    """A bound Unix stream socket that only its owner and root may connect to. Raises UsageError with this hint."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(os.fspath(path))
    except OSError as error:
        bound.close()
        raise UsageError(
            f"cannot make the socket {path}: {error.strerror}", errno=error.errno or errno.EIO, hint=hint
        ) from None
    finally:
        os.umask(before)
    return bound


async def stop(server: asyncio.Server, clients: set[asyncio.Task[None]]) -> None:
    """Takes no more clients and lets go those that are there."""
    server.close()
    for client in list(clients):
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    await server.wait_closed()
