"""The life of connections on the emulated NIC, packet by packet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from story import A, B, with_timeouts

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.engine import Settings

pytestmark = pytest.mark.eal


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_tcp_connection_enters_the_nic_when_its_handshake_is_complete(lab: Any, ipv6: bool) -> None:
    conn = lab.tcp(established=False, ipv6=ipv6)
    conn.send(A, "S")
    conn.send(B, "SA")
    assert not conn.in_hardware
    assert lab.rules == 0
    conn.send(A, "A")
    assert conn.in_hardware
    assert lab.rules == 2
    seen = lab.engine.packets().host_rx
    conn.client_sends()
    conn.server_sends()
    assert lab.engine.packets().host_rx == seen
    assert conn.nic_packets() == 2


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_udp_connection_enters_the_nic_at_its_first_answer(lab: Any, ipv6: bool) -> None:
    conn = lab.udp(answered=False, ipv6=ipv6)
    conn.client_sends()
    assert not conn.in_hardware
    conn.server_sends()
    assert conn.in_hardware
    conn.client_sends()
    conn.server_sends()
    assert conn.nic_packets() == 2


def test_a_connection_with_a_packet_every_4_9_s_survives_a_5_s_timeout_and_ends_when_idle(make_lab: Any) -> None:
    lab = make_lab(with_timeouts(tcp_established=5))
    conn = lab.tcp()
    for _ in range(20):
        lab.advance(4.9)
        conn.client_sends()
        assert conn.in_hardware
    assert conn.nic_packets() == 20
    lab.advance(4.0)
    assert conn.is_live
    lab.advance(5.0)
    assert not conn.is_live
    assert lab.engine.connections().expired == 1
    assert lab.rules == 0


def test_use_in_the_reply_direction_alone_keeps_a_connection(make_lab: Any) -> None:
    lab = make_lab(with_timeouts(udp_multiple=5))
    conn = lab.udp()
    for _ in range(5):
        lab.advance(4.9)
        conn.server_sends()
    assert conn.in_hardware


def test_a_fin_takes_both_rules_out_and_the_connection_ends_in_software(lab: Any) -> None:
    conn = lab.tcp()
    conn.send(A, "FA")
    assert lab.rules == 0
    assert conn.reason == Reason.CLOSING
    conn.send(B, "FA")
    conn.send(A, "A")
    lab.advance(46)
    assert not conn.is_live
    assert lab.engine.connections().closed == 1


def test_a_long_half_close_goes_into_the_nic_again(lab: Any) -> None:
    conn = lab.tcp()
    conn.send(A, "FA")
    conn.send(B, "A")
    assert not conn.in_hardware
    lab.advance(3)
    for _ in range(2):
        conn.server_sends()
        conn.send(A, "A")
    assert conn.in_hardware
    conn.server_sends()
    assert conn.nic_packets() > 0
    conn.send(B, "FA")
    assert lab.rules == 0


def test_a_reset_nobody_can_judge_takes_the_rules_out_but_the_connection_goes_on(lab: Any) -> None:
    conn = lab.tcp()
    conn.send(B, "R", seq=99)
    assert lab.rules == 0
    assert conn.is_live


def test_a_ping_over_ipv6_stays_in_software_and_says_why(lab: Any) -> None:
    import scapy.all as scapy  # noqa: PLC0415

    conn = lab.udp(ipv6=True)
    lab.packet(A, conn.frame(A, scapy.ICMPv6EchoRequest(id=7)))
    lab.packet(B, conn.frame(B, scapy.ICMPv6EchoReply(id=7)))
    rows = lab.engine.conntrack.connections()
    (ping,) = rows[rows["proto"] == 58]
    assert ping["offload"] == 0
    assert Reason(int(ping["reason"])) == Reason.PROTO


def test_what_conntrack_calls_invalid_is_dropped_and_counted(lab: Any) -> None:
    conn = lab.tcp(established=False)
    conn.send(B, "SA")
    assert lab.packets().sw_dropped["invalid"] == 1
    assert lab.packets().host_tx == 0


def test_neighbours_and_link_local_multicast_pass_untracked(lab: Any) -> None:
    import scapy.all as scapy  # noqa: PLC0415

    ether = scapy.Ether(src="02:00:00:00:00:0a", dst="ff:ff:ff:ff:ff:ff")
    lab.packet(A, ether / scapy.ARP())
    lab.packet(A, ether / scapy.IPv6(src="fe80::1", dst="fe80::2") / scapy.ICMPv6ND_NS(tgt="fe80::2"))
    lab.packet(A, ether / scapy.IP(src="198.51.100.1", dst="224.0.0.5") / scapy.UDP())
    stats = lab.engine.packets()
    assert stats.untracked == {"non-ip": 1, "neighbour-discovery": 1, "link-local-multicast": 1, "fragment": 0}
    assert stats.host_tx == 3
    assert lab.engine.connections().created == 0


def test_the_settings_reach_the_layer(make_lab: Any) -> None:
    lab = make_lab(replace(Settings(), ct_offload_after_packets=5))
    conn = lab.udp()
    assert not conn.in_hardware
    for _ in range(3):
        conn.client_sends()
    lab.advance(2)
    assert conn.in_hardware


def test_flushing_the_tracker_empties_the_nic(lab: Any) -> None:
    for _ in range(10):
        lab.tcp()
        lab.udp()
    assert lab.rules == 40
    assert lab.engine.conntrack.flush() == 20
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert lab.engine.connections().flushed == 20


def test_switching_off_drains_and_switching_on_offers_again(lab: Any) -> None:
    conn = lab.tcp()
    lab.engine.layer.set_global_cfg({"hw-offload": "false"})
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert conn.reason == Reason.DISABLED
    conn.client_sends()
    assert conn.nic_packets() == 0
    lab.engine.layer.set_global_cfg({"hw-offload": "true"})
    lab.engine.settle(lab.now_ms)
    assert conn.in_hardware
    conn.client_sends()
    assert conn.nic_packets() == 1
