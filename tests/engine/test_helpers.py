"""FTP and TFTP through a running engine: control connections in software, what they announce in the NIC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conntrack_nat import ends, right
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw
from story import MACS, A, B

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

CLIENT, SERVER, PUBLIC, REAL = "10.0.0.1", "10.9.9.2", "198.51.100.100", "10.9.9.77"
CLIENT6, SERVER6, PUBLIC6 = "fc00::1", "fc00::2", "2001:db8:100:100:100:100:100:100"


def with_helpers(text: str) -> Settings:
    return replace(Settings(), ct_offload_helpers=text)


def through(lab: Any, side: int, frame: Any) -> Any:
    """Sends a frame in at one side; what leaves by the other, or None. Every length and checksum of it is right."""
    for nic in lab.nics:
        nic.wire_receive()
    lab.nics[side].wire_send(Packets.of([bytes(frame)]))
    lab.engine.settle(lab.now_ms)
    packets = [bytes(packet) for packet in lab.nics[1 - side].wire_receive()]
    if not packets:
        return None
    (out,) = (Ether(packet) for packet in packets)
    assert bytes(out) == right(out)
    return out


class Stream:
    """A TCP connection whose ends number their bytes and see each other as translation lets them."""

    def __init__(
        self, lab: Any, client: tuple[str, int], server: tuple[str, int], first: int = A, vlan: int = 0
    ) -> None:
        self.lab, self.first, self.vlan = lab, first, vlan
        self.here = [(client, server), (server, client)]
        self.seq, self.seen = [1000, 5000], [0, 0]
        self.say(0, b"", "S")
        self.say(1, b"", "SA")
        self.say(0, b"", "A")

    def say(self, who: int, text: bytes, flags: str = "PA") -> bytes:
        """One segment; what the other end gets of it."""
        source, target = self.here[who]
        side = self.first if who == 0 else 1 - self.first
        ip = IPv6 if ":" in source[0] else IP
        ack = self.seen[who] if "A" in flags else 0
        l4 = TCP(sport=source[1], dport=target[1], flags=flags, seq=self.seq[who], ack=ack)
        tag = Dot1Q(vlan=self.vlan) if self.vlan else None
        head = Ether(src=MACS[side], dst=MACS[1 - side])
        packet = ip(src=source[0], dst=target[0]) / l4 / Raw(text)
        out = through(self.lab, side, head / tag / packet if tag else head / packet)
        self.seq[who] += len(text) + ("S" in flags)
        if who == 0:
            self.here[1] = ends(out)[1], ends(out)[0]
        payload = bytes(out[TCP].payload)
        if flags != "S":
            assert out[TCP].ack == self.seq[1 - who], "what was acknowledged is what was sent"
        self.seen[1 - who] = out[TCP].seq + len(payload) + ("S" in flags)
        return payload

    @property
    def row(self) -> Any:
        """The tracker's record."""
        (client, sport), (server, port) = self.here[0]
        (row,) = (r for z in (0, 5) for r in self.lab.engine.conntrack.find(client, server, 6, sport, port, z))
        return row

    def is_in_nic(self) -> bool:
        """Data goes both ways, and none of it through software."""
        seen = self.lab.host_rx
        self.say(0, b"up")
        self.say(1, b"down")
        return bool(self.lab.host_rx == seen)


def control(lab: Any, client: str = CLIENT, server: str = SERVER, port: int = 21, vlan: int = 0) -> Stream:
    stream = Stream(lab, (client, 40000), (server, port), vlan=vlan)
    stream.say(1, b"220 hello\r\n")
    return stream


def test_an_ftp_control_connection_stays_in_software_and_its_data_goes_to_the_nic(make_lab: Any) -> None:
    lab = make_lab(with_helpers("ftp=21"))
    ftp = control(lab)
    assert (int(ftp.row["offload"]), Reason(int(ftp.row["reason"]))) == (0, Reason.ALG)
    ftp.say(1, b"227 Entering Passive Mode (10,9,9,2,100,7).\r\n")
    data = Stream(lab, (CLIENT, 41000), (SERVER, 100 * 256 + 7))
    assert int(data.row["related"]) == 1
    assert data.is_in_nic()
    ftp.say(0, b"NOOP\r\n")
    assert int(ftp.row["offload"]) == 0
    lab.assert_audit_matches()


@pytest.mark.parametrize("engine", ["sync", "async"])
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_active_ftp_behind_a_translated_source(make_lab: Any, ipv6: bool, engine: str) -> None:
    """The line grows in the buffer it came in; the connection to what it says is translated back by the NIC."""
    client, server, public = (CLIENT6, SERVER6, PUBLIC6) if ipv6 else (CLIENT, SERVER, PUBLIC)
    lab = make_lab(replace(with_helpers("ftp=21"), ct_offload_flow_engine=engine))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src=[{public}]" if ipv6 else f"src={public}"))
    ftp = control(lab, client, server)
    if ipv6:
        heard = ftp.say(0, f"EPRT |2|{client}|5001|\r\n".encode())
        assert heard == f"EPRT |2|{public}|5001|\r\n".encode()
    else:
        heard = ftp.say(0, b"PORT 10,0,0,1,19,137\r\n")
        assert heard == b"PORT 198,51,100,100,19,137\r\n"
    ftp.say(1, b"200 fine\r\n")
    assert ftp.say(0, b"LIST\r\n") == b"LIST\r\n"
    data = Stream(lab, (server, 20), (public, 5001), first=B)
    assert data.here[1][0] == (client, 5001)
    assert data.is_in_nic()
    ftp.say(1, b"226 done\r\n")
    lab.assert_audit_matches()


