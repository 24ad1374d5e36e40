"""The unixctl socket, driven by the real ovs-appctl."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess

import pytest
import scapy.all as scapy
from serving import Serving
from story import A

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.control.dpctl import DATAPATH
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.control.unixctl import UnixctlServer
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal

TOO_SMALL = "requested minimum fragment size too small; see documentation"
NO_FAMILY = "parameter missing: 'v4' for IPv4 or 'v6' for IPv6"
INVALID = "(Invalid argument)"


class Appctl:
    """ovs-appctl at a socket. A call gives what it prints; `error` what the server refused."""

    def __init__(self, path) -> None:
        self.path = path
        self.program = shutil.which("ovs-appctl")
        if self.program is None:
            pytest.skip("ovs-appctl is not installed: apt-get install openvswitch-common")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, "-t", str(self.path), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def __call__(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def error(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 2, done.stdout
        said, _, last = done.stderr.rpartition("ovs-appctl: ")
        assert last.endswith("server returned an error\n")
        return said.removesuffix("\n")


@pytest.fixture
def appctl(unixctl_server):
    return Appctl(unixctl_server.servers[0].path)


def gre(lab):
    lab.packet(
        A,
        scapy.Ether(dst="02:00:00:00:00:0b") / scapy.IP(src="198.51.100.7", dst="198.51.100.8", proto=47) / (b"x" * 8),
    )


def test_connections_are_dumped_in_ovs_words(lab, appctl):
    lab.tcp(sport=1000)
    assert appctl("dpctl/dump-conntrack") == (
        "tcp,orig=(src=198.51.100.1,dst=198.51.100.254,sport=1000,dport=80),"
        "reply=(src=198.51.100.254,dst=198.51.100.1,sport=80,dport=1000),protoinfo=(state=ESTABLISHED)\n"
    )
    more = appctl("dpctl/dump-conntrack", "-m", DATAPATH)
    assert "id=0,status=0,protoinfo=(state_orig=ESTABLISHED,state_reply=ESTABLISHED" in more
    assert ",timeout=" in appctl("dpctl/dump-conntrack", "-s")
    both = appctl("dpctl/dump-conntrack", "-ms")
    assert "status=0,timeout=" in both
    # OVS takes an option behind a word for a word; here it is an option.
    assert appctl("dpctl/dump-conntrack", DATAPATH, "-ms") == both


def test_a_dump_of_one_zone(lab, appctl):
    lab.engine.set_zone("net_nicsim0", 5, None, 50)
    lab.engine.set_zone("net_nicsim1", 5, None, 50)
    lab.udp(sport=1000)
    lab.udp(sport=2000, vlans=(5,), zone=50)
    assert "sport=2000" in appctl("dpctl/dump-conntrack", "zone=50")
    assert "sport=1000" not in appctl("dpctl/dump-conntrack", DATAPATH, "zone=50")
    assert appctl("dpctl/dump-conntrack", "zone=7") == ""
    assert appctl("dpctl/dump-conntrack-exp", "zone=7") == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("dump-conntrack", "nodp"), f"ctoffload: datapath not found {INVALID}"),
        (("dump-conntrack", "zone=65536"), f"ctoffload: failed to parse zone {INVALID}"),
        (("dump-conntrack", "zone=5x"), f"ctoffload: failed to parse zone {INVALID}"),
        (("dump-conntrack", "-z"), "Unrecognized option -z"),
        (("dump-conntrack", "--foo"), "Unrecognized option --foo"),
        (("dump-conntrack", "1", "2", "3", "4", "5"), '"dpctl/dump-conntrack" command takes at most 4 arguments'),
        (("ct-set-maxconns",), '"dpctl/ct-set-maxconns" command requires at least 1 arguments'),
        (("ct-get-nconns", "nodp"), f"ctoffload: datapath not found {INVALID}"),
        (("ct-set-maxconns", "ten"), f"ctoffload: maxconns missing or malformed {INVALID}"),
        (("ct-set-maxconns", "5000000000"), f"ctoffload: maxconns missing or malformed {INVALID}"),
        (("ct-set-maxconns", DATAPATH, "10x"), f"ctoffload: maxconns missing or malformed {INVALID}"),
        (("ct-set-sweep-interval", "0"), f"ctoffload: invalid sweep value {INVALID}"),
        (("ct-set-limits", "default=x"), f"ctoffload: invalid default limit {INVALID}"),
        (("ct-set-limits", "zone=5"), f"ctoffload: failed to parse zone limit {INVALID}"),
        (("ct-set-limits", "zone=5,limit="), f"ctoffload: field limit missing value {INVALID}"),
        (("ct-set-limits", "zone=70000,limit=1"), f"ctoffload: failed to parse field zone {INVALID}"),
        (("ct-set-limits", "zone=5,lim=1"), f"ctoffload: invalid zone limit field: lim {INVALID}"),
        (("ct-get-limits", "5"), f"ctoffload: invalid argument 5 {INVALID}"),
        (("ct-get-limits", "zone=5,x"), f"ctoffload: invalid zone {INVALID}"),
        (("ct-del-limits", "foo"), f"ctoffload: invalid argument foo {INVALID}"),
        (("ct-bkts", "gt=x"), f"ctoffload: failed to parse gt {INVALID}"),
        (("ipf-set-min-frag", "v4", "100"), f"ctoffload: {TOO_SMALL} (Operation not permitted)"),
        (("ipf-set-max-nfrags", "5001"), "ctoffload: setting maximum fragments failed (Operation not permitted)"),
        (("ipf-set-enabled", DATAPATH), f"ctoffload: {NO_FAMILY} {INVALID}"),
        (("ipf-set-enabled", "nodp", "v4"), f"ctoffload: datapath not found {INVALID}"),
        (("ipf-set-enabled", DATAPATH, "x4"), f"ctoffload: {NO_FAMILY} {INVALID}"),
        (("ipf-set-min-frag", DATAPATH, "vx", "1"), f"ctoffload: {NO_FAMILY} {INVALID}".replace("'", "")),
        (("ipf-set-min-frag", DATAPATH, "v4"), f"ctoffload: parameter missing for minimum fragment size {INVALID}"),
        (("ipf-set-max-nfrags", "many"), f"ctoffload: parameter missing for maximum fragments {INVALID}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_ovs_words(appctl, words, text):
    command, *arguments = words
    assert appctl.error(f"dpctl/{command}", *arguments) == text


def test_numbers_by_protocol_and_by_tcp_state(lab, appctl):
    assert appctl("dpctl/ct-stats-show") == "Connections Stats:\n    Total: 0\n"
    lab.tcp()
    lab.tcp(established=False).send(A, "S")
    lab.udp()
    lab.ping()
    gre(lab)
    plain = "Connections Stats:\n    Total: 5\n  TCP: 2\n  UDP: 1\n  ICMP: 1\n  Other: 1\n"
    assert appctl("dpctl/ct-stats-show", "zone=0") == plain
    states = "    Conn per TCP states:\n\t  [SYN_SENT]=1\n\t  [ESTABLISHED]=1\n"
    for words in (("-m",), ("verbose",), ("zone=0", "verb"), (DATAPATH, "v", "zone=0")):
        assert appctl("dpctl/ct-stats-show", *words) == plain.replace("  UDP", f"{states}  UDP")


def test_pings_over_ipv6_have_a_line_of_their_own(lab, appctl):
    """Which OVS counts in the total alone."""
    lab.packet(A, scapy.Ether() / scapy.IPv6(src="fc00::1", dst="fc00::2") / scapy.ICMPv6EchoRequest(id=7))
    assert appctl("dpctl/ct-stats-show") == "Connections Stats:\n    Total: 1\n  ICMPv6: 1\n"


def test_buckets_and_numbers(lab, appctl):
    assert appctl("dpctl/ct-bkts") == "Total Buckets: 1\nCurrent Connections: 0\n\n"
    lab.udp()
    head, *table = appctl("dpctl/ct-bkts").split("\n\n")
    assert head == "Total Buckets: 1\nCurrent Connections: 1"
    assert table[0].splitlines()[-1] == "   0..  7   |     1"
    assert appctl("dpctl/ct-bkts", "gt=1").split("\n\n")[1].splitlines()[-1] == "   0..  7   |     ."
    assert appctl("dpctl/ct-get-nconns") == "1\n"
    assert appctl("dpctl/dump-dps") == f"{DATAPATH}\n"


def test_the_limit_of_connections_is_read_and_set(lab, appctl):
    room = lab.engine.conntrack.capacity
    assert appctl("dpctl/ct-get-maxconns") == f"{room}\n"
    assert appctl("dpctl/ct-set-maxconns", "1") == "setting maxconns successful"
    lab.udp()
    lab.udp()
    assert appctl("dpctl/ct-get-nconns") == "1\n"
    assert "Numerical result out of range" in appctl.error("dpctl/ct-set-maxconns", str(room + 1))
    assert appctl("dpctl/ct-get-maxconns", DATAPATH) == "1\n"


def test_the_sequence_check_is_switched(lab, appctl):
    assert appctl("dpctl/ct-get-tcp-seq-chk") == "TCP sequence checking: enabled\n"
    assert appctl("dpctl/ct-disable-tcp-seq-chk") == "disabling TCP sequence checking successful"
    assert lab.engine.conntrack.tcp_liberal
    assert appctl("dpctl/ct-get-tcp-seq-chk") == "TCP sequence checking: disabled\n"
    assert appctl("dpctl/ct-enable-tcp-seq-chk") == "enabling TCP sequence checking successful"
    assert not lab.engine.conntrack.tcp_liberal


def test_there_is_no_sweep_interval_and_that_is_said(appctl):
    assert appctl("dpctl/ct-get-sweep-interval") == "0"
    assert "when they are due" in appctl.error("dpctl/ct-set-sweep-interval", "1000")


def test_limits_of_zones(lab, appctl):
    assert appctl("dpctl/ct-get-limits") == "default limit=0\n"
    assert appctl("dpctl/ct-set-limits", "default=12", "zone=5,limit=3", "limit=1,zone=0") == ""
    lab.udp()
    assert appctl("dpctl/ct-get-limits") == "default limit=12\nzone=0,limit=1,count=1\nzone=5,limit=3,count=0\n"
    assert (
        appctl("dpctl/ct-get-limits", "zone=5,9")
        == "default limit=12\nzone=5,limit=3,count=0\nzone=9,limit=12,count=0\n"
    )
    # all is read before anything is set
    appctl.error("dpctl/ct-set-limits", "zone=7,limit=1", "zone=8")
    assert "zone=7" not in appctl("dpctl/ct-get-limits")
    assert appctl("dpctl/ct-del-limits", "default", "zone=5,77") == ""
    assert appctl("dpctl/ct-get-limits") == "default limit=0\nzone=0,limit=1,count=1\n"


def test_fragments_are_set_and_shown(appctl):
    assert appctl("dpctl/ipf-set-disabled", "v4") == "disabling fragmentation reassembly successful"
    assert appctl("dpctl/ipf-set-min-frag", DATAPATH, "v6", "1400") == "setting minimum fragment size successful"
    assert appctl("dpctl/ipf-set-max-nfrags", "500") == "setting maximum fragments successful"
    status = appctl("dpctl/ipf-get-status").splitlines()
    assert status[:6] == [
        f"        {line}"
        for line in (
            "Fragmentation Module Status",
            "---------------------------",
            "v4 enabled: 0",
            "v6 enabled: 1",
            "max num frags (v4/v6): 500",
            "num frag: 0",
        )
    ]
    assert "        min v6 frag size: 1400" in status
    assert "        v6 frags purged: 0" in status
    assert len(status) == 20
    assert appctl("dpctl/ipf-set-enabled", "v4") == "enabling fragmentation reassembly successful"


def test_offload_statistics_by_provider(lab, appctl):
    lab.tcp()
    said = appctl("dpctl/offload-stats-show")
    assert said.startswith("HW Offload stats:\n  dpdk:\n    Connections: 1\n    Inserted: 1\n    Rules: 2\n")


def test_fragments_that_wait_are_listed(lab, appctl):
    whole = scapy.IP(src="198.51.100.1", dst="198.51.100.2", id=77) / scapy.UDP(sport=5, dport=6) / (b"x" * 4000)
    first, second, *_ = scapy.fragment(whole, 1480)
    lab.packet(A, scapy.Ether(dst="02:00:00:00:00:0b") / first)
    line = "(src=198.51.100.1,dst=198.51.100.2,recirc_id=0,ip_id=77,dl_type=0x800,zone=0,nw_proto=17,"
    head, _, listed = appctl("dpctl/ipf-get-status", "-m").partition("        Fragment Lists:\n\n")
    assert listed == f"{line}num_fragments=1,state=first frag)\n"
    assert head.endswith("v6 frags purged: 0\n\n")
    lab.packet(A, scapy.Ether(dst="02:00:00:00:00:0b") / second)
    assert f"{line}num_fragments=2,state=first frag)\n" in appctl("dpctl/ipf-get-status", DATAPATH, "-m")
    assert "Lists" not in appctl("dpctl/ipf-get-status")
    lab.advance(16)
    assert appctl("dpctl/ipf-get-status", "-m").endswith("Fragment Lists:\n\n")


def test_what_a_helper_expects_is_dumped(make_lab, tmp_path):
    lab = make_lab(Settings(ct_offload_helpers="ftp=21"))
    unixctl_server = Serving(UnixctlServer(System(lab.engine), tmp_path / "ftp.ctl"))
    appctl = Appctl(unixctl_server.servers[0].path)
    assert appctl("dpctl/dump-conntrack-exp") == ""
    control = lab.tcp(established=False, sport=1000)
    control.port = 21
    control.handshake()
    control.client_sends(b"PORT 198,51,100,1,10,20\r\n")
    line = "tcp,orig=(src=198.51.100.254,dst=198.51.100.1,sport=0,dport=2580),"
    line += "parent=(src=198.51.100.1,dst=198.51.100.254,sport=1000,dport=21),helper=ftp\n"
    assert appctl("dpctl/dump-conntrack-exp") == line
    assert appctl("dpctl/dump-conntrack-exp", "zone=5") == ""
    assert appctl("dpctl/flush-conntrack") == ""
    assert appctl("dpctl/dump-conntrack-exp") == ""
    unixctl_server.close()


def live(lab) -> set[int]:
    return {int(row["src_port"]) for row in lab.engine.conntrack.connections()}


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ((), set()),
        (("",), set()),
        (("zone=0",), set()),
        (("zone=5",), {1000, 2000, 3000}),
        ((DATAPATH, "zone=0", "ct_nw_proto=6"), {2000, 3000}),
        (("ct_nw_src=198.51.100.1,ct_nw_proto=17",), {1000, 3000}),
        (("ct_nw_proto=17 ct_tp_src=2000",), {1000, 3000}),
        (("ct_nw_proto=17,ct_tp_src=2001",), {1000, 2000, 3000}),
        (("ct_nw_src=198.51.100.1,ct_nw_dst=198.51.100.254,ct_nw_proto=6,ct_tp_src=1000,ct_tp_dst=80",), {2000, 3000}),
        # the tuple of the replies finds it as well
        (("ct_nw_src=198.51.100.254,ct_nw_dst=198.51.100.1,ct_nw_proto=6,ct_tp_src=80,ct_tp_dst=1000",), {2000, 3000}),
        (("", "ct_nw_src=198.51.100.254,ct_nw_proto=17"), {1000, 3000}),
        (("mark=0/0x1",), set()),
        (("mark=1",), {1000, 2000, 3000}),
        (("labels=0x1/0x1",), {1000, 2000, 3000}),
        # OVS matches none of these, and ends with the last but one
        (("ct_nw_proto=1",), {1000, 2000}),
        (("ct_nw_proto=1,icmp_type=8,icmp_id=3000",), {1000, 2000}),
        (("ct_nw_proto=1,icmp_type=5",), {1000, 2000, 3000}),
        (("ct_nw_src=198.51.100.1,ct_nw_dst=198.51.100.254,ct_nw_proto=1",), {1000, 2000}),
        (("ct_nw_src=198.51.100.1,ct_nw_dst=198.51.100.254,ct_nw_proto=1,icmp_id=3000,icmp_type=8,icmp_code=0",),
         {1000, 2000}),
        (("ct_ipv6_src=2001:db8::1",), {1000, 2000, 3000}),
    ],
)  # fmt: skip
def test_flush_ends_what_is_named(lab, appctl, words, left):
    lab.tcp(sport=1000)
    lab.udp(sport=2000)
    lab.ping(sport=3000)
    assert appctl("dpctl/flush-conntrack", *words) == ""
    lab.engine.settle(lab.now_ms)
    assert live(lab) == left


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("zone=x",), "failed to parse zone"),
        (("mark=x",), "failed to parse mark"),
        (("mark=1/x",), "failed to parse mark"),
        (("labels=",), "failed to parse labels"),
        (("nodp",), "field nodp missing value"),
        (("mark=1", "zone=5"), "invalid conntrack tuple field: zone"),
        (("ct_nw_src=",), "field ct_nw_src missing value"),
        (("ct_nw_src=10.0.0.0/8",), "failed to parse field ct_nw_src"),
        (("ct_nw_src=10.0.0.1,ct_ipv6_dst=::1",), "the L3 protocol does not match ::1"),
        (("ct_nw_src=10.0.0.1,ct_nw_src=10.0.0.2",), "ct_nw_src is set multiple times"),
        (("icmp_id=5",), "invalid L4 fields"),
        (("ct_tp_src=5",), "port is set without protocol"),
        (("ct_nw_proto=6,ct_tp_src=65536",), "failed to parse field ct_tp_src"),
        (("ct_nw_proto=256",), "failed to parse field ct_nw_proto"),
        (("colour=red",), "invalid conntrack tuple field: colour"),
        (("ct_nw_proto=6", "ct_nw_proto=6", "more=1"), "invalid arguments"),
    ],
)
def test_a_match_that_is_none_is_refused_and_nothing_ends(lab, appctl, words, text):
    lab.tcp(sport=1000)
    assert appctl.error("dpctl/flush-conntrack", *words) == f"ctoffload: {text} {INVALID}"
    assert live(lab) == {1000}


def test_a_connection_that_is_named_whole_must_be_there(appctl):
    whole = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=5,ct_tp_dst=6"
    said = appctl.error("dpctl/flush-conntrack", whole)
    assert said == "ctoffload: failed to flush conntrack (No such file or directory)"


@pytest.mark.parametrize("proto", ["1", "58"])
@pytest.mark.parametrize("kind", range(0, 256, 17))
def test_no_icmp_tuple_ends_the_daemon(appctl, proto, kind):
    ends = "ct_nw_src=1.2.3.4,ct_nw_dst=5.6.7.8" if proto == "1" else "ct_ipv6_src=::1,ct_ipv6_dst=::2"
    appctl.run("dpctl/flush-conntrack", f"{ends},ct_nw_proto={proto},icmp_type={kind},icmp_code=9,icmp_id=7")
    assert appctl("dpctl/ct-get-nconns") == "0\n"


def test_the_servers_own_commands(appctl):
    lines = appctl("list-commands").splitlines()
    assert lines[0] == "The available commands are:"
    assert "  dpctl/dump-conntrack    [-m] [-s] [dp] [zone=N]" in lines
    assert lines[1:] == sorted(lines[1:])
    ours = appctl("dpctl/list-commands").splitlines()
    assert ours[0] == lines[0]
    assert ours[1] == "  dpctl/dump-dps          "
    assert appctl("version").startswith("ctoffload ")
    unknown = '"nonsense" is not a valid command (use "list-commands" to see a list of valid commands)'
    assert appctl.error("nonsense") == unknown
    assert appctl.error("set-options", "--format", "xml") == "option format has invalid value xml"


def test_only_its_owner_may_connect_and_the_path_is_freed(lab, unixctl_server, tmp_path):
    path = unixctl_server.servers[0].path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="cannot make the socket"):
        Serving(UnixctlServer(System(lab.engine), path))
    unixctl_server.close()
    assert not path.exists()


def test_json_for_who_asks_for_it(unixctl_server, appctl):
    from serving import connected  # noqa: PLC0415

    with connected(appctl.path) as client:
        answers = []
        for number, (method, params) in enumerate(
            [
                ("set-options", ["--format", "json"]),
                ("dpctl/ct-get-nconns", []),
                ("list-commands", []),
                ("nonsense", []),
            ]
        ):
            client.sendall(json.dumps({"id": number, "method": method, "params": params}).encode())
            answers.append(json.loads(client.recv(65536)))
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert answers[1]["result"] == {"reply": "0\n", "reply-format": "plain"}
    assert answers[2]["result"]["dpctl/ct-bkts"] == "[dp] [gt=N]"
    assert "result" not in answers[3]
