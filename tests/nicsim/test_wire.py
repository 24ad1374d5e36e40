"""Wires that lead elsewhere than to Python: to another emulated port, to a port of another driver, to files."""

from __future__ import annotations

import errno
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
from nicsim_packets import pattern, tcp, udp
from scapy.utils import rdpcap, wrpcap

from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import Event, actions, items

pytestmark = pytest.mark.eal("--no-pci --no-huge -m 512 --no-shconf --no-telemetry")

NUMBERS = itertools.count()


def sends(host: Any, *packets: Any) -> int:
    return int(host.port.tx_burst(Packets.of([bytes(p) for p in packets]), host.pool))


def counted(host: Any) -> tuple[int, int]:
    counters = host.nic.counters()
    return counters.wire_out, counters.wire_in


@pytest.mark.parametrize("switch", [{}, {"switch": 77}])
def test_two_ports_on_one_ring_are_joined_back_to_back(lab: Any, switch: dict[str, int]) -> None:
    left, right = (lab.host(wire="ring:a", **switch) for _ in range(2))
    assert sends(left, udp(), tcp()) == 2
    assert right.received() == [bytes(udp()), bytes(tcp())]
    assert sends(right, udp(6)) == 1
    assert left.nic.wire_poll() == 1
    assert left.received() == [bytes(udp(6))]
    assert (counted(left), counted(right)) == ((2, 1), (1, 2))


def test_rules_act_on_what_comes_by_a_ring(lab: Any) -> None:
    left, right = (lab.host(wire="ring:b") for _ in range(2))
    rule = right.rule(pattern(), [actions.Count(), actions.Drop()])
    sends(left, udp(), tcp())
    assert right.received() == [bytes(tcp())]
    assert rule.query_count().packets == 1


def test_a_ring_holds_its_fill_and_a_third_port_finds_no_place_on_it(lab: Any) -> None:
    left, right = (lab.host(wire="ring:c") for _ in range(2))
    long = udp(payload=b"x" * 1400)
    for _ in range(80):
        sends(left, *[long] * 50)
    counters = left.nic.counters()
    assert counters.wire_out_dropped > 0
    assert counters.host_tx == counters.wire_out + counters.wire_out_dropped
    while right.received():
        pass
    assert right.nic.counters().wire_in == counters.wire_out
    with pytest.raises(CtoffloadError):
        lab.host(wire="ring:c")
    assert "two ports are on the ring c already" in lab.eal.log.text


def test_a_ring_whose_other_port_was_replaced_goes_on_with_the_new_one(lab: Any) -> None:
    left, right = (lab.host(wire="ring:d") for _ in range(2))
    sends(left, udp())
    assert right.received() == [bytes(udp())]
    right.port.remove()
    assert left.nic.wire_poll() == 0
    again = lab.host(wire="ring:d")
    sends(again, tcp())
    assert left.received() == [bytes(tcp())]
    assert left.nic.wire_poll() == 0


def test_frames_of_no_byte_arrive_and_fill_a_wire_like_others(lab: Any) -> None:
    left, right = lab.pair()
    left.rule([items.Eth()], [actions.RepresentedPort(right.port.id)], transfer=True)
    with type(right.nic)(right.port.id, keep_bytes=96):
        left.send(*[b""] * 6)
        assert left.nic.counters().wire_in == 6
        counters = right.nic.counters()
        assert (counters.wire_out, counters.wire_out_dropped) == (4, 2)
        assert right.left() == [b""] * 4


def test_what_leaves_by_such_a_wire_is_not_to_be_had_here(lab: Any) -> None:
    host = lab.host(wire="ring:e")
    with pytest.raises(UsageError, match="leads to another port"):
        host.nic.wire_receive()
    host.send(udp())
    assert host.received() == [bytes(udp())]


@pytest.fixture
def far(eal: Any) -> Any:
    """A port of another driver, by its vdev: far("net_ring") gives its name."""
    names = []

    def plug(driver: str, **parameters: Any) -> str:
        names.append(f"{driver}{next(NUMBERS)}")
        eal.add_vdev(names[-1], ",".join(f"{key}={value}" for key, value in parameters.items()))
        return names[-1]

    yield plug
    for name in names:
        try:
            eal.remove_vdev(name)
        except CtoffloadError as error:
            assert "no" in str(error)  # a test removed it


def test_a_port_of_another_driver_carries_packets_both_ways(lab: Any, far: Any) -> None:
    name = far("net_ring")  # what is sent into it comes out of it
    host = lab.host(wire=f"port:{name}")
    assert sends(host, udp(), tcp(), udp(6)) == 3
    assert host.received() == [bytes(udp()), bytes(tcp()), bytes(udp(6))]
    assert counted(host) == (3, 3)


