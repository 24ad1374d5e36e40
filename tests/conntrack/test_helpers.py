"""FTP and TFTP: what they announce, what becomes of it, what translation does to the control connection."""

from __future__ import annotations

import pytest
import sharded
from conntrack_lab import OffloadLab
from conntrack_nat import Translated, ends, right
from ftp_lab import CLIENT, CLIENT6, PUBLIC, PUBLIC6, REAL, SERVER, SERVER6, Control
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import Conntrack, Refusal, states_text

pytestmark = pytest.mark.usefixtures("each_number_of_shards")


def test_active_ftp():
    lab = Control()
    assert lab.say("c", b"PORT 10,0,0,1,19,137\r\n")[0] == "est|trk"
    assert lab.data(SERVER, CLIENT, 19 * 256 + 137)[0] == "new|rel|trk"
    words, _ = lab.data(CLIENT, SERVER, 20, 19 * 256 + 137, "SA")
    assert words == "est|rel|rpl|trk"
    assert lab.ct.counters().expected == 1


def test_passive_ftp():
    lab = Control()
    assert lab.say("s", b"227 Entering Passive Mode (10,9,9,2,100,7).\r\n")[0] == "est|rpl|trk"
    assert lab.data(CLIENT, SERVER, 100 * 256 + 7, 41000)[0] == "new|rel|trk"
    # nobody else is expected
    assert lab.data("10.0.0.3", SERVER, 100 * 256 + 7, 41000)[0] == "new|trk"


@pytest.mark.parametrize("who", ["active", "passive"])
@pytest.mark.parametrize("addresses", [(CLIENT, SERVER), (CLIENT6, SERVER6)])
@pytest.mark.parametrize("tags", [0, 1])
def test_extended_commands_of_both_families(who, addresses, tags):
    client, server = addresses
    lab = Control(client=client, server=server, tags=tags)
    if who == "active":
        family = 2 if ":" in client else 1
        assert lab.say("c", f"EPRT |{family}|{client}|6446|\r\n".encode())[0] == "est|trk"
        assert lab.data(server, client, 6446)[0] == "new|rel|trk"
    else:
        assert lab.say("s", b"229 Entering Extended Passive Mode (|||6446|)\r\n")[0] == "est|rpl|trk"
        assert lab.data(client, server, 6446, 41000)[0] == "new|rel|trk"


def test_the_last_byte_of_a_segment_counts():
    lab = Control()
    lab.say("c", b"PORT 10,0,0,1,4,55")
    assert lab.data(SERVER, CLIENT, 4 * 256 + 55)[0] == "new|rel|trk"


def test_digits_in_the_words_of_a_229_are_no_port():
    lab = Control()
    lab.say("s", b"229 mode 2 (|||6446|)\r\n")
    assert lab.data(CLIENT, SERVER, 6446, 41000)[0] == "new|rel|trk"
    assert lab.data(CLIENT, SERVER, 2, 41001)[0] == "new|trk"


def test_a_second_line_of_a_segment_is_read():
    lab = Control()
    lab.say("s", b"200 fine\r\n227 ok (10,9,9,2,1,1)\r\n")
    assert lab.data(CLIENT, SERVER, 257, 41000)[0] == "new|rel|trk"


@pytest.mark.parametrize(
    ("who", "line"),
    [
        ("c", b"PORT 10,0,0,1,0,0\r\n"),
        ("c", b"PORT 10,0,0,1,4\r\n"),
        ("c", b"PORT 10,0,0,256,4,5\r\n"),
        ("c", b"PORT 10.0.0.1,4,5\r\n"),
        ("c", b"PORT 10,0,0,9,4,5\r\n"),
        ("c", b"EPRT |3|10.0.0.1|44|\r\n"),
        ("c", b"EPRT |2|fc00::1|44|\r\n"),
        ("c", b"EPRT |1|10.0.0.1|0|\r\n"),
        ("c", b"EPRT |1|10.0.0.1|65536|\r\n"),
        ("c", b"EPRT |1|" + b"1" * 100 + b"|5|\r\n"),
        ("c", b"EPRT \r\n"),
        ("s", b"227 (10,9,9,3,4,5)\r\n"),
        ("s", b"227 nothing\r\n"),
        ("s", b"229 (|||0|)\r\n"),
        ("s", b"229 (||1|)\r\n"),
        ("s", b"229 (\r\n"),
    ],
)
def test_announcements_that_make_no_sense_are_invalid(who, line):
    lab = Control()
    words, _ = lab.say(who, line)
    assert "inv" in words.split("|")
    assert lab.reason is Refusal.REFUSED_HELPER
    assert lab.data(SERVER, CLIENT, 1029)[0] == "new|trk"


