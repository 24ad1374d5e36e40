"""Connections as the lines OVS prints."""

from __future__ import annotations

import pytest
from conntrack_packets import CLIENT, CLIENT6, GRE, SERVER, SERVER6, Peers, Tracker, echo, ether, ip, udp, wscale

from ctoffload_dpdk.conntrack import ovs_lines

ENDS = "orig=(src=10.0.0.1,dst=10.0.0.2,sport=40000,dport=80),reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=40000)"


def line(tracker: Tracker, *, more: bool = False, statistics: bool = False) -> str:
    (text,) = ovs_lines(tracker.ct.connections(), more=more, statistics=statistics)
    return text


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


def test_tcp(tracker: Tracker) -> None:
    peers = Peers(tracker)
    peers.send(0, "S", options=wscale(7))
    assert line(tracker) == f"tcp,{ENDS},protoinfo=(state=SYN_SENT)"
    peers.send(1, "SA", options=wscale(5))
    peers.send(0, "A")
    tracker.wait(4)
    tracker.ct.advance(tracker.now_ms)
    assert line(tracker) == f"tcp,{ENDS},protoinfo=(state=ESTABLISHED)"
    assert line(tracker, statistics=True) == f"tcp,{ENDS},timeout=86396,protoinfo=(state=ESTABLISHED)"
    assert line(tracker, more=True) == (
        f"tcp,{ENDS},id=0,status=0,protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED,"
        "wscale_orig=7,wscale_reply=5,flags_orig=WINDOW_SCALE,flags_reply=WINDOW_SCALE)"
    )


def test_tcp_picked_up_mid_stream(tracker: Tracker) -> None:
    Peers(tracker).send(0, "PA")
    assert line(tracker, more=True) == (
        f"tcp,{ENDS},id=0,status=0,"
        "protoinfo=(state_orig=SYN_SENT,state_reply=CLOSED,flags_orig=BE_LIBERAL,flags_reply=BE_LIBERAL)"
    )


def test_a_closed_connection_is_in_time_wait(tracker: Tracker) -> None:
    peers = Peers(tracker)
    peers.handshake()
    for who, flags in ((0, "FA"), (1, "FA"), (0, "A")):
        peers.send(who, flags)
    assert line(tracker).endswith("protoinfo=(state=TIME_WAIT)")


def test_udp_with_zone_mark_and_labels(tracker: Tracker) -> None:
    frame = udp("10.0.0.77", 5, SERVER, 6)
    tracker(frame, zone=5, mark=31, mark_mask=255, label=0xABCDEF0123456789, label_mask=(1 << 128) - 1)
    tuples = "orig=(src=10.0.0.77,dst=10.0.0.2,sport=5,dport=6),reply=(src=10.0.0.2,dst=10.0.0.77,sport=6,dport=5)"
    assert line(tracker) == f"udp,{tuples},zone=5,mark=31,labels=0xabcdef0123456789"
    assert line(tracker, more=True, statistics=True) == (
        f"udp,{tuples},id=0,zone=5,status=0,timeout=60,mark=31,labels=0xabcdef0123456789"
    )


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            echo(CLIENT, SERVER, 7),
            "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=7,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=7,type=0,code=0)",
        ),
        (
            echo(SERVER6, CLIENT6, 7, 128),
            (
                "icmpv6,orig=(src=fc00::2,dst=fc00::1,id=7,type=128,code=0),"
                "reply=(src=fc00::1,dst=fc00::2,id=7,type=129,code=0)"
            ),
        ),
        (
            ether(ip(CLIENT, SERVER, GRE, b"")),
            "47,orig=(src=10.0.0.1,dst=10.0.0.2,sport=0,dport=0),reply=(src=10.0.0.2,dst=10.0.0.1,sport=0,dport=0)",
        ),
    ],
)
def test_others(tracker: Tracker, frame: bytes, text: str) -> None:
    tracker(frame)
    assert line(tracker) == text
