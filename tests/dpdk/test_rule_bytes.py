"""Items and actions as the driver sees them: the bytes are those of the protocols' own headers. No EAL."""

from __future__ import annotations

import logging
import struct

import pytest

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402

from ctoffload_dpdk.base.errors import UsageError  # noqa: E402
from ctoffload_dpdk.dpdk import actions, items  # noqa: E402
from ctoffload_dpdk.dpdk._actions import Actions  # noqa: E402
from ctoffload_dpdk.dpdk._pattern import Pattern  # noqa: E402
from ctoffload_dpdk.dpdk.items import Masked  # noqa: E402

FULL2, FULL4, FULL16 = b"\xff" * 2, b"\xff" * 4, b"\xff" * 16


def one(item):
    [(_, spec, mask)] = Pattern([item]).raw()
    return spec, mask


def conf(action):
    [(_, configuration)] = Actions([action]).raw()
    return configuration


def test_an_item_without_values_has_neither_spec_nor_mask():
    kinds = [items.Eth, items.Vlan, items.Ipv4, items.Ipv6, items.Tcp, items.Udp, items.Icmp, items.Icmp6, items.Void,
             items.Any, items.RepresentedPort, items.PortRepresentor, items.Ipv6FragExt, items.Vxlan]  # fmt: skip
    assert [raw[1:] for raw in Pattern([kind() for kind in kinds]).raw()] == [(b"", b"")] * len(kinds)


def test_item_types_are_dpdks():
    wanted = {
        1: items.Void(), 3: items.Any(), 4: items.PortId(0), 6: items.Eth(), 7: items.Vlan(), 8: items.Ipv4(),
        9: items.Ipv6(), 10: items.Icmp(), 11: items.Udp(), 12: items.Tcp(), 14: items.Vxlan(), 28: items.Icmp6(),
        34: items.Mark(1), 35: items.Meta(1), 45: items.Tag(0, 1), 49: items.Ipv6FragExt(), 52: items.Conntrack(1),
        53: items.PortRepresentor(0), 54: items.RepresentedPort(0),
    }  # fmt: skip
    assert [raw[0] for raw in Pattern(wanted.values()).raw()] == list(wanted)


def test_ethernet_is_laid_out_as_on_the_wire():
    spec, mask = one(items.Eth(src="02:00:00:00:00:01", dst="02-00-00-00-00-02", ether_type=0x0800, has_vlan=False))
    assert spec[:14] == bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800))
    assert mask[:14] == b"\xff" * 14
    assert (spec[14] & 1, mask[14] & 1) == (0, 1)


def test_vxlan_is_laid_out_as_on_the_wire():
    spec, mask = one(items.Vxlan(vni=0x123456, flags=8))
    assert (spec, mask) == (bytes.fromhex("0800000012345600"), bytes.fromhex("ff000000ffffff00"))


def test_a_vlan_tag_matches_number_and_priority_apart():
    spec, mask = one(items.Vlan(vid=5, pcp=3, inner_type=0x86DD))
    assert spec[:4] == bytes(Dot1Q(vlan=5, prio=3, type=0x86DD))
    assert mask[:4] == b"\xef\xff\xff\xff"
    assert one(items.Vlan(vid=5))[1][:4] == b"\x0f\xff\x00\x00"


def test_ipv4_is_laid_out_as_on_the_wire():
    spec, mask = one(items.Ipv4(src="10.0.0.1", dst="10.0.0.2", proto=6, tos=4, ttl=64, fragment_offset=0x2001))
    wire = bytearray(bytes(IP(src="10.0.0.1", dst="10.0.0.2", proto=6, tos=4, ttl=64, flags="MF", frag=1)))
    wire[0:1], wire[2:6], wire[10:12] = b"\0", bytes(4), bytes(2)
    assert spec == bytes(wire)
    assert mask == bytes.fromhex("00ff0000 0000ffff ffff0000 ffffffff ffffffff")


