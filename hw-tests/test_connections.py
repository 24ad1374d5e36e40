"""Connections with packets: their life, their way through the NIC, their translation."""

from __future__ import annotations

from typing import Any

import pytest
import scapy.all as scapy
from hwlab.frames import CLIENT, SERVER, frame

pytestmark = pytest.mark.usefixtures("traffic")

SERVER_ADDRESS, PUBLIC = "198.51.100.254", "192.0.2.7"


def by_hardware(conn: Any) -> None:
    """Skips where packets of this connection do not pass software by."""
    if conn.choice["plan"] not in ("ct", "age", "count"):
        pytest.skip(f"no plan passes software by: {conn.choice['text']}")
    assert conn.in_hardware, f"{conn.reason}: {conn.system.stats()['refusal']}"


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_packets_of_both_directions_arrive_unchanged(make_system: Any, proto: str, ipv6: bool) -> None:
    """By whichever plan, in software too."""
    system = make_system()
    conn = (system.tcp if proto == "tcp" else system.udp)(ipv6=ipv6)
    for side, word in ((CLIENT, b"from the client"), (SERVER, b"from the server")):
        data = conn.segment(side, "PA", word) if proto == "tcp" else conn.datagram(side, word)
        assert system.passes(side, data, data[14:])


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_packets_of_a_connection_in_hardware_do_not_reach_software(make_system: Any, proto: str, record: Any) -> None:
    system = make_system()
    conn = system.tcp() if proto == "tcp" else system.udp()
    by_hardware(conn)
    before = system.stats()["host_rx"]
    for i in range(10):
        word = b"packet %d" % i
        data = conn.segment(CLIENT, "PA", word) if proto == "tcp" else conn.datagram(CLIENT, word)
        assert system.passes(CLIENT, data, word)
    reached = system.stats()["host_rx"] - before
    record(f"{proto}: packets of ten that reached software", reached, "packets")
    # Hosts on a real wire speak by themselves; of the connection's own not one may come.
    assert reached == 0 if system.bench.inventory.is_emulated else reached < 10


def test_a_tcp_connection_lives_and_ends_as_its_ends_say(make_system: Any) -> None:
    """Software sees the handshake and the first FIN; rules are there in between only."""
    system = make_system()
    conn = system.tcp(established=False)
    for side, flags in ((CLIENT, "S"), (SERVER, "SA")):
        conn.send(side, flags)
        assert not conn.in_hardware
    conn.send(CLIENT, "A")
    if conn.choice["plan"] == "none":
        assert conn.is_live
        pytest.skip(f"the connection was tracked in software alone: {conn.choice['text']}")
    assert conn.in_hardware, conn.reason
    conn.send(CLIENT, "FA")
    assert not conn.in_hardware
    assert conn.reason == "closing"
    assert system.rules == 0
    conn.send(SERVER, "FA")
    conn.send(CLIENT, "A")
    system.wait_until_empty(120)
    assert system.stats()["connections"]["closed"] == 1
    assert system.bench.call("account") == []


def test_a_reset_ends_a_connection(make_system: Any) -> None:
    system = make_system(ct_offload_unconfirmed_rst_timeout=2)
    conn = system.tcp()
    by_hardware(conn)
    conn.send(SERVER, "RA")
    assert not conn.in_hardware
    assert system.rules == 0
    system.wait_until_empty(60)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_translation_holds_in_software_and_in_hardware(make_system: Any, proto: str) -> None:
    """The source becomes 192.0.2.7, port 5000; the answer finds its way back."""
    system = make_system()
    system.bench.call("set_nat", 0, f"src={PUBLIC}:5000")
    l4 = scapy.TCP if proto == "tcp" else scapy.UDP
    seq = [{"seq": 100, "flags": "S"}, {"seq": 500, "ack": 101, "flags": "SA"}, {"seq": 101, "ack": 501, "flags": "A"}]

    def out(word: bytes, **tcp: Any) -> tuple[bytes, bytes]:
        """As the client sends it, and the translated addresses and ports as they must leave."""
        fields = tcp if proto == "tcp" else {}
        data = frame(CLIENT, l4(sport=1234, dport=7, **fields) / word)
        return data, bytes(map(int, PUBLIC.split("."))) + bytes(
            map(int, SERVER_ADDRESS.split("."))
        ) + b"\x13\x88\x00\x07"

    def back(word: bytes, **tcp: Any) -> tuple[bytes, bytes]:
        fields = tcp if proto == "tcp" else {}
        data = frame(SERVER, l4(sport=7, dport=5000, **fields) / word, dst=PUBLIC)
        return data, bytes(map(int, SERVER_ADDRESS.split("."))) + bytes([198, 51, 100, 1]) + b"\x00\x07\x04\xd2"

    assert system.passes(CLIENT, *out(b"1", **seq[0]))
    assert system.passes(SERVER, *back(b"2", **seq[1]))
    assert system.passes(CLIENT, *out(b"3", **seq[2]))
    before = system.stats()["host_rx"]
    assert system.passes(CLIENT, *out(b"4", seq=102, ack=502, flags="PA"))
    assert system.passes(SERVER, *back(b"5", seq=502, ack=103, flags="PA"))
    plan = system.choices[f"{proto}/ipv4/nat"]
    (row,) = system.bench.call("connections")
    if plan["plan"] not in ("ct", "age", "count"):
        pytest.skip(f"translated in software alone: {plan['text']}")
    assert row["in_hardware"], f"{row['reason']}: {system.stats()['refusal']}"
    if system.bench.inventory.is_emulated:
        assert system.stats()["host_rx"] == before
