from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether

import ctoffload_dpdk
from ctoffload_dpdk.base.capture import read_capture, write_capture
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.cli.main import run

DATA = Path(__file__).parent.parent / "data" / "verdicts"
EXAMPLE = Path(ctoffload_dpdk.__file__).parent / "demo" / "example.pcap"
PROGRAM = str(Path(sys.executable).parent / "ctoffload")
CAPTURES = sorted(path.stem for path in DATA.glob("*.pcap"))

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"


def udp(src: str, dst: str, sport: int, dport: int) -> bytes:
    return bytes(Ether(src=A, dst=B) / IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / b"x")


THERE, BACK = udp("10.0.0.1", "10.0.0.2", 1000, 2000), udp("10.0.0.2", "10.0.0.1", 2000, 1000)


@pytest.fixture
def replay(capsys, tmp_path):
    """Replays packets (bytes, seconds); gives status, standard output, standard error."""

    def replay(packets: list[tuple[bytes, float]], *options: str) -> tuple[int, str, str]:
        times = [1_700_000_000_000_000_000 + int(s * 1e9) for _, s in packets]
        write_capture(tmp_path / "a.pcap", Packets.of([p for p, _ in packets], times))
        status = run(["replay", str(tmp_path / "a.pcap"), *options])
        return status, *capsys.readouterr()

    return replay


def test_there_are_captures_with_verdicts():
    assert len(CAPTURES) >= 3