def test_a_network_matches_its_prefix_alone():
    spec, mask = one(items.Ipv4(dst="10.1.2.3/8"))
    assert (spec[16:], mask[16:]) == (b"\x0a\0\0\0", b"\xff\0\0\0")
    spec, mask = one(items.Ipv6(src="2001:db8::1/32"))
    assert (spec[8:24], mask[8:24]) == (b"\x20\x01\x0d\xb8" + bytes(12), FULL4 + bytes(12))


def test_ipv6_is_laid_out_as_on_the_wire():
    spec, mask = one(items.Ipv6(src="2001:db8::1", dst="::2", proto=17, hop_limit=9, traffic_class=0xA5))
    wire = bytearray(bytes(IPv6(src="2001:db8::1", dst="::2", nh=17, hlim=9, tc=0xA5)))
    wire[0] &= 0x0F
    assert spec[:40] == bytes(wire)
    assert mask[:40] == bytes.fromhex("0ff00000 0000ffff") + FULL16 + FULL16
    spec, mask = one(items.Ipv6(has_frag_ext=True))
    assert struct.unpack("I", spec[40:44])[0] == struct.unpack("I", mask[40:44])[0] == 4


def test_transport_headers_are_laid_out_as_on_the_wire():
    spec, mask = one(items.Tcp(src_port=1, dst_port=80, flags=Masked(0x12, 0x17)))
    assert spec[:4] == bytes(TCP(sport=1, dport=80))[:4] and spec[13] == 0x12
    assert mask == FULL4 + bytes(9) + b"\x17" + bytes(6)
    spec, mask = one(items.Udp(dst_port=53))
    assert spec == bytes(2) + bytes(UDP(dport=53))[2:4] + bytes(4) and mask == bytes(2) + FULL2 + bytes(4)
    spec, _ = one(items.Icmp(type=8, code=0, ident=7, seq=9))
    assert spec[:2] + spec[4:] == bytes(ICMP(type=8, id=7, seq=9))[:2] + bytes(ICMP(type=8, id=7, seq=9))[4:]
    assert one(items.Icmp6(type=128))[0][:2] == b"\x80\x00"


def test_only_the_bits_of_the_mask_reach_the_driver():
    spec, mask = one(items.Tcp(src_port=Masked(0xABCD, 0xFF00)))
    assert (spec[:2], mask[:2]) == (b"\xab\x00", b"\xff\x00")


