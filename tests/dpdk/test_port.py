"""Ports and packets, over net_ring (receives what it sends) and net_null."""

from __future__ import annotations

import gc
import random
import re
import warnings
from typing import Any

import pytest

from ctoffload_dpdk.base.errors import ClosedError, PortError, UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk.types import Descriptors, RxMetadata

pytestmark = pytest.mark.eal

# RTE_ETH_RSS_IPV4
RSS_IP = 1 << 2


def random_packets(n: int, longest: int) -> Packets:
    made = random.Random(n)
    return Packets.of([made.randbytes(made.randint(1, longest)) for _ in range(n)])


@pytest.mark.parametrize("n", [1, 31, 32, 33, 500])
def test_what_is_sent_is_received_byte_for_byte_in_order(ring, pool, n):
    sent = random_packets(n, 2048)
    assert ring.tx_burst(sent, pool) == n
    received: list[bytes] = []
    while len(burst := ring.rx_burst(0, 64)):
        assert burst.has_mark.any() == 0 and len(burst.mark) == len(burst) == len(burst.ol_flags)
        received += list(burst.packets)
    assert received == list(sent)
    assert pool.n_in_use == 0


def test_a_burst_is_never_larger_than_asked_for(ring, pool):
    ring.tx_burst(random_packets(10, 100), pool)
    assert [len(ring.rx_burst(0, most)) for most in (0, 3, 4, 64, 64)] == [0, 3, 4, 3, 0]


def test_an_empty_burst_has_no_packets_and_no_bytes(ring, pool):
    burst = ring.rx_burst()
    assert len(burst) == 0 and len(burst.packets.data) == 0
    assert ring.tx_burst(Packets.of([]), pool) == 0


def test_a_packet_longer_than_a_buffer_is_refused_with_both_lengths(ring, pool):
    with pytest.raises(PortError, match="EMSGSIZE") as caught:
        ring.tx_burst(Packets.of([b"x" * 3000]), pool)
    assert "3000" in caught.value.hint and "2048" in caught.value.hint
    assert pool.n_in_use == 0


def test_packets_before_one_that_is_too_long_are_sent(ring, pool):
    assert ring.tx_burst(Packets.of([b"a" * 60, b"b" * 60, b"x" * 3000, b"c" * 60]), pool) == 2
    assert list(ring.rx_burst().packets) == [b"a" * 60, b"b" * 60]


def test_a_full_port_is_not_the_fault_of_a_packet_behind_that_is_too_long(ring, pool):
    while ring.tx_burst(random_packets(32, 60), pool):
        pass
    assert ring.tx_burst(Packets.of([b"a" * 60, b"x" * 3000]), pool) == 0
    ring.rx_burst()
    assert ring.tx_burst(Packets.of([b"a" * 60, b"x" * 3000]), pool) == 1
    while len(ring.rx_burst()):
        pass


def test_an_empty_pool_is_said(eal, ring):
    with eal.mempool(1, cache_size=0) as pool:
        ring.tx_burst(Packets.of([b"a" * 60]), pool)
        with pytest.raises(PortError, match="ENOBUFS") as caught:
            ring.tx_burst(Packets.of([b"b" * 60]), pool)
        assert "no free buffer" in caught.value.hint
        ring.rx_burst()
        assert ring.tx_burst(Packets.of([b"b" * 60]), pool) == 1
        ring.rx_burst()


def test_a_pool_stays_while_a_queue_uses_it(pool, ring):
    with pytest.raises(UsageError, match=r"used by port .* \(net_ring\) queue 0"):
        pool.close()
    assert not pool.is_closed


def test_a_pool_stays_while_a_port_has_buffers_of_it_to_send(eal, ring):
    with eal.mempool(63) as pool:
        ring.tx_burst(random_packets(3, 60), pool)
        with pytest.raises(UsageError, match=r"3 buffers of mempool .* are under way") as caught:
            pool.close()
        assert repr(ring) in caught.value.hint
        assert len(ring.rx_burst()) == 3


def test_queues_that_are_not_there_are_refused(ring, pool):
    with pytest.raises(UsageError, match="no queue 1"):
        ring.rx_burst(1)
    with pytest.raises(UsageError, match="no queue 7"):
        ring.tx_burst(Packets.of([b"x"]), pool, 7)


