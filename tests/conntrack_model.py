# ruff: noqa: PLR0912, PLR0915 - one rule after the other, as they are written
"""Connection tracking as the rules say it, slowly: dictionaries, one packet at a time, no code of the engine.

The tests compare the engine with it. It judges descriptions of packets, not frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NEW, EST, REL, RPL, INV, TRK = 1, 2, 4, 8, 16, 32
CLOSED, SYN_SENT, ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 0, 2, 4, 7, 9, 10
SLACK = 65535 + 1500

DEFAULTS_S = {
    "tcp_syn_sent": 30,
    "tcp_syn_recv": 30,
    "tcp_established": 86400,
    "tcp_fin_wait": 900,
    "tcp_time_wait": 45,
    "tcp_close": 30,
    "udp_first": 60,
    "udp_single": 60,
    "udp_multiple": 30,
    "icmp_first": 60,
    "icmp_reply": 30,
}
ANSWER = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 128: 129, 129: 128}


@dataclass(frozen=True)
class Segment:
    """The TCP part of a packet. wscale: None where the option is not there."""

    flags: str = ""
    seq: int = 0
    ack: int = 0
    win: int = 8192
    size: int = 0
    wscale: int | None = None


@dataclass(frozen=True)
class Message:
    """A well-formed packet. kind: tcp, udp, icmp (an echo), other; about: the packet an ICMP error carries."""

    kind: str
    src: str
    dst: str
    sport: int = 0
    dport: int = 0
    icmp_type: int = 8
    icmp_id: int = 0
    proto: int = 47
    segment: Segment = Segment()
    about: Message | None = None

    def tuple(self) -> tuple[object, ...]:
        """What names the connection, as this packet has it: protocol, both ends."""
        if self.kind == "icmp":
            return ("icmp", (self.src, self.icmp_id, self.icmp_type), (self.dst, self.icmp_id, ANSWER[self.icmp_type]))
        if self.kind == "other":
            return (self.proto, (self.src,), (self.dst,))
        return (self.kind, (self.src, self.sport), (self.dst, self.dport))


def turned(tuple_: tuple[object, ...]) -> tuple[object, ...]:
    return (tuple_[0], tuple_[2], tuple_[1])


@dataclass
class Peer:
    """One side of a TCP connection. scale None: it announced none; "unknown": picked up mid-stream."""

    state: int = CLOSED
    lo: int = 0
    hi: int = 0
    max_win: int = 0
    scale: int | str | None = None


@dataclass
class Connection:
    """A live connection of the model."""

    tuple: tuple[object, ...]
    zone: int
    policy: int
    ends_ms: int = 0
    mark: int = 0
    phase: str = "first"
    peers: list[Peer] = field(default_factory=list)
    counted: bool = False


def ahead(left: int, right: int) -> int:
    """How far left is ahead of right, round 32 bits."""
    return ((left - right + 2**31) % 2**32) - 2**31


def shifted_down(window: int, scale: int) -> int:
    return -(-window // 2**scale)


@dataclass
class Model:
    """ovs_compat: keep a window that is multiplied back in 16 bits, as OVS does."""

    ovs_compat: bool = False
    max_connections: int = 10**9
    now_ms: int = 0
    connections: list[Connection] = field(default_factory=list)
    policies: dict[int, dict[str, int]] = field(default_factory=dict)
    zone_limits: dict[int, int] = field(default_factory=dict)

    # --- the table ---

    def find(self, tuple_: tuple[object, ...], zone: int) -> tuple[Connection | None, bool]:
        """The connection of a tuple, and whether the tuple is its reply's."""
        for conn in self.connections:
            if conn.zone == zone and conn.ends_ms > self.now_ms:
                if conn.tuple == tuple_:
                    return conn, False
                if turned(conn.tuple) == tuple_:
                    return conn, True
        return None, False

    def sweep(self) -> None:
        self.connections = [c for c in self.connections if c.ends_ms > self.now_ms]

    def flush(self, zone: int | None = None) -> None:
        self.connections = [c for c in self.connections if zone is not None and c.zone != zone]

    def refresh(self, conn: Connection, name: str) -> None:
        seconds = self.policies.get(conn.policy, {}).get(name, DEFAULTS_S[name])
        conn.ends_ms = self.now_ms + seconds * 1000

    # --- one packet ---

    def judge(self, message: Message, *, zone: int = 0, commit: bool = True, force: bool = False, mark: int = 0,
              mark_mask: int = 0, policy: int = 0) -> tuple[int, int]:  # fmt: skip
        """(ct_state, mark) of a packet."""
        named = message.about or message
        tuple_ = turned(named.tuple()) if message.about else named.tuple()
        conn, is_reply = self.find(tuple_, zone)
        if conn and force and is_reply:
            self.connections.remove(conn)
            conn, is_reply = None, False
        if message.about:
            if conn is None:
                return INV | TRK, 0
            state = REL | (RPL if is_reply else 0)
        elif conn is None:
            state, conn = self.begin(message, zone, commit, policy)
        else:
            result = self.update(conn, message, is_reply)
            if result == "again":
                self.connections.remove(conn)
                state, conn = self.begin(message, zone, commit, policy)
            else:
                state = {"valid": EST | (RPL if is_reply else 0), "new": NEW, "invalid": INV}[result]
        if conn is None:
            return state | TRK, 0
        if mark_mask:
            conn.mark = mark | (conn.mark & ~mark_mask & 0xFFFFFFFF)
        return state | TRK, conn.mark

    def begin(self, message: Message, zone: int, commit: bool, policy: int) -> tuple[int, Connection | None]:
        if not self.may_begin(message):
            return INV, None
        if not commit:
            return NEW, None
        # one that is over and was not swept yet makes room for its successor
        over = [c for c in self.connections if c.zone == zone and c.tuple in (message.tuple(), turned(message.tuple()))]
        for conn in over:
            self.connections.remove(conn)
        if (
            zone in self.zone_limits
            and sum(c.counted for c in self.connections if c.zone == zone) >= self.zone_limits[zone]
        ):
            return NEW, None
        if len(self.connections) >= self.max_connections:
            return NEW, None
        conn = Connection(message.tuple(), zone, policy, counted=zone in self.zone_limits)
        self.connections.append(conn)
        if message.kind == "tcp":
            self.tcp_begin(conn, message.segment)
        else:
            self.refresh(conn, "icmp_first" if message.kind == "icmp" else "udp_first")
        return NEW, conn

    def may_begin(self, message: Message) -> bool:
        if message.kind == "icmp":
            return message.icmp_type in (8, 13, 15, 128)
        if message.kind == "tcp":
            flags = set(message.segment.flags)
            return not illegal(flags) and not {"S", "A"} <= flags
        return True

    def update(self, conn: Connection, message: Message, is_reply: bool) -> str:
        if message.kind == "tcp":
            return self.tcp_update(conn, message.segment, 1 if is_reply else 0)
        if message.kind == "icmp":
            if is_reply:
                conn.phase = "both"
            self.refresh(conn, "icmp_reply" if conn.phase == "both" else "icmp_first")
        else:
            if is_reply:
                conn.phase = "both"
            elif conn.phase == "first":
                conn.phase = "multiple"
            self.refresh(conn, "udp_multiple" if conn.phase == "both" else "udp_single")
        return "valid" if conn.phase == "both" else "new"

    # --- TCP ---

    def tcp_begin(self, conn: Connection, s: Segment) -> None:
        ours, theirs = Peer(SYN_SENT), Peer(CLOSED)
        conn.peers = [ours, theirs]
        ours.lo = s.seq
        ours.hi = s.seq + s.size + 1 + ("S" in s.flags) + ("F" in s.flags)
        theirs.hi, theirs.max_win = 1, 1
        ours.max_win = max(s.win, 1)
        if "S" in s.flags:
            if s.wscale is not None:
                ours.scale = min(s.wscale, 14)
                ours.max_win = shifted_down(ours.max_win, ours.scale)
        else:
            ours.scale = theirs.scale = "unknown"
        self.refresh(conn, "tcp_syn_sent")

    def tcp_update(self, conn: Connection, s: Segment, who: int) -> str:
        src, dst = conn.peers[who], conn.peers[1 - who]
        flags = set(s.flags)
        if illegal(flags):
            return "invalid"
        if "S" in flags and "A" not in flags:
            if src.state >= FIN_WAIT_2 and dst.state >= FIN_WAIT_2:
                return "again"
            if src.state <= SYN_SENT:
                src.state = SYN_SENT
                self.refresh(conn, "tcp_syn_sent")
                return "new"
        win = s.win
        src_scale = dst_scale = 0
        if "S" not in flags:
            if isinstance(src.scale, int) and isinstance(dst.scale, int):
                src_scale, dst_scale = src.scale, dst.scale
            elif src.scale == "unknown" and dst.scale == "unknown":
                src_scale = dst_scale = 14
        seq, ack = s.seq, s.ack
        end = seq + s.size + ("S" in flags) + ("F" in flags)
        check_skew = True
        if src.state < SYN_SENT:
            if "S" in flags and isinstance(dst.scale, int):
                if s.wscale is not None:
                    src.scale = src_scale = min(s.wscale, 14)
                    win = shifted_down(win, src_scale)
                    dst_scale = dst.scale
                else:
                    src.scale = None
                    dst.max_win <<= dst.scale
                    dst.max_win = dst.max_win & 0xFFFF if self.ovs_compat else min(dst.max_win, 0xFFFF)
                    dst.scale = 0
            src.lo, src.state = seq, SYN_SENT
            limit = end + max(1, dst.max_win << dst_scale)
            if src.hi == 1 or ahead(limit, src.hi) >= 0:
                src.hi = limit % 2**32
                check_skew = False
            src.max_win = max(src.max_win, win)
        if "A" not in flags or (ack == 0 and "R" in flags):
            ack = dst.lo
        first_seq = seq
        if end == seq:
            seq = end = src.lo
        skew = ahead(dst.lo, ack) if check_skew else 0
        in_window = (
            ahead(src.hi, end) >= 0
            and ahead(seq, src.lo - (dst.max_win << dst_scale)) >= 0
            and -SLACK <= skew <= SLACK << src_scale
            and ("R" not in flags or abs(ahead(first_seq, src.lo)) <= 1)
        )
        near = (
            (dst.state < SYN_SENT or dst.state >= FIN_WAIT_2 or src.state >= FIN_WAIT_2)
            and ahead(src.hi + SLACK, end) >= 0
            and ahead(seq, src.lo - SLACK) >= 0
        )
        if not in_window and not near:
            return "invalid"
        src.max_win = max(src.max_win, win)
        if ahead(end, src.lo) > 0:
            src.lo = end % 2**32
        if ahead(ack + (win << src_scale), dst.hi) >= 0:
            dst.hi = (ack + max(win << src_scale, 1)) % 2**32
        if "F" in flags and src.state < CLOSING:
            src.state = CLOSING
        if in_window and "A" in flags:
            dst.state = {SYN_SENT: ESTABLISHED, CLOSING: FIN_WAIT_2}.get(dst.state, dst.state)
        if "R" in flags:
            src.state = dst.state = TIME_WAIT
        if in_window:
            self.refresh(conn, tcp_timeout(src.state, dst.state))
        return "valid"


def illegal(flags: set[str]) -> bool:
    if "S" in flags:
        if flags & {"R", "F"}:
            return True
    elif not flags & {"A", "R"}:
        return True
    return "A" not in flags and bool(flags & {"F", "P", "U"})


def tcp_timeout(one: int, other: int) -> str:
    low, high = sorted((one, other))
    if low >= FIN_WAIT_2:
        return "tcp_close"
    if low >= CLOSING:
        return "tcp_time_wait"
    if low < ESTABLISHED:
        return "tcp_syn_recv"
    return "tcp_fin_wait" if high >= CLOSING else "tcp_established"
