"""What a service manager is told, systemd's way: ready, alive, stopping."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Tells the service manager, where there is one ($NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A name that begins with @ is of the abstract namespace.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.connect(name)
            manager.sendall(state.encode())
        except OSError:
            return  # it is for the manager to miss it


def watchdog_s() -> float:
    """How long the service manager waits for a sign of life; 0: it does not."""
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        owner = int(os.environ.get("WATCHDOG_PID", "0") or "0")
    except ValueError:
        return 0.0
    return limit_us / 1e6 if owner in {0, os.getpid()} else 0.0