@pytest.mark.parametrize(
    ("who", "line"), [("s", b"PORT 10,9,9,2,4,5\r\n"), ("c", b"227 (10,0,0,1,4,5)\r\n"), ("c", b"NOOP\r\n")]
)
def test_a_side_announces_only_what_is_its_own(who, line):
    lab = Control()
    assert "inv" not in lab.say(who, line)[0]
    assert lab.data(SERVER, CLIENT, 1029)[0] == "new|trk"
    assert lab.data(CLIENT, SERVER, 1029, 41000)[0] == "new|trk"


def test_without_a_helper_nothing_is_expected():
    lab = Translated()
    lab.send(IP(src=CLIENT, dst=SERVER) / TCP(sport=40000, dport=21, flags="S"))
    lab.send(IP(src=SERVER, dst=CLIENT) / TCP(sport=21, dport=40000, flags="SA", ack=1))
    lab.send(
        IP(src=CLIENT, dst=SERVER) / TCP(sport=40000, dport=21, flags="PA", seq=1, ack=1) / b"PORT 10,0,0,1,4,5\r\n"
    )
    assert lab.send(IP(src=SERVER, dst=CLIENT) / TCP(sport=20, dport=1029, flags="S"))[0] == "new|trk"


# --- with translation ------------------------------------------------------------------------------------------------


def test_active_ftp_behind_a_translated_source():
    lab = Control(f"src={PUBLIC}")
    words, out = lab.say("c", b"PORT 10,0,0,1,19,137\r\n")
    assert words == "est|trk|snat"
    assert bytes(out[TCP].payload) == b"PORT 198,51,100,100,19,137\r\n"
    assert bytes(out) == right(out)
    words, out = lab.data(SERVER, PUBLIC, 19 * 256 + 137)
    assert words == "new|rel|trk|dnat"
    assert ends(out) == ((SERVER, 20), (CLIENT, 19 * 256 + 137))
    words, out = lab.data(CLIENT, SERVER, 20, 19 * 256 + 137, "SA")
    assert words == "est|rel|rpl|trk|snat"
    assert ends(out)[0] == (PUBLIC, 19 * 256 + 137)


def test_passive_ftp_behind_a_translated_destination():
    lab = Control(f"dst={REAL}")
    words, out = lab.say("s", b"227 Entering Passive Mode (10,9,9,77,100,7).\r\n")
    assert words == "est|rpl|trk|snat"
    assert bytes(out[TCP].payload) == b"227 Entering Passive Mode (10,9,9,2,100,7).\r\n"
    assert bytes(out) == right(out)
    words, out = lab.data(CLIENT, SERVER, 100 * 256 + 7, 41000)
    assert (words, ends(out)) == ("new|rel|trk|dnat", ((CLIENT, 41000), (REAL, 100 * 256 + 7)))


def test_passive_ftp_behind_a_translated_source():
    lab = Control(f"src={PUBLIC}")
    _, out = lab.say("s", b"227 (10,9,9,2,100,7)\r\n")
    assert bytes(out[TCP].payload) == b"227 (10,9,9,2,100,7)\r\n"
    words, out = lab.data(CLIENT, SERVER, 100 * 256 + 7, 41000)
    assert (words, ends(out)[0]) == ("new|rel|trk|snat", (PUBLIC, 41000))


def test_extended_active_ftp_over_translated_ipv6():
    lab = Control(f"src={PUBLIC6}", CLIENT6, SERVER6)
    _, out = lab.say("c", b"EPRT |2|fc00::1|6446|\r\n")
    assert bytes(out[TCP].payload) == b"EPRT |2|2001:db8::1|6446|\r\n"
    assert bytes(out) == right(out)
    assert lab.data(SERVER6, PUBLIC6, 6446)[0] == "new|rel|trk|dnat"


def test_numbers_stay_in_step_behind_a_rewritten_line():
    """Both sides see a stream without a gap, whatever was made longer, retransmitted or acknowledged in part."""
    lab = Control(f"src={PUBLIC}")
    start = lab.seq["c"]
    line = b"PORT 10,0,0,1,19,137\r\n"
    _, first = lab.say("c", line)
    longer = len(bytes(first[TCP].payload)) - len(line)
    assert longer == 6
    _, again = lab.say("c", line, seq=start)
    assert bytes(again) == bytes(first)
    # the server acknowledges the longer line, the client hears of its own
    words, answer = lab.say("s", b"200 ok\r\n")
    assert words == "est|rpl|trk|dnat"
    assert answer[TCP].ack == start + len(line)
    assert bytes(answer) == right(answer)
    words, out = lab.say("c", b"LIST\r\n")
    assert words == "est|trk|snat"
    assert out[TCP].seq == first[TCP].seq + len(bytes(first[TCP].payload))
    # a second one, longer again
    _, second = lab.say("c", line)
    assert second[TCP].seq == out[TCP].seq + 6
    _, last = lab.say("c", b"QUIT\r\n")
    assert last[TCP].seq == second[TCP].seq + len(bytes(second[TCP].payload))
    assert last[TCP].seq - lab.seq["c"] + 6 == 2 * longer
    assert bytes(last) == right(last)