def test_the_far_port_is_nobody_elses(lab: Any, far: Any, eal: Any) -> None:
    name = far("net_ring")
    lab.host(wire=f"port:{name}")
    with pytest.raises(CtoffloadError):
        lab.host(wire=f"port:{name}")
    assert f"the port {name} is in use by another owner" in lab.eal.log.text


def test_a_frame_that_the_far_port_cannot_take_is_dropped_and_counted(lab: Any, far: Any) -> None:
    host = lab.host(wire=f"port:{far('net_ring')}")
    host.port.set_mtu(4000)
    sends(host, udp(payload=b"x" * 1400), udp(payload=b"x" * 1700))
    counters = host.nic.counters()
    assert (counters.host_tx, counters.wire_out, counters.wire_out_dropped) == (2, 1, 1)


def test_a_full_far_port_drops(lab: Any, far: Any) -> None:
    host = lab.host(wire=f"port:{far('net_ring')}")
    for _ in range(40):
        sends(host, *[udp()] * 50)
    counters = host.nic.counters()
    assert counters.wire_out_dropped > 0
    assert counters.wire_out + counters.wire_out_dropped == 2000
    while host.received():
        pass
    assert host.nic.counters().wire_in == counters.wire_out


def test_a_port_stopped_and_started_again_has_its_wire_again(lab: Any, far: Any) -> None:
    host = lab.host(wire=f"port:{far('net_ring')}")
    host.port.stop()
    assert host.nic.wire_poll() == 0
    host.port.start()
    sends(host, udp())
    assert host.received() == [bytes(udp())]


def test_a_far_port_that_is_removed_pulls_the_cable(lab: Any, far: Any, eal: Any) -> None:
    name = far("net_ring")
    host = lab.host(wire=f"port:{name}")
    seen: list[int] = []
    subscription = host.port.on_event(Event.LINK_CHANGE, lambda port_id, _: seen.append(port_id), thread=False)
    eal.remove_vdev(name)
    subscription.deliver()
    assert seen == [host.port.id]
    assert not host.port.link().is_up
    assert f"the port {name} at the far end of its wire was removed" in lab.eal.log.text
    sends(host, udp())
    assert host.nic.counters().wire_out_dropped == 1
    assert host.received() == []
    subscription.close()
    host.port.stop()
    with pytest.raises(CtoffloadError) as caught:
        host.port.start()
    assert caught.value.errno == errno.ENODEV


def test_two_ports_talk_over_shared_memory(lab: Any, far: Any, tmp_path: Path) -> None:
    """memif, as virtual machines and containers use it: its two ends find each other by a socket, in their own time."""
    where = {"socket": tmp_path / "memif.sock", "socket-abstract": "no", "id": 0}
    hosts = [lab.host(wire=f"port:{far('net_memif', role=role, **where)}") for role in ("server", "client")]
    deadline = time.monotonic() + 20
    while not (got := hosts[1].received()):
        assert time.monotonic() < deadline, "the two ends did not find each other"
        sends(hosts[0], udp())
    assert set(got) == {bytes(udp())}
    while hosts[1].received():
        pass
    sends(hosts[1], tcp(), udp(6))
    assert hosts[0].received() == [bytes(tcp()), bytes(udp(6))]


def test_files_come_in_and_go_out_by_the_driver_for_them(lab: Any, far: Any, tmp_path: Path) -> None:
    packets = [udp(sport=n) for n in range(1, 41)]
    wrpcap(str(tmp_path / "in.pcap"), packets)
    name = far("net_pcap", rx_pcap=tmp_path / "in.pcap", tx_pcap=tmp_path / "out.pcap")
    host = lab.host(wire=f"port:{name}", queues=1)
    rule = host.rule(pattern(), [actions.Count(), actions.Drop()])  # the one from port 1000 is not among them
    got: list[bytes] = []
    while burst := host.received():
        got += burst
    assert got == [bytes(p) for p in packets]
    assert rule.query_count().packets == 0
    sends(host, *packets[:7])
    host.port.remove()
    assert [bytes(p) for p in rdpcap(str(tmp_path / "out.pcap"))] == [bytes(p) for p in packets[:7]]


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("port:net_tap9", "there is no port net_tap9 for its wire; plug that one in first"),
        ("ring:", "cannot take wire=ring:; allowed: "),
        ("cable", "wire=python|ring:NAME|port:NAME"),
    ],
)
def test_a_wire_that_cannot_be_is_refused_in_words(lab: Any, wire: str, words: str) -> None:
    with pytest.raises(CtoffloadError):
        lab.host(wire=wire)
    assert words in lab.eal.log.text


def test_the_host_side_of_an_emulated_port_is_no_wire(lab: Any) -> None:
    other = lab.host()
    with pytest.raises(CtoffloadError):
        lab.host(wire=f"port:{other.port.name}")
    assert "join the two with the same wire=ring:NAME" in lab.eal.log.text