def test_a_stopped_port_moves_no_packets_and_can_be_started_again(ring, pool):
    ring.stop()
    with pytest.raises(UsageError, match="does not run"):
        ring.rx_burst()
    ring.start()
    assert ring.tx_burst(Packets.of([b"x" * 60]), pool) == 1
    assert len(ring.rx_burst()) == 1


def test_a_running_port_cannot_be_configured(ring, pool):
    for change in (ring.configure, lambda: ring.setup_rx_queue(0, pool), lambda: ring.setup_tx_queue(0)):
        with pytest.raises(UsageError, match="stop the port first"):
            change()


@pytest.mark.parametrize(
    ("direction", "set_up"), [("receive", lambda port, pool: port.setup_tx_queue(0)),
                              ("receive", lambda port, pool: port.setup_rx_queue(1, pool)),
                              ("transmit", lambda port, pool: [port.setup_rx_queue(i, pool) for i in range(2)])]
)  # fmt: skip
def test_a_port_does_not_start_with_a_queue_that_was_not_set_up(make_port, pool, direction, set_up):
    port = make_port("net_null", start=False)
    port.configure(rx_queues=2)
    set_up(port, pool)
    with pytest.raises(UsageError, match=f"{direction} queue 0 was not set up") as caught:
        port.start()
    assert "setup_queues" in caught.value.hint
    port.setup_queues(pool)
    port.start()
    port.stop()
    port.configure()
    with pytest.raises(UsageError, match="receive queue 0 was not set up"):
        port.start()


def test_a_device_stays_while_a_port_of_it_is_open(eal, ring):
    with pytest.raises(UsageError, match=f"{ring.name} has an open port") as caught:
        eal.remove_vdev(ring.name)
    assert "remove()" in caught.value.hint
    assert ring.link().is_up


def test_more_queues_than_the_driver_has_are_refused_in_dpdks_words(make_port):
    port = make_port("net_ring", start=False)
    with pytest.raises(PortError) as caught:
        port.configure(rx_queues=1000)
    assert "1000" in caught.value.message and "EINVAL" in str(caught.value)


BEYOND_16_BITS = [-1, 0x10000, 0x10001, 1 << 40, 0.5, None]


@pytest.mark.parametrize("number", BEYOND_16_BITS)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("rx_queues", lambda port, n, pool: port.configure(rx_queues=n)),
        ("tx_queues", lambda port, n, pool: port.configure(tx_queues=n)),
        ("mtu", lambda port, n, pool: port.configure(mtu=n)),
        ("mtu", lambda port, n, pool: port.set_mtu(n)),
        ("queue", lambda port, n, pool: port.setup_rx_queue(n, pool)),
        ("queue", lambda port, n, pool: port.setup_tx_queue(n)),
        ("descriptors", lambda port, n, pool: port.setup_rx_queue(0, pool, descriptors=n)),
        ("descriptors", lambda port, n, pool: port.setup_tx_queue(0, descriptors=n)),
        ("descriptors", lambda port, n, pool: port.setup_queues(pool, descriptors=n)),
        ("queue", lambda port, n, pool: port.setup_hairpin_rx(n, [(0, 0)])),
        ("queue", lambda port, n, pool: port.setup_hairpin_tx(n, [(0, 0)])),
        ("descriptors", lambda port, n, pool: port.setup_hairpin_rx(0, [(0, 0)], descriptors=n)),
        ("descriptors", lambda port, n, pool: port.setup_hairpin_tx(0, [(0, 0)], descriptors=n)),
        ("port id of a peer", lambda port, n, pool: port.setup_hairpin_rx(0, [(n, 0)])),
        ("queue of a peer", lambda port, n, pool: port.setup_hairpin_tx(0, [(0, n)])),
        ("rx_port", lambda port, n, pool: port.bind_hairpin(n)),
        ("rx_port", lambda port, n, pool: port.unbind_hairpin(n)),
        ("a queue of the table", lambda port, n, pool: port.set_reta([n] * port.info().reta_size)),
    ],
)
def test_a_number_beyond_dpdks_16_bits_is_refused_in_words(stopped_null, pool, name, call, number):
    with pytest.raises(UsageError, match=rf"^{name} {re.escape(repr(number))} is (not between [01] and \d+|no whole)"):
        call(stopped_null, number, pool)
    assert stopped_null.n_rx_queues == stopped_null.n_tx_queues == 1


