"""The port starts and says what it is."""

from __future__ import annotations

from ctoffload_dpdk.dpdk import Port


def test_the_port_says_who_drives_it(port: Port) -> None:
    info = port.info()
    assert info.driver
    assert info.max_rx_queues >= 1
    assert info.max_tx_queues >= 1


def test_the_port_receives_promiscuously(port: Port) -> None:
    port.set_promiscuous()
    assert port.is_promiscuous


def test_the_port_counts_from_its_start(port: Port) -> None:
    port.reset_stats()
    stats = port.stats()
    assert stats.rx_errors == stats.tx_errors == 0
