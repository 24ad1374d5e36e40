"""`ctoffload run` on ports without rules, each of a real driver: TAP, AF_PACKET, memif, pcap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scapy.all as scapy
from daemon_lab import running
from kernel_lab import run_apart, unshare_or_skip

HERE = Path(__file__).parent
SOFTWARE = "has no driver that can offload: its connections stay in software"


def assert_closed(account: dict[str, Any]) -> None:
    assert account["problems"] == []
    assert account["closed"]
    assert account["audit"] == {"rules": 0, "objects": 0}


def assert_says_so(notes: list[str], *ports: str) -> None:
    assert any(note.startswith("no hugepages: ") for note in notes)
    for port in ports:
        assert f"port {port} {SOFTWARE}" in notes


KINDS = {
    "tap": [("net_tap0", "net_tap1")],
    "af_packet": [("net_af_packet0", "net_af_packet1")],
    "memif": [("net_tap0", "net_memif0"), ("net_tap0", "net_memif0")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_hosts_speak_through_ports_that_have_no_rules(tmp_path: Path, kind: str) -> None:
    said = run_apart(unshare_or_skip(), HERE / "wires.py", tmp_path / "said.json", kind)
    for which in ("ping0", "ping1"):
        assert "3 received, 0% packet loss" in said[which], said[which]
    for ports, rows, notes, account in zip(KINDS[kind], said["rows"], said["notes"], said["accounts"], strict=True):
        assert len(rows) == 2
        for row in rows:
            assert (row["orig"]["packets"], row["reply"]["packets"]) == (3, 3)
            assert row["offload"]["state"] == "no"
        assert_says_so(notes, *ports)
        assert account["packets"]["host_rx"] >= 12
        assert_closed(account)


def udp(i: int, *, back: bool = False) -> scapy.Packet:
    ends = {"src": "10.79.0.2", "dst": "10.79.0.1"} if back else {"src": "10.79.0.1", "dst": "10.79.0.2"}
    ports = {"sport": 53, "dport": 4000 + i} if back else {"sport": 4000 + i, "dport": 53}
    return (
        scapy.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / scapy.IP(**ends) / scapy.UDP(**ports) / b"word"
    )


def test_captures_are_ports_and_what_goes_out_is_written(tmp_path: Path) -> None:
    forth, back = [udp(i) for i in range(50)], [udp(i, back=True) for i in range(50)]
    scapy.wrpcap(str(tmp_path / "a.pcap"), forth)
    scapy.wrpcap(str(tmp_path / "b.pcap"), back)
    ports = []
    for i, name in enumerate("ab"):
        ports += ["--vdev", f"net_pcap{i},rx_pcap={tmp_path}/{name}.pcap,tx_pcap={tmp_path}/{name}-out.pcap"]
    with running(tmp_path, *ports) as daemon:
        daemon.until(lambda: daemon.call("stats")["packets"]["host_rx"] >= 100, "the captures were not read")
        assert daemon.call("count")["connections"] == 50
        assert_says_so(daemon.call("status")["notes"], "net_pcap0", "net_pcap1")
        assert_closed(daemon.stop())
    sent = {name: [bytes(p) for p in scapy.rdpcap(str(tmp_path / f"{name}-out.pcap"))] for name in "ab"}
    assert sorted(sent["b"]) == sorted(bytes(p) for p in forth)
    assert sorted(sent["a"]) == sorted(bytes(p) for p in back)
