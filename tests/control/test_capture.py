"""ctoffload capture over the socket: a file that tshark reads, with what was dropped in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import scapy.all as scapy
from serving import Serving
from story import A
from tshark import capinfos, tshark

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.control.client import Client
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

PROGRAM = Path(sys.executable).parent / "ctoffload"


class Capturing:
    """`ctoffload capture` in a process, begun: the tap is in the loop."""

    def __init__(self, lab, serving, *words: str, stdout=subprocess.PIPE) -> None:
        self.lab = lab
        command = [PROGRAM, "--socket", str(serving.servers[0].path), "capture", *words]
        self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)
        self.serving = serving
        self.wait_for_tap(there=True)

    def wait_for_tap(self, *, there: bool) -> None:
        while self.serving.call(lambda: self.lab.engine.loops[0].is_tapped) is not there:
            assert not there or self.process.poll() is None, self.process.stderr.read()

    def end(self) -> str:
        """What it says at its end."""
        self.out, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        self.wait_for_tap(there=False)
        return said.decode()


def test_a_file_that_tshark_reads(lab, serving, tmp_path):
    file = tmp_path / "out.pcapng"
    capturing = Capturing(lab, serving, str(file), "-n", "3")
    lab.udp()
    lab.udp(answered=False)
    assert capturing.end() == "3 packets have been captured, 0 were dropped\n"
    rows = tshark(file, "frame.comment", "frame.interface_name", "udp.dstport")
    assert [row[0].split(" ")[0] for row in rows] == ["ct_state=new|trk", "ct_state=est|rpl|trk", "ct_state=new|trk"]
    assert rows[0][1:] == ["net_nicsim0", "53"]
    assert rows[1][1] == "net_nicsim1"
    assert "Number of stat entries = 1" in capinfos(file)["text"]
    assert not lab.engine.loops[0].is_tapped


def test_a_filter_and_a_pipe(lab, serving):
    capturing = Capturing(lab, serving, "-", "-n", "1", "-p", "udp", "--dport", "53", "-s", "198.51.100.7", "--json")
    lab.tcp(host=7)
    lab.udp(host=8)
    lab.udp(host=7, answered=False)
    assert json.loads(capturing.end()) == {"schema": 1, "file": "-", "packets": 1, "dropped": 0}
    assert capturing.out[:4] == b"\x0a\x0d\x0d\x0a"
    assert b"ct_state=new|trk" in capturing.out


def test_it_ends_by_time_and_by_interrupt_and_the_file_is_whole(lab, serving, tmp_path):
    timed = Capturing(lab, serving, str(tmp_path / "a"), "--seconds", "0.3")
    assert timed.end().startswith("0 packets")
    assert tshark(tmp_path / "a", "frame.number") == []
    interrupted = Capturing(lab, serving, str(tmp_path / "b"))
    lab.udp(answered=False)
    while b"ct_state=new" not in (tmp_path / "b").read_bytes():
        assert interrupted.process.poll() is None
    interrupted.process.send_signal(2)
    assert interrupted.end().startswith("1 packets")
    assert len(tshark(tmp_path / "b", "frame.number")) == 1


def test_what_the_ring_could_not_hold_is_told(lab, serving, tmp_path):
    frame = bytes(scapy.Ether() / scapy.IP(dst="198.51.100.2") / scapy.UDP(dport=9) / (b"x" * 1400))
    with Client(serving.servers[0].path) as client:
        rows = client.rows_until("capture", {"ring": 1}, None)
        assert next(rows)["captured"] == 0
        blocked = threading.Event()
        # The server's thread is kept from emptying the ring.
        serving._loop.call_soon_threadsafe(blocked.wait, 20)
        for _ in range(60):
            lab.send(A, Packets.of([frame] * 32))
        blocked.set()
        row = next(row for row in rows if row["captured"] + row["dropped"] == 60 * 32)
        assert row["dropped"] > 100
        assert row["captured"] > 100


def test_packets_of_all_loops_are_in_one_file(make_lab, tmp_path):
    lab = make_lab(Settings(ct_offload_loops=2))
    serving = Serving(Server(System(lab.engine), tmp_path / "two.sock"))
    capturing = Capturing(lab, serving, str(tmp_path / "two"), "-n", "40")
    for _ in range(40):
        lab.udp(answered=False)
    capturing.end()
    assert all(loop.stats().host_rx for loop in lab.engine.loops)
    ports = {row[0] for row in tshark(tmp_path / "two", "udp.srcport")}
    assert ports == {str(row["src_port"]) for row in lab.engine.conntrack.connections()}
    serving.close()


def test_a_running_engine_is_captured_between_its_turns(lab, serving, tmp_path):
    """Taps come and go while a thread runs the loop; every packet is in the file or counted."""
    frames = [
        bytes(scapy.Ether() / scapy.IP(dst="198.51.100.2") / scapy.UDP(sport=n + 1, dport=9) / f"{n:05}".encode())
        for n in range(640)
    ]
    lab.engine.start()
    try:
        for _ in range(3):
            capturing = Capturing(lab, serving, str(tmp_path / "running"))
            before = lab.engine.packets().host_rx
            for first in range(0, len(frames), 32):
                lab.nics[A].wire_send(Packets.of(frames[first : first + 32]))
                until = before + first + 32
                while lab.engine.packets().host_rx < until:
                    pass
                lab.nics[1 - A].wire_receive()
            while comments_in(tmp_path / "running") < len(frames):
                assert capturing.process.poll() is None
            capturing.process.send_signal(2)
            assert capturing.end() == "640 packets have been captured, 0 were dropped\n"
    finally:
        lab.engine.stop()
        lab.now_ms = time.monotonic_ns() // 1_000_000
    assert len(tshark(tmp_path / "running", "frame.number")) == len(frames)


def comments_in(path: Path) -> int:
    """How many comments are in a file that is still written."""
    return path.read_bytes().count(b"ct_state=")


def test_one_capture_at_a_time_and_a_client_that_is_gone_frees_it(lab, serving):
    with Client(serving.servers[0].path) as first, Client(serving.servers[0].path) as second:
        next(first.rows_until("capture", {}, None))
        with pytest.raises(UsageError, match="running already"):
            next(second.rows_until("capture", {}, None))
    while serving.call(lambda: lab.engine.loops[0].is_tapped):
        pass
    with Client(serving.servers[0].path) as third:
        next(third.rows_until("capture", {}, None))


def test_a_capture_that_is_refused_leaves_the_file_of_that_name_as_it_was(serving, tmp_path):
    before = tmp_path / "before.pcapng"
    before.write_bytes(b"of an hour ago")
    command = [PROGRAM, "--socket", str(serving.servers[0].path), "capture", str(before), "-s", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "src cannot be 'nowhere'" in done.stderr
    assert before.read_bytes() == b"of an hour ago"


def test_a_terminal_gets_no_binary_and_no_daemon_means_no_file(tmp_path):
    missing = [PROGRAM, "--socket", str(tmp_path / "none.sock"), "capture", str(tmp_path / "file")]
    done = subprocess.run(missing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "start one: ctoffload run" in done.stderr
    assert not (tmp_path / "file").exists()
    main, terminal = os.openpty()
    done = subprocess.run([PROGRAM, "capture", "-"], stdout=terminal, stderr=subprocess.PIPE, text=True, check=False)
    os.close(main)
    os.close(terminal)
    assert done.returncode == 2
    assert "a capture is no text" in done.stderr