def test_a_shorter_line_keeps_step_too():
    lab = Control("src=9.9.9.9", "192.168.100.200")
    line = b"PORT 192,168,100,200,1,1\r\n"
    _, out = lab.say("c", line)
    assert bytes(out[TCP].payload) == b"PORT 9,9,9,9,1,1\r\n"
    assert bytes(out) == right(out)
    _, following = lab.say("c", b"NOOP\r\n")
    assert following[TCP].seq == out[TCP].seq + len(b"PORT 9,9,9,9,1,1\r\n")


def test_lines_that_grow_and_shrink_by_as_much_leave_the_numbers_as_they_were():
    lab = Control(f"src={PUBLIC}")
    _, longer = lab.say("c", b"PORT 10,0,0,1,19,137\r\n")
    line = b"PORT 00010,00000,000,0001,1,1\r\n"
    _, shorter = lab.say("c", line)
    assert bytes(shorter[TCP].payload) == b"PORT 198,51,100,100,1,1\r\n"
    assert len(line) - len(bytes(shorter[TCP].payload)) == 6
    assert shorter[TCP].seq == longer[TCP].seq + len(bytes(longer[TCP].payload))
    _, following = lab.say("c", b"NOOP\r\n")
    assert following[TCP].seq == lab.seq["c"] - len(b"NOOP\r\n")
    _, answer = lab.say("s", b"200 ok\r\n")
    assert answer[TCP].ack == lab.seq["c"]


def test_each_direction_keeps_its_own_step():
    lab = Control(f"src={PUBLIC},dst=100.100.100.100")
    _, port = lab.say("c", b"PORT 10,0,0,1,19,137\r\n")
    _, passive = lab.say("s", b"227 (100,100,100,100,1,1)\r\n")
    assert bytes(passive[TCP].payload) == b"227 (10,9,9,2,1,1)\r\n"
    for _ in range(2):
        _, from_client = lab.say("c", b"NOOP\r\n")
        _, from_server = lab.say("s", b"200 ok\r\n")
    assert from_client[TCP].seq == port[TCP].seq + len(bytes(port[TCP].payload)) + 6
    assert from_server[TCP].seq == passive[TCP].seq + len(bytes(passive[TCP].payload)) + 8
    assert from_server[TCP].ack == lab.seq["c"]


def test_selective_acknowledgements_are_translated():
    lab = Control(f"src={PUBLIC}")
    line = b"PORT 10,0,0,1,19,137\r\n"
    start = lab.seq["c"]
    lab.say("c", line)
    server, client = lab.ends("s")
    edge = start + len(line) + 6
    frame = IP(src=server[0], dst=client[0]) / TCP(
        sport=server[1], dport=client[1], flags="A", seq=lab.seq["s"], ack=edge,
        options=[("NOP", None), ("SAck", (edge + 10, edge + 20))],
    )  # fmt: skip
    _, out = lab.transmit(frame)
    assert out[TCP].ack == start + len(line)
    assert dict(out[TCP].options)["SAck"] == (edge + 4, edge + 14)
    assert bytes(out) == right(out)


def test_a_packet_without_room_goes_on_as_it_is_and_is_counted():
    lab = Control(f"src={PUBLIC}")
    _, out = lab.say("c", b"PORT 10,0,0,1,19,137\r\n", room=0)
    assert bytes(out[TCP].payload) == b"PORT 10,0,0,1,19,137\r\n"
    assert bytes(out) == right(out)
    assert lab.ct.counters().no_room == 1
    assert lab.data(SERVER, PUBLIC, 19 * 256 + 137)[0] == "new|rel|trk|dnat"


# --- TFTP ------------------------------------------------------------------------------------------------------------


def tftp(nat: str = ""):
    lab = Translated(nat)
    return lab, lab.send(
        IP(src=CLIENT, dst=SERVER) / UDP(sport=2000, dport=69) / Raw(b"\0\1file\0octet\0"), helper="tftp"
    )


def test_tftp():
    lab, (words, _) = tftp()
    assert words == "new|trk"
    assert lab.send(IP(src=SERVER, dst=CLIENT) / UDP(sport=33000, dport=2000) / Raw(b"\0\3"))[0] == "new|rel|trk"
    assert lab.send(IP(src=CLIENT, dst=SERVER) / UDP(sport=2000, dport=33000) / Raw(b"\0\4"))[0] == "est|rel|rpl|trk"
    assert lab.send(IP(src="10.9.9.3", dst=CLIENT) / UDP(sport=33000, dport=2000) / Raw(b"\0\3"))[0] == "new|trk"