@pytest.mark.parametrize("name", CAPTURES)
@pytest.mark.parametrize(
    ("option", "suffix"), [((), ".verdict"), (("--capture-time",), ".verdict_ts")], ids=["still", "time"]
)
def test_the_states_are_those_of_ovs(capsys, name, option, suffix):
    assert run(["replay", str(DATA / f"{name}.pcap"), "--states", *option]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == (DATA / f"{name}{suffix}").read_text().splitlines()


@pytest.mark.parametrize("name", CAPTURES)
def test_the_states_in_json_are_the_same(capsys, name):
    assert run(["replay", str(DATA / f"{name}.pcap"), "--states", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    lines = [f"{s['packet']}: {'|'.join(s['state']) or '0'}" for s in document["states"]]
    assert lines == (DATA / f"{name}.verdict").read_text().splitlines()


def test_time_stands_still_unless_the_captures_time_is_asked_for(replay):
    packets = [(THERE, 0), (BACK, 1), (THERE, 32)]
    assert replay(packets, "--states")[1] == "1: new|trk\n2: est|rpl|trk\n3: est|trk\n"
    # 30 s after the last packet of a UDP connection that both sides used, it is over.
    assert replay(packets, "--states", "--capture-time")[1] == "1: new|trk\n2: est|rpl|trk\n3: new|trk\n"


def test_the_captures_time_never_runs_backwards(replay):
    packets = [(THERE, 100), (BACK, 0), (THERE, 129), (THERE, 50), (THERE, 160)]
    states = replay(packets, "--states", "--capture-time")[1]
    assert states == "1: new|trk\n2: est|rpl|trk\n3: est|trk\n4: est|trk\n5: new|trk\n"


def test_a_vlan_tag_is_no_part_of_a_connection_and_what_is_no_ip_is_invalid(replay):
    tagged = bytes(Ether(BACK[:12] + b"\x81\x00\x00\x05" + BACK[12:]))
    packets = [(THERE, 0), (tagged, 0), (bytes(Ether() / ARP()), 0), (b"", 0), (bytes(Ether() / Dot1Q()), 0)]
    assert replay(packets, "--states")[1] == "1: new|trk\n2: est|rpl|trk\n3: inv|trk\n4: inv|trk\n5: inv|trk\n"


@pytest.mark.parametrize("options", [["--states"], ["--states", "-j"], [], ["-j"]])
def test_a_truncated_file_prints_what_it_had_then_the_error_with_status_1(tmp_path, capsys, options):
    whole = (DATA / "01-handshake-retransmit.pcap").read_bytes()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole[:-3])
    assert run(["replay", str(cut), *options]) == 1
    out, err = capsys.readouterr()
    if "-j" in options:
        error = json.loads(err)
        document = json.loads(out)
        assert document["packets"] == 20
        assert document["error"] == error
        assert error["error"] == "CaptureError"
    else:
        assert err.startswith(f"ctoffload: {cut}: the file breaks off at byte ")
        assert "(after 20 packets)" in err
        assert len(err.splitlines()) == 2
    if options == ["--states"]:
        assert out.splitlines() == (DATA / "01-handshake-retransmit.verdict").read_text().splitlines()[:20]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "empty"), (b"junk and more junk", "neither pcap nor pcapng")],
)
def test_what_cannot_be_read_is_two_lines_and_status_1(tmp_path, capsys, content, words):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    assert run(["replay", str(path), "--states"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert 1 <= len(err.splitlines()) <= 2


def test_a_capture_may_come_from_standard_input():
    path = DATA / "01-handshake-retransmit.pcap"
    with path.open("rb") as file:
        done = subprocess.run(
            [PROGRAM, "replay", "-", "--states"], stdin=file, capture_output=True, text=True, check=True
        )
    assert done.stdout == path.with_suffix(".verdict").read_text()
    piped = subprocess.run(
        f"cat {path} | {PROGRAM} replay - --states", shell=True, capture_output=True, text=True, check=True
    )
    assert piped.stdout == done.stdout


def test_a_reader_that_stops_early_ends_it_quietly(tmp_path):
    write_capture(tmp_path / "a.pcap", Packets.of([THERE] * 50_000))
    assert shutil.which("head")
    done = subprocess.run(
        ["bash", "-c", f"{PROGRAM} replay {tmp_path}/a.pcap --states | head -n 1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("1: new|trk\n", "", 141)


def test_the_summary_counts_packets_states_and_connections(replay):
    other = udp("10.0.0.3", "10.0.0.2", 5, 6)
    status, out, err = replay([(THERE, 0), (BACK, 0.25), (other, 0.5), (bytes(Ether() / ARP()), 1.5)], "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert document["packets"] == 4
    assert document["bytes"] == len(THERE) + len(BACK) + len(other) + len(bytes(Ether() / ARP()))
    assert document["duration_s"] == 1.5
    assert document["states"] == {"new|trk": 2, "est|rpl|trk": 1, "inv|trk": 1}
    assert document["invalid"] == {"not-ip": 1}
    ended = {"expired": 0, "closed": 0, "replaced": 0}
    assert document["connections"] == {"created": 2, "live": 2, **ended, "protocols": {"udp": 2}}
    assert document["error"] is None


def test_the_summary_counts_each_fragment_once(capsys):
    path = DATA / "11-fragments.pcap"
    lines = [line.split(": ")[1] for line in path.with_suffix(".verdict").read_text().splitlines()]
    assert run(["replay", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    judged = {state: lines.count(state) for state in lines if state != "held"}
    waiting = document["packets"] - sum(judged.values())
    assert waiting > 0
    assert document["states"] == judged | {"held": waiting}
    assert sum(document["invalid"].values()) == judged["inv|trk"]


def test_the_summary_of_the_example_capture(capsys):
    packets = read_capture(EXAMPLE).packets
    assert run(["replay", str(EXAMPLE), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["packets"] == len(packets)
    assert document["connections"]["protocols"].keys() >= {"tcp", "udp", "icmp", "icmpv6"}
    assert sum(document["connections"]["protocols"].values()) == document["connections"]["created"]
    assert sum(document["states"].values()) == len(packets)
    assert run(["replay", str(EXAMPLE)]) == 0
    out = capsys.readouterr().out
    seconds = (packets.time_ns[-1] - packets.time_ns[0]) / 1e9
    for word in (str(len(packets)), f"{seconds:.1f} s", "tcp", "icmpv6", "est|rpl|trk", "EN10MB"):
        assert word in out


def test_a_capture_without_packets_is_no_error(tmp_path, capsys):
    path = tmp_path / "header.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    assert run(["replay", str(path), "--states"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["replay", str(path)]) == 0


@pytest.mark.parametrize("name", ["[red].pcap", "a\x1b[2J.pcap", "\udcff.pcap", "two\nlines.pcap"])
def test_a_file_name_is_shown_as_it_is_and_steers_no_terminal(tmp_path, capsys, name):
    path = tmp_path / name
    shutil.copy(EXAMPLE, path)
    assert run(["replay", str(path)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"{tmp_path}/{name if name.isprintable() else name.encode('unicode_escape').decode()}"
    path.write_bytes(b"")
    assert run(["replay", str(path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert run(["replay", str(path), "-j"]) == 1
    assert json.loads(capsys.readouterr().err)["message"].startswith(str(path))