@pytest.mark.parametrize("key", [b"", b"x" * 39, b"x" * 41, b"x" * (256 + 40)])
def test_a_key_of_another_length_than_the_drivers_is_refused(stopped_null, key):
    for use in (
        lambda: stopped_null.configure(rss_types=RSS_IP, rss_key=key),
        lambda: stopped_null.set_rss(RSS_IP, key),
    ):
        with pytest.raises(UsageError, match=f"its RSS key has 40 bytes, not {len(key)}"):
            use()


@pytest.mark.parametrize("bits", [-1, 1 << 64])
def test_bits_beyond_64_are_refused_in_words(stopped_null, bits):
    for name in ("rss_types", "rx_offloads", "tx_offloads"):
        with pytest.raises(UsageError, match=f"{name} {bits} is not between"):
            stopped_null.configure(**{name: bits})
    with pytest.raises(UsageError, match=f"types {bits} is not between"):
        stopped_null.set_rss(bits)


def test_none_is_no_pool(stopped_null, ring):
    for use in (
        lambda: stopped_null.setup_rx_queue(0, None),
        lambda: stopped_null.setup_queues(None),
        lambda: ring.tx_burst(Packets.of([b"x" * 60]), None),
    ):
        with pytest.raises(TypeError, match="mempool"):
            use()


def test_several_queues_work_each_for_itself(eal, make_port, pool):
    port = make_port("net_null", "size=80", rx_queues=3, tx_queues=2)
    assert [len(port.rx_burst(queue, 8)) for queue in range(3)] == [8, 8, 8]
    assert port.tx_burst(random_packets(5, 60), pool, 1) == 5
    assert len(port.rx_burst(2, 1).packets[0]) == 80


def test_a_port_is_found_by_id_and_name_and_devargs(eal, make_port):
    port = make_port("net_null", "size=70")
    by_id, name = port.id, port.name
    address = next(a for a in eal.ports() if a.id == by_id)
    assert (address.name, address.driver, address.bus, address.devargs) == (name, "net_null", "vdev", "size=70")
    port.close()
    eal.remove_vdev(name)
    eal.add_vdev(name)
    for which in (name, f"vdev:{name}", by_id):
        with eal.port(which) as found:
            assert found.name == name
        eal.remove_vdev(name)
        eal.add_vdev(name)


@pytest.mark.parametrize("which", [31, 99, -1, "net_null99", "0000:99:00.0", "nonsense=1"])
def test_a_port_that_is_not_there_is_named_with_those_that_are(eal, ring, which):
    with pytest.raises(PortError) as caught:
        eal.port(which)
    assert ring.name in caught.value.message
    assert "--vdev" in caught.value.hint


@pytest.mark.parametrize("which", [None, 0.5, b"net_ring0", ["net_ring0"]])
def test_what_names_no_port_is_refused(eal, which):
    with pytest.raises(UsageError, match="is no port") as caught:
        eal.port(which)
    assert "device arguments" in caught.value.hint


def test_a_port_has_one_owner(eal, ring):
    with pytest.raises(UsageError, match="open already"):
        eal.port(ring.id)


def test_info_is_what_ethdev_says(ring):
    info = ring.info()
    assert (info.id, info.name, info.driver, info.bus) == (ring.id, ring.name, "net_ring", "vdev")
    assert info.mac == "00:00:00:00:00:00"
    assert info.max_rx_queues == 16 and info.rx_descriptors == Descriptors(0, 65535, 1)
    assert not info.rules_survive_stop and not info.is_representor
    assert info.switch_domain is None


def test_link_and_statistics(ring, pool):
    ring.reset_stats()
    ring.tx_burst(random_packets(7, 100), pool)
    ring.rx_burst(0, 5)
    stats, xstats = ring.stats(), ring.xstats()
    assert (stats.tx_packets, stats.rx_packets) == (7, 5)
    assert (xstats["tx_good_packets"], xstats["rx_good_packets"]) == (7, 5)
    assert ring.link().is_up and ring.link().is_full_duplex
    ring.set_link(False)
    assert not ring.link().is_up
    ring.set_link(True)
    ring.rx_burst()


def test_promiscuous_and_multicast_can_be_asked_and_set(ring):
    assert ring.is_promiscuous in {True, False}
    ring.set_promiscuous(True)
    ring.set_allmulticast(True)
    assert ring.is_promiscuous and ring.is_allmulticast


