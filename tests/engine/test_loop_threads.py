"""Loops and provider in threads of their own: translation, helpers, fragments, flushes and the switch all at once."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scapy.all as scapy
from story import with_timeouts

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.conntrack._shards import stubs
from ctoffload_dpdk.demo.lab import PORTS, RX_RING
from ctoffload_dpdk.settings import Settings

pytestmark = [pytest.mark.eal, pytest.mark.timeout(180)]

A, B = 0, 1
SERVER, PUBLIC = "192.0.2.1", "203.0.113.7"
CLIENTS = 150
LOAD_S = 3
IDLE_S = 1


def settings(engine: str) -> Settings:
    short = with_timeouts(
        **dict.fromkeys(("udp_first", "udp_single", "udp_multiple", "icmp_first", "icmp_reply"), IDLE_S)
    )
    tcp = ("syn_sent", "syn_recv", "established", "fin_wait", "time_wait", "close")
    return replace(
        short,
        **{f"ct_offload_timeout_tcp_{name}": IDLE_S for name in tcp},
        ct_offload_loops=2,
        ct_offload_helpers="ftp=21,tftp=69",
        ct_offload_flow_engine=engine,
        ct_offload_fragment_timeout=IDLE_S,
    )


def what_clients_say() -> list[list[bytes]]:
    """By client: a question, an echo, a question in two pieces, the beginning of a TFTP and of an FTP transfer."""
    said = []
    for i in range(CLIENTS):
        src = f"10.0.{i >> 6}.{1 + i % 64}"
        ip = scapy.IP(src=src, dst=SERVER, id=i)
        port = 2000 + i
        file = ",".join([*src.split("."), str(port >> 8), str(port & 255)])
        whole = [
            ip / scapy.UDP(sport=port, dport=53) / b"question",
            ip / scapy.ICMP(type=8, id=i) / b"echo",
            *scapy.fragment(ip / scapy.UDP(sport=port, dport=54) / bytes(1500), 1000),
            ip / scapy.UDP(sport=port, dport=69, chksum=0) / b"\0\1file\0octet\0",
            ip / scapy.TCP(sport=port, dport=21, flags="PA", seq=1, ack=1) / f"PORT {file}\r\n".encode(),
        ]
        said.append([bytes(scapy.Ether() / packet) for packet in whole])
    return said


def answer(frame: bytes) -> bytes | None:
    """What the server says to that; None: nothing."""
    back = bytearray(frame)
    back[26:30], back[30:34] = frame[30:34], frame[26:30]
    proto, offset, first = frame[23], int.from_bytes(frame[20:22], "big") & 0x1FFF, frame[34:38]
    if proto == 6:
        return opened(frame)
    if proto == 1:
        if frame[34] != 8:
            return None
        back[34] = 0
        total = int.from_bytes(frame[36:38], "big") + 0x800
        back[36:38] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    elif not offset:
        asked = int.from_bytes(first[2:], "big")
        back[34:38] = (first[2:] if asked != 69 else (3069).to_bytes(2, "big")) + first[:2]
    return bytes(back)


def opened(frame: bytes) -> bytes | None:
    """The data connection that the server of an active FTP transfer opens."""
    found = re.search(rb"PORT (\d+,\d+,\d+,\d+),(\d+),(\d+)", frame)
    if found is None:
        return None
    host, port = found[1].decode().replace(",", "."), int(found[2]) * 256 + int(found[3])
    return bytes(scapy.Ether() / scapy.IP(src=SERVER, dst=host) / scapy.TCP(sport=20, dport=port, flags="S"))


class Load:
    """What is sent through a running engine, and what is asked of it meanwhile."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.dice = np.random.default_rng(11)
        self.said = what_clients_say()
        self.done = dict.fromkeys(("sent", "answered", "switched", "flushed", "seen in hardware"), 0)

    def talk(self) -> None:
        """Some clients speak, and the server answers what came through."""
        chosen = self.dice.choice(CLIENTS, 12, replace=False)
        frames = [frame for i in chosen for frame in self.said[i]]
        self.done["sent"] += self.send(A, frames)
        heard = self.lab.nics[B].wire_receive()
        answers = [back for back in map(answer, heard) if back is not None]
        self.done["answered"] += self.send(B, answers)
        self.lab.nics[A].wire_receive()

    def send(self, side: int, frames: list[bytes]) -> int:
        for first in range(0, len(frames), RX_RING):
            self.lab.nics[side].wire_send(Packets.of(frames[first : first + RX_RING]))
        return len(frames)

    def interfere(self, turn: int) -> None:
        engine = self.lab.engine
        if turn % 13 == 0:
            on = "true" if self.dice.random() < 0.6 else "false"
            engine.layer.set_global_cfg({"hw-offload": on})
            self.done["switched"] += 1
        if turn % 9 == 0:
            self.done["seen in hardware"] += int((engine.conntrack.connections()["offload"] == 2).sum())
        if turn % 50 == 0:
            self.done["flushed"] += engine.conntrack.flush()

    def run(self, seconds: float) -> None:
        end_s, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end_s:
            turn += 1
            self.talk()
            self.interfere(turn)
            time.sleep(0.005)


def wait_until_nothing_lives(engine: Any) -> None:
    end_s = time.monotonic() + 30
    while engine.connections().live or engine.packets().held:
        assert time.monotonic() < end_s, (engine.connections(), engine.packets())
        time.sleep(0.05)


@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("queues", [16, 2], ids=["spread-by-the-nic", "by-the-first-loop"])
def test_the_account_closes_after_everything_at_once(make_lab: Any, queues: int, engine: str) -> None:
    lab = make_lab(settings(engine), clock="real", queues=queues)
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}"))
    lab.engine.conntrack.set_zone_limit(0, 100_000)
    load = Load(lab)
    lab.engine.start()
    try:
        load.run(LOAD_S)
        load.talk()  # the last flush may have left nothing that could expire
        while not lab.engine.connections().live:
            time.sleep(0.01)
        lab.engine.layer.set_global_cfg({"hw-offload": "true"})
        wait_until_nothing_lives(lab.engine)
    finally:
        lab.engine.stop()
    lab.now_ms = time.monotonic_ns() // 1_000_000
    lab.engine.settle(lab.now_ms)
    assert min(load.done.values()) > 0, load.done
    counters = lab.engine.conntrack.counters()
    assert min(counters.handed_over, counters.expected, counters.expired) > 0, counters
    assert counters.flushed == load.done["flushed"]
    assert [stubs(shard) for shard in lab.engine.conntrack.shards] == [0, 0]
    assert lab.engine.conntrack.zone_limit(0) == (100_000, 0)
    assert (lab.rules, lab.engine.contexts().live, lab.engine.packets().held) == (0, 0, 0)
    assert lab.account().problems() == []