def test_passive_ftp_behind_a_translated_destination(make_lab: Any) -> None:
    lab = make_lab(with_helpers("ftp=21"))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"dst={REAL}"))
    ftp = control(lab)
    heard = ftp.say(1, b"227 Entering Passive Mode (10,9,9,77,100,7).\r\n")
    assert heard == b"227 Entering Passive Mode (10,9,9,2,100,7).\r\n"
    ftp.say(0, b"RETR x\r\n")
    data = Stream(lab, (CLIENT, 41000), (SERVER, 100 * 256 + 7))
    assert data.here[1][0] == (REAL, 100 * 256 + 7)
    assert int(data.row["related"]) == 1
    assert data.is_in_nic()


def test_extended_passive_ftp(make_lab: Any) -> None:
    lab = make_lab(with_helpers("ftp=21"))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}"))
    control(lab).say(1, b"229 Entering Extended Passive Mode (|||6446|)\r\n")
    data = Stream(lab, (CLIENT, 41000), (SERVER, 6446))
    assert (data.here[1][1][0], int(data.row["related"])) == (PUBLIC, 1)
    assert data.is_in_nic()


def test_a_line_that_has_no_room_goes_on_as_it_is(make_lab: Any) -> None:
    """A segment that fills its buffer to the last byte."""
    lab = make_lab(with_helpers("ftp=21"))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}"))
    for name in PORTS:
        lab.engine.port(name).port.set_mtu(lab.mempool.data_bytes - 14)
    ftp = control(lab)
    line = b"PORT 10,0,0,1,19,137\r\n"
    full = lab.mempool.data_bytes - 54
    assert ftp.say(0, line + b"x" * (full - len(line)))[: len(line)] == line
    assert lab.engine.conntrack.counters().no_room == 1
    heard = ftp.say(0, line + b"x" * (full - len(line) - 6))
    assert heard.startswith(b"PORT 198,51,100,100,19,137\r\n")
    assert len(heard) == full


def test_tftp_behind_a_translated_source(make_lab: Any) -> None:
    lab = make_lab(with_helpers("tftp=69"))
    lab.engine.set_nat(PORTS[A], Nat.parse(f"src={PUBLIC}:7000"))

    def send(side: int, source: tuple[str, int], target: tuple[str, int], body: bytes) -> Any:
        head = Ether(src=MACS[side], dst=MACS[1 - side]) / IP(src=source[0], dst=target[0])
        return through(lab, side, head / UDP(sport=source[1], dport=target[1]) / body)

    out = send(A, (CLIENT, 2000), (SERVER, 69), b"\0\1file\0octet\0")
    assert ends(out)[0] == (PUBLIC, 7000)
    assert ends(send(B, (SERVER, 33000), (PUBLIC, 7000), b"\0\3\0\1data"))[1] == (CLIENT, 2000)
    assert ends(send(A, (CLIENT, 2000), (SERVER, 33000), b"\0\4\0\1"))[0] == (PUBLIC, 7000)
    (row,) = lab.engine.conntrack.find(SERVER, PUBLIC, 17, 33000, 7000)
    assert (int(row["related"]), int(row["offload"])) == (1, 2)
    seen = lab.host_rx
    assert ends(send(B, (SERVER, 33000), (PUBLIC, 7000), b"\0\3\0\2data"))[1] == (CLIENT, 2000)
    assert lab.host_rx == seen
    (row,) = lab.engine.conntrack.find(CLIENT, SERVER, 17, 2000, 69)
    assert int(row["offload"]) == 0


# --- who has a helper ------------------------------------------------------------------------------------------------


def is_related(lab: Any, port: int, **where: Any) -> bool:
    """Whether what a server on that port announces is expected."""
    ftp = control(lab, port=port, **where)
    ftp.say(1, b"227 (10,9,9,2,100,7)\r\n")
    data = Stream(lab, (CLIENT, 41000), (SERVER, 100 * 256 + 7), vlan=ftp.vlan)
    related = bool(data.row["related"])
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    return related


def test_helpers_go_by_port_and_zone_and_change_while_running(lab: Any) -> None:
    lab.engine.set_zone(PORTS[A], 5, None, 5)
    lab.engine.set_zone(PORTS[B], 5, None, 5)
    assert not is_related(lab, 21), "none by default"
    lab.engine.apply(with_helpers("ftp=2121,ftp=21@5"))
    assert is_related(lab, 2121)
    assert is_related(lab, 2121, vlan=5)
    assert not is_related(lab, 21)
    assert is_related(lab, 21, vlan=5)
    lab.engine.apply(with_helpers("tftp=2121"))
    assert not is_related(lab, 2121), "a helper reads its own protocol only"
    lab.engine.apply(with_helpers(""))
    assert not is_related(lab, 2121)


def test_a_helper_that_does_not_exist_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="ct-offload-helpers cannot be 'sip=5060'"):
        with_helpers("sip=5060")
