"""A generator of a lab's own, as hw-tests/README.md describes them: a packet socket of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence


class Wire:
    def __init__(self, interface: str) -> None:
        self.link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.link.bind((interface, 0))

    def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self.link.send(frame)

    def receive(self, timeout_s: float) -> list[bytes]:
        self.link.settimeout(max(timeout_s, 0.001))
        found = []
        try:
            while True:
                found.append(self.link.recv(65535))
                self.link.settimeout(0.001)
        except TimeoutError:
            return found

    def close(self) -> None:
        self.link.close()
