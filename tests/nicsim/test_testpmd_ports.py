"""What testpmd asks of a port: nothing it commonly asks is answered with "not supported"."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from nicsim_testpmd import Testpmd

REFUSED = re.compile(r"not supported|unsupported|ENOTSUP|-95|-38|[Ff]ail|[Ee]rror:|Bad arguments|doesn't", re.ASCII)


@pytest.fixture(scope="module")
def testpmd() -> Iterator[Testpmd]:
    ports = ("net_nicsim0,switch=1,loopback=1", "net_nicsim1,switch=1")
    with Testpmd(*ports, options=("--rxq=2", "--txq=2")) as running:
        yield running


def well(testpmd: Testpmd, command: str) -> str:
    """What testpmd says to a command, without its echo; nothing of it was refused."""
    said = testpmd.say(command).replace(command, "", 1)
    assert not REFUSED.search(said), f"{command}\n{said}"
    return said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("show port info 0", "Driver name: net_nicsim"),
        ("show port info 0", "Maximum number of MAC addresses: 16"),
        ("show port info 0", "Redirection table size: 128"),
        ("show port summary all", "net_nicsim1"),
        ("show port stats all", "NIC statistics for port 1"),
        ("show port xstats 0", "nic_dropped_rx_full: 0"),
        ("clear port xstats 0", ""),
        ("clear port stats all", ""),
        ("show port 0 rss-hash key", "6D5A6D5A"),
        ("show port 0 macs", "Number of MAC address added: 1"),
        ("show port 0 rx_offload capabilities", ""),
        ("show port 0 tx_offload capabilities", ""),
        ("show rxq info 0 0", "Number of RXDs"),
        ("show txq info 0 0", "Number of TXDs"),
        ("show port 0 rxq 0 desc 3 status", "AVAILABLE"),
        ("show port 0 txq 0 desc 3 status", "DONE"),
        ("show port 0 rxq 0 desc used count", "sed desc count = 0"),
        ("show fwd stats all", ""),
    ],
)
def test_what_is_shown(testpmd: Testpmd, command: str, words: str) -> None:
    assert words in well(testpmd, command)


def test_the_kinds_of_packets_it_tells_apart(testpmd: Testpmd) -> None:
    said = testpmd.say("show port 0 ptypes")
    assert "L3_IPV4_EXT_UNKNOWN" in said
    assert "L4_TCP" in said


def test_a_port_is_switched_and_addressed(testpmd: Testpmd) -> None:
    for command in (
        "set promisc 0 off",
        "set allmulti 0 off",
        "mac_addr add 0 02:00:00:00:00:77",
        "mac_addr set 0 02:00:00:00:00:78",
        "mcast_addr add 0 01:00:5e:00:00:01",
        "mcast_addr remove 0 01:00:5e:00:00:01",
        "set link-down port 0",
        "set link-up port 0",
        "set promisc all on",
        "set allmulti all on",
    ):
        well(testpmd, command)
    said = well(testpmd, "show port info 0")
    assert "MAC address: 02:00:00:00:00:78" in said
    assert "Link status: up" in said
    assert "Number of MAC address added: 2" in well(testpmd, "show port 0 macs")
    well(testpmd, "mac_addr remove 0 02:00:00:00:00:77")


def test_a_port_is_stopped_started_reset_and_sized(testpmd: Testpmd) -> None:
    for command in (
        "port stop 0",
        "port config mtu 0 2000",
        "port start 0",
        "port stop 0",
        "port reset 0",
        "port start 0",
    ):
        well(testpmd, command)
    assert "MTU: 2000" in well(testpmd, "show port info 0")


def test_a_single_queue_is_stopped_and_started(testpmd: Testpmd) -> None:
    for command in ("port 0 rxq 0 stop", "port 0 rxq 0 start", "port 0 txq 0 stop", "port 0 txq 0 start"):
        well(testpmd, command)


def test_hashing_is_changed(testpmd: Testpmd) -> None:
    well(testpmd, "port config all rss all")
    well(testpmd, "port config 0 rss reta (0,0),(1,0)")
    key = "00" * 39 + "01"
    well(testpmd, f"port config 0 rss-hash-key ipv4 {key}")
    assert key in well(testpmd, "show port 0 rss-hash key")


def test_packets_run_and_are_counted_by_reason(testpmd: Testpmd) -> None:
    well(testpmd, "clear port xstats all")
    well(testpmd, "set fwd txonly")
    well(testpmd, "start")
    well(testpmd, "stop")
    said = well(testpmd, "show port xstats 0")
    numbers = {name: int(n) for name, n in re.findall(r"^(\w+): (\d+)$", said, re.MULTILINE)}
    assert numbers["wire_out"] == numbers["wire_in"] == numbers["tx_good_packets"] > 0
    dropped = sum(n for name, n in numbers.items() if name.startswith("nic_dropped_"))
    assert numbers["wire_in"] == numbers["nic_forwarded"] + numbers["host_rx"] + dropped


def test_a_port_is_closed_detached_and_attached_again(testpmd: Testpmd) -> None:
    for command in ("port stop 1", "port close 1", "device detach net_nicsim1"):
        well(testpmd, command)
    assert "net_nicsim1" not in well(testpmd, "show port summary all")
    assert "Port 1 is attached" in well(testpmd, "port attach net_nicsim1,switch=1,capacity=77")
    well(testpmd, "port start 1")
    assert "net_nicsim1" in well(testpmd, "show port summary all")