def test_tftp_behind_a_translated_port():
    lab, (_, out) = tftp(f"src={PUBLIC}:7000")
    assert ends(out)[0] == (PUBLIC, 7000)
    words, out = lab.send(IP(src=SERVER, dst=PUBLIC) / UDP(sport=33000, dport=7000) / Raw(b"\0\3"))
    assert (words, ends(out)) == ("new|rel|trk|dnat", ((SERVER, 33000), (CLIENT, 2000)))
    words, out = lab.send(IP(src=CLIENT, dst=SERVER) / UDP(sport=2000, dport=33000) / Raw(b"\0\4"))
    assert (words, ends(out)[0]) == ("est|rel|rpl|trk|snat", (PUBLIC, 7000))


def test_other_tftp_packets_announce_nothing():
    lab = Translated()
    lab.send(IP(src=CLIENT, dst=SERVER) / UDP(sport=2000, dport=69) / Raw(b"\0\3x"), helper="tftp")
    assert lab.send(IP(src=SERVER, dst=CLIENT) / UDP(sport=33000, dport=2000) / Raw(b"\0\3"))[0] == "new|trk"


def test_several_announcements_wait_at_once():
    lab = Control(f"src={PUBLIC}")
    for port in (257, 258, 259):
        lab.say("c", f"PORT 10,0,0,1,1,{port - 256}\r\n".encode())
    for port in (259, 257, 258, 257):
        words, out = lab.data(SERVER, PUBLIC, port, sport=20000 + port + lab.ct.count)
        assert (words, ends(out)[1]) == ("new|rel|trk|dnat", (CLIENT, port))
    assert lab.ct.counters().expected == 4


# --- what is expected, and for how long ------------------------------------------------------------------------------


def test_expectations_end_with_their_control_connection_and_children_stay():
    lab = Control()
    lab.say("c", b"PORT 10,0,0,1,4,5\r\n")
    assert lab.data(SERVER, CLIENT, 1029)[0] == "new|rel|trk"
    assert lab.ct.flush_tuple(CLIENT, SERVER, 6, 40000, 21)
    assert lab.data(CLIENT, SERVER, 20, 1029, "SA")[0] == "est|rel|rpl|trk"
    assert lab.data(SERVER, CLIENT, 1029, 21000)[0] == "new|trk"


def test_a_control_connection_announces_at_most_64():
    lab = Control()
    for port in range(1000, 1080):
        lab.say("c", f"PORT 10,0,0,1,{port // 256},{port % 256}\r\n".encode())
    assert lab.ct.counters().not_expected == 80 - 64
    assert lab.data(SERVER, CLIENT, 1063)[0] == "new|rel|trk"
    assert lab.data(SERVER, CLIENT, 1064)[0] == "new|trk"


def test_children_have_the_mark_and_label_of_their_parent_for_good():
    ct = sharded.tracker(10, now_ms=0)

    def run(frame, **options):
        return ct.process(Packets.of([bytes(Ether() / frame)]), 0, **options)[0]

    there, back = {"src": CLIENT, "dst": SERVER}, {"src": SERVER, "dst": CLIENT}
    request = IP(**there) / UDP(sport=2000, dport=69) / Raw(b"\0\2f")
    run(request, helper="tftp", mark=7, mark_mask=0xFF, label=9, label_mask=15)
    verdict = run(IP(**back) / UDP(sport=33000, dport=2000), mark=1, mark_mask=0xFF, label=0, label_mask=15)
    (row,) = ct.find(SERVER, CLIENT, 17, 33000, 2000)
    assert states_text(int(verdict["state"])) == "new|rel|trk"
    assert (int(row["related"]), int(row["mark"]), int(row["label"][0])) == (1, 7, 9)
    assert int(verdict["mark"]) == 7


def test_control_connections_stay_in_software_and_say_why():
    lab = OffloadLab()

    def send(src, dst, sport, dport):
        frame = IP(src=src, dst=dst) / UDP(sport=sport, dport=dport) / Raw(b"\0\1")
        lab.ct.process(Packets.of([bytes(Ether() / frame)]), lab.now_ms, helper="tftp")
        lab.step()

    send(CLIENT, SERVER, 2000, 69)
    send(SERVER, CLIENT, 69, 2000)
    (row,) = lab.ct.find(CLIENT, SERVER, 17, 2000, 69)
    assert (Reason(int(row["reason"])), int(row["offload"])) == (Reason.ALG, 0)


def test_an_unknown_helper_is_refused():
    with pytest.raises(UsageError, match="no helper is named 'sip'"):
        Conntrack(10).process(Packets.of([b"x" * 60]), helper="sip")
