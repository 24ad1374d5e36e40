"""What a connection was made to send, to be held against what the tracker counts."""

from __future__ import annotations

from typing import Any

from story import A


def counts(conn: Any) -> list[list[int]]:
    """Packets and bytes by direction, as the tracker has them."""
    return [conn.row["packets"].tolist(), conn.row["bytes"].tolist()]


class Sent:
    """What a connection was made to send, beside what the tracker says of it."""

    def __init__(self, lab: Any, conn: Any) -> None:
        self.lab, self.conn = lab, conn
        self.begin = counts(conn)
        self.packets, self.bytes = [0, 0], [0, 0]
        self.frame_bytes = 14 + 20 + (20 if conn.proto == 6 else 8)

    def send(self, side: int, payload: bytes) -> None:
        (self.conn.client_sends if side == A else self.conn.server_sends)(payload)
        self.packets[side] += 1
        self.bytes[side] += self.frame_bytes + len(payload)

    def expected(self) -> list[list[int]]:
        sent = (self.packets, self.bytes)
        return [[was + more for was, more in zip(*both, strict=True)] for both in zip(self.begin, sent, strict=True)]

    def ask(self) -> None:
        self.lab.engine.conntrack.ask([self.conn.row["conn_id"]])
        self.lab.engine.settle(self.lab.now_ms)