def test_registers_and_ports_are_in_host_order():
    assert one(items.Mark(0x01020304)) == (struct.pack("I", 0x01020304), FULL4)
    assert one(items.Meta(Masked(5, 0xF))) == (struct.pack("I", 5), struct.pack("I", 0xF))
    assert one(items.Tag(3, 9)) == (struct.pack("IB3x", 9, 3), struct.pack("IB3x", 0xFFFFFFFF, 0xFF))
    assert one(items.RepresentedPort(258)) == (struct.pack("H", 258), FULL2)
    assert one(items.PortRepresentor(0)) == (bytes(2), FULL2)
    assert one(items.Conntrack(Masked(1, 5))) == (struct.pack("I", 1), struct.pack("I", 5))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (items.Tcp(dst_port=65536), "Tcp.dst_port is 65536"),
        (items.Tcp(flags=-1), "Tcp.flags is -1"),
        (items.Ipv4(src="10.0.0.300"), "Ipv4.src"),
        (items.Ipv4(src="::1"), "Ipv4.src"),
        (items.Ipv6(dst="10.0.0.1"), "Ipv6.dst"),
        (items.Eth(src="02:00"), "no MAC address"),
        (items.Vlan(vid=4096), "Vlan.vid is 4096"),
        (items.Ipv4(proto=Masked(6, 0x100)), "Ipv4.proto"),
        ("eth", "is not an item"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name(item, words):
    with pytest.raises(UsageError, match=words):
        Pattern([item])


def test_actions_are_laid_out_as_dpdk_declares_them():
    assert conf(actions.Jump(7)) == struct.pack("I", 7)
    assert conf(actions.Queue(258)) == struct.pack("H", 258)
    assert conf(actions.Mark(9)) == struct.pack("I", 9)
    assert conf(actions.Age(0xABCDEF, 0x1122334455667788)) == struct.pack("I4xQ", 0xABCDEF, 0x1122334455667788)
    assert conf(actions.SetIpv4Src("10.0.0.1")) == b"\x0a\0\0\x01"
    assert conf(actions.SetIpv6Dst("::1")) == bytes(15) + b"\x01"
    assert conf(actions.SetTpDst(80)) == b"\x00\x50"
    assert conf(actions.SetMacSrc("02:00:00:00:00:01")) == b"\x02\0\0\0\0\x01"
    assert conf(actions.SetTag(2, 5)) == struct.pack("IIB3x", 5, 0xFFFFFFFF, 2)
    assert conf(actions.OfSetVlanVid(5)) == b"\x00\x05"
    assert conf(actions.Drop()) == conf(actions.Passthru()) == conf(actions.DecTtl()) == b""


def test_rss_carries_its_queues_and_key():
    configuration = conf(actions.Rss((0, 2, 4), types=12, key=b"k" * 40))
    func, level, types, key_len, queue_num = struct.unpack("IIQII", configuration[:24])
    assert (func, level, types, key_len, queue_num) == (0, 0, 12, 40, 3)


def test_modify_field_writes_a_value_or_copies_a_field():
    configuration = conf(actions.ModifyField(actions.FieldAt(actions.Field.IPV4_SRC), b"\x0a\0\0\x01", 32))
    assert struct.unpack("II", configuration[:4] + configuration[8:12]) == (0, actions.Field.IPV4_SRC)
    assert b"\x0a\0\0\x01" in configuration and configuration[-8:-4] == struct.pack("I", 32)
    copied = conf(actions.ModifyField(actions.FieldAt(actions.Field.META), actions.FieldAt(actions.Field.TAG), 32))
    assert copied != configuration and len(copied) == 64


def test_a_context_goes_in_and_comes_out_the_same():
    original = actions.TcpDirection(7, True, True, False, 1000, 2000, 3000, 4000)
    state = actions.Conntrack(original=original, liberal_mode=True, state=actions.ConntrackState.FIN_WAIT, last_seq=5)
    configuration = conf(state)
    assert len(configuration) == 72
    # Bits follow the port at byte 2: original direction, enable, live, last direction, liberal.
    assert configuration[2] == 0b1100111
    assert struct.unpack_from("I", configuration, 16)[0] == 1000


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (actions.Age(1 << 24), "Age.timeout_s"),
        (actions.Queue(-1), "Queue.index"),
        (actions.Rss(()), "no queues"),
        (actions.Rss((0,), types=-1), "Rss.types -1"),
        (actions.Rss((0,), types=1 << 64), "Rss.types 18446744073709551616"),
        (actions.Age(1, context=-1), "Age.context -1"),
        (actions.Mark(1 << 20_000), "Mark.id <20001 bits>"),
        (actions.ModifyField(actions.FieldAt(actions.Field.IPV4_SRC, offset_bits=-1), b"", 1), "FieldAt.offset_bits"),
        (actions.ModifyField(actions.FieldAt(actions.Field.IPV4_SRC, level=256), b"", 1), "FieldAt.level 256"),
        (actions.ModifyField(actions.FieldAt(1 << 31), b"", 1), "FieldAt.field"),
        (actions.Conntrack(state=-1), "Conntrack.state -1"),
        (actions.Conntrack(state=1.5), "Conntrack.state 1.5"),
        (actions.SetIpv4Src("::1"), "SetIpv4Src.address"),
        (actions.ModifyField(actions.FieldAt(actions.Field.IPV6_SRC), b"x" * 17, 128), "at most 16 bytes"),
        (actions.Conntrack(original=actions.TcpDirection(scale=16)), "scale"),
        (items.Eth(), "is not an action"),
    ],
)
def test_an_action_that_does_not_fit_is_refused_with_its_name(action, words):
    with pytest.raises(UsageError, match=words):
        Actions([action])