def test_the_mtu_of_a_driver_that_can_change_it(make_port):
    port = make_port("net_null")
    port.set_mtu(9000)
    assert port.mtu == 9000
    with pytest.raises(UsageError):
        port.set_mtu(0)


def test_rss_and_its_table(make_port):
    port = make_port("net_null", rx_queues=4, rss_types=RSS_IP)
    table = [i % 4 for i in range(port.info().reta_size)]
    port.set_reta(table)
    assert port.reta().tolist() == table
    key = bytes(range(40))
    port.set_rss(port.info().rss_types, key)
    assert port.rss().key == key
    with pytest.raises(UsageError, match="entries"):
        port.set_reta([0])


def test_a_driver_without_metadata_call_delivers_what_it_has(make_port):
    port = make_port("net_ring", start=False)
    assert port.configure(rx_metadata=RxMetadata.USER_MARK) == RxMetadata.USER_MARK


def test_what_a_driver_does_not_offer_is_said_with_its_name(null):
    null.stop()
    for call in (null.reset, null.hairpin_capability, lambda: null.setup_hairpin_rx(0, [(null.id, 0)])):
        with pytest.raises(PortError, match=r"net_null.*(ENOTSUP|EOPNOTSUPP|EINVAL)"):
            call()
    with pytest.raises(UsageError, match="1 to 32 peers"):
        null.setup_hairpin_tx(0, [])


def test_a_device_can_be_removed_through_its_port(eal, pool):
    [port_id] = eal.add_vdev("net_null77")
    port = eal.port(port_id)
    port.remove()
    assert port.is_closed
    assert "net_null77" not in [p.name for p in eal.ports()]


def test_a_device_can_be_probed_by_devargs(eal):
    [port_id] = eal.probe("net_null78,size=90")
    assert eal.ports()[-1].devargs == "size=90"
    eal.port(port_id).remove()


def test_a_driver_that_is_not_there_cannot_be_plugged_in(eal):
    from ctoffload_dpdk.base.errors import EalError  # noqa: PLC0415

    with pytest.raises(EalError, match="net_nothing") as caught:
        eal.add_vdev("net_nothing0")
    assert "installed" in caught.value.hint
    with pytest.raises(EalError):
        eal.remove_vdev("net_nothing0")


def test_a_closed_port_refuses_every_use(make_port, pool):
    port = make_port("net_null")
    port.close()
    port.close()
    uses: list[Any] = [
        port.info, port.configure, port.start, port.stop, port.reset, port.remove, port.stats, port.reset_stats,
        port.xstats, port.link, port.rss, port.reta, port.rx_burst, port.aged, port.flow_info, port.flush_rules,
        port.isolate, port.transfer_proxy, port.hairpin_capability, port.flow_queue, port.hairpin_peers,
        port.set_promiscuous, port.bind_hairpin, lambda: port.mtu, lambda: port.is_removed,
        lambda: port.tx_burst(Packets.of([b"x"]), pool),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ClosedError, match="net_null"):
            use()


def test_a_forgotten_port_and_a_forgotten_pool_warn(eal):
    eal.add_vdev("net_null79")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forgotten = [eal.port("net_null79"), eal.mempool(15)]
        del forgotten
        gc.collect()
    assert sorted(str(w.message).split(" ")[0] for w in caught if w.category is ResourceWarning) == ["mempool", "port"]
    assert "net_null79" not in [p.name for p in eal.ports()]
    eal.remove_vdev("net_null79")


def test_a_pool_that_cannot_be_is_refused(eal):
    for n, size in ((0, 2048), (-1, 2048), (1 << 31, 2048), (10, 0), (10, 65408), (10, 65536 + 2048)):
        with pytest.raises(UsageError, match="is not between 1 and"):
            eal.mempool(n, data_bytes=size)
    with pytest.raises(UsageError, match="cache_size -1 is not between"):
        eal.mempool(10, cache_size=-1)


def test_no_object_can_be_made_behind_its_owners_back():
    from ctoffload_dpdk.dpdk import Eal, FlowQueue, Mempool, Port, Rule  # noqa: PLC0415

    for kind in (Eal, Mempool, Port, Rule, FlowQueue):
        with pytest.raises(UsageError, match="is made by"):
            kind()
