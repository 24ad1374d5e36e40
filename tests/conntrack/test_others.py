"""UDP, ICMP, SCTP and all other protocols."""

from __future__ import annotations

import pytest
from conntrack_packets import (
    CLIENT,
    CLIENT6,
    GRE,
    SCTP,
    SERVER,
    SERVER6,
    Tracker,
    chunk,
    echo,
    ether,
    ip,
    ipv4,
    sctp_l4,
    udp,
)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


def left_s(tracker: Tracker) -> float:
    return float(tracker.ct.connections()[0]["timeout_ms"]) / 1000


@pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_udp_is_established_by_the_first_reply(tracker: Tracker, client: str, server: str) -> None:
    ask, answer = udp(client, 1000, server, 53), udp(server, 53, client, 1000)
    assert tracker.states(ask, ask, answer, ask, answer) == [
        "new|trk", "new|trk", "est|rpl|trk", "est|trk", "est|rpl|trk",
    ]  # fmt: skip
    assert tracker.ct.count == 1


def test_udp_timeouts_are_60_then_60_then_30(tracker: Tracker) -> None:
    ask, answer = udp(CLIENT, 1000, SERVER, 53), udp(SERVER, 53, CLIENT, 1000)
    tracker.ct.set_timeout_policy(0, udp_first=7, udp_single=8, udp_multiple=9)
    seconds = []
    for frame in (ask, ask, answer, ask):
        tracker(frame)
        seconds.append(left_s(tracker))
    assert seconds == [7, 8, 9, 9]
    tracker.ct.set_timeout_policy(0)
    tracker(ask)
    assert left_s(tracker) == 30


def test_every_packet_counts_the_timeout_anew(tracker: Tracker) -> None:
    ask = udp(CLIENT, 1000, SERVER, 53)
    tracker(ask)
    for _ in range(20):
        tracker.wait(59.9)
        tracker.expire()
        assert tracker(ask) == "new|trk"
    assert tracker.ct.counters().created == 1


def test_echo_is_established_by_the_answer(tracker: Tracker) -> None:
    ask, answer = echo(CLIENT, SERVER, 7), echo(SERVER, CLIENT, 7, 0)
    assert tracker.states(ask, ask, answer, ask) == ["new|trk", "new|trk", "est|rpl|trk", "est|trk"]
    assert left_s(tracker) == 30


def test_echo_over_ipv6(tracker: Tracker) -> None:
    ask, answer = echo(CLIENT6, SERVER6, 7, 128), echo(SERVER6, CLIENT6, 7, 129)
    assert tracker.states(ask, answer, ask) == ["new|trk", "est|rpl|trk", "est|trk"]


@pytest.mark.parametrize(("ask", "answer"), [(13, 14), (15, 16)])
def test_timestamps_and_information(tracker: Tracker, ask: int, answer: int) -> None:
    assert tracker.states(echo(CLIENT, SERVER, 5, ask), echo(SERVER, CLIENT, 5, answer)) == ["new|trk", "est|rpl|trk"]


def test_only_the_right_answer_of_the_right_identifier_belongs(tracker: Tracker) -> None:
    tracker(echo(CLIENT, SERVER, 7))
    assert tracker(echo(SERVER, CLIENT, 8, 0)) == "inv|trk"
    assert tracker(echo(SERVER, CLIENT, 7, 14)) == "inv|trk"
    assert tracker(echo(CLIENT, SERVER, 7, 0)) == "inv|trk"


def test_a_request_of_the_other_side_is_another_connection(tracker: Tracker) -> None:
    tracker(echo(CLIENT, SERVER, 7), echo(SERVER, CLIENT, 7, 0))
    assert tracker(echo(SERVER, CLIENT, 7)) == "new|trk"
    assert tracker.ct.count == 2


def test_an_echo_to_oneself_knows_its_answer(tracker: Tracker) -> None:
    assert tracker.states(echo(CLIENT, CLIENT, 7), echo(CLIENT, CLIENT, 7, 0)) == ["new|trk", "est|rpl|trk"]


@pytest.mark.parametrize("proto", [2, 47, 50, 51, 33, 136, 200, 255])
def test_another_protocol_is_one_connection_per_pair_of_addresses(tracker: Tracker, proto: int) -> None:
    ask, answer = ether(ip(CLIENT, SERVER, proto, b"12345678")), ether(ip(SERVER, CLIENT, proto, b"abcdefgh"))
    assert tracker.states(ask, ask, answer, ask) == ["new|trk", "new|trk", "est|rpl|trk", "est|trk"]
    assert tracker.ct.count == 1


def test_protocols_between_the_same_addresses_are_apart(tracker: Tracker) -> None:
    assert tracker.states(ether(ip(CLIENT, SERVER, GRE, b"")), ether(ip(SERVER, CLIENT, 50, b""))) == ["new|trk"] * 2


@pytest.mark.parametrize("kind", [1, 0, 6, 3, 14])
def test_sctp_has_ports_and_no_states(tracker: Tracker, kind: int) -> None:
    ask = ether(ipv4(CLIENT, SERVER, SCTP, sctp_l4(10, 20, chunk(kind, b"1234"))))
    answer = ether(ipv4(SERVER, CLIENT, SCTP, sctp_l4(20, 10, chunk(6, b""))))
    other = ether(ipv4(SERVER, CLIENT, SCTP, sctp_l4(21, 10, chunk(6, b""))))
    assert tracker.states(ask, answer, ask, other) == ["new|trk", "est|rpl|trk", "est|trk", "new|trk"]


def test_a_packet_to_oneself_on_one_port_is_never_a_reply(tracker: Tracker) -> None:
    frame = udp(CLIENT, 5, CLIENT, 5)
    assert tracker.states(frame, frame, frame) == ["new|trk"] * 3


def test_directions_hold_whichever_end_has_the_higher_address(tracker: Tracker) -> None:
    for client, server in ((CLIENT, SERVER), (SERVER, CLIENT), (CLIENT6, SERVER6), (SERVER6, CLIENT6)):
        for sport, dport in ((1, 2), (2, 1)):
            ask, answer = udp(client, sport, server, dport), udp(server, dport, client, sport)
            tracker.ct.flush()
            assert tracker.states(ask, answer) == ["new|trk", "est|rpl|trk"]
            row = tracker.ct.connections()[0]
            assert (int(row["src_port"]), int(row["dst_port"])) == (sport, dport)
