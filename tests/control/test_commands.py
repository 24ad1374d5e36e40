"""The commands, over an engine that is stepped by hand on emulated ports."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from ctoffload_dpdk.base.errors import CtoffloadError, SettingsError, UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.control import commands
from ctoffload_dpdk.control.command import Part
from ctoffload_dpdk.control.connections import number_of
from ctoffload_dpdk.control.filters import Filter
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine.report import MEANING

pytestmark = pytest.mark.eal


@pytest.fixture
def system(lab):
    return System(lab.engine)


def parts(system, name, /, **given):
    answer = commands.begin(system, name, {key.replace("_", "-"): value for key, value in given.items()})
    return [part for part in answer if isinstance(part, Part)]


def rows(system, name="dump", /, **given):
    joined = b",".join(part.rows for part in parts(system, name, format="json", **given) if part.rows)
    return json.loads(b"[" + joined + b"]")


def text(system, **given):
    return "".join(part.text for part in parts(system, "dump", **given))


def test_a_dump_in_each_form_says_where_a_connection_is(lab, system):
    lab.tcp(sport=40_001)
    assert text(system) == (
        "tcp,orig=(src=198.51.100.1,dst=198.51.100.254,sport=40001,dport=80,packets=2,bytes=108),"
        "reply=(src=198.51.100.254,dst=198.51.100.1,sport=80,dport=40001,packets=1,bytes=54),"
        "protoinfo=(state=ESTABLISHED),offloaded=yes\n"
    )
    assert text(system, format="conntrack") == (
        "tcp      6 86400 ESTABLISHED src=198.51.100.1 dst=198.51.100.254 sport=40001 dport=80 packets=2 bytes=108 "
        "src=198.51.100.254 dst=198.51.100.1 sport=80 dport=40001 packets=1 bytes=54 [HW_OFFLOAD] mark=0 use=1 "
        "offloaded=yes\n"
    )
    (row,) = rows(system)
    assert row["orig"] == {
        "src": "198.51.100.1", "dst": "198.51.100.254", "sport": 40001, "dport": 80, "packets": 2, "bytes": 108
    }  # fmt: skip
    assert row["offload"] == {"state": "yes"}
    assert (row["proto"], row["state"], row["tcp"]["reply"]) == ("tcp", "ESTABLISHED", "ESTABLISHED")


def test_each_filter_leaves_what_fits(lab, system):
    lab.tcp(sport=40_001)
    lab.udp(sport=50_001, ipv6=True)
    for given, expected in (
        ({}, {40_001, 50_001}),
        ({"proto": "tcp"}, {40_001}),
        ({"proto": "17"}, {50_001}),
        ({"src": "198.51.100.0/24"}, {40_001}),
        ({"dst": "2001:db8::/32"}, {50_001}),
        ({"src": "10.0.0.0/8"}, set()),
        ({"reply_src": "198.51.100.254"}, {40_001}),
        ({"sport": 50_001}, {50_001}),
        ({"dport": 80}, {40_001}),
        ({"zone": 0}, {40_001, 50_001}),
        ({"zone": 1}, set()),
        ({"mark": "0/0xff"}, {40_001, 50_001}),
        ({"mark": "1"}, set()),
        ({"mark": "010"}, set()),
        ({"mark": "00/010"}, {40_001, 50_001}),
        ({"state": "established"}, {40_001}),
        ({"offloaded": "yes"}, {40_001, 50_001}),
        ({"offloaded": "no"}, set()),
        ({"reason": "closing"}, set()),
    ):
        assert {row["orig"]["sport"] for row in rows(system, **given)} == expected, given
        assert commands.document(system, "count", **given) == {"connections": len(expected)}, given


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("dum", {}, "there is no command 'dum'"),
        ("dump", {"zone": "5"}, "zone cannot be '5'"),
        ("dump", {"zone": True}, "zone cannot be True"),
        ("dump", {"zone": 65536}, "zone cannot be 65536"),
        ("dump", {"zone": -1}, "zone cannot be -1"),
        ("dump", {"zone": 5.0}, "zone cannot be 5.0"),
        ("dump", {"zone": float("nan")}, "zone cannot be nan"),
        ("dump", {"zone": 2**20_000}, "zone cannot be <20001 bits>"),
        ("dump", {"zone": []}, "zone cannot be []"),
        ("dump", {"zones": 5}, "dump has no parameter 'zones'"),
        ("dump", {"format": "xml"}, "format cannot be 'xml'"),
        ("dump", {"proto": "tpc"}, "proto cannot be 'tpc'"),
        ("dump", {"proto": "256"}, "proto cannot be '256'"),
        ("dump", {"src": "10.0.0"}, "src cannot be '10.0.0'"),
        ("dump", {"mark": "1/x"}, "mark cannot be '1/x'"),
        ("dump", {"mark": "99999999999"}, "mark cannot be '99999999999'"),
        ("dump", {"mark": "0x1ffffffff"}, "mark cannot be '0x1ffffffff'"),
        ("dump", {"mark": "1/"}, "mark cannot be '1/'"),
        ("dump", {"mark": "9" * 5000}, "mark cannot be '9999"),
        ("dump", {"state": "OPEN"}, "state cannot be 'OPEN'"),
        ("dump", {"offloaded": "maybe"}, "offloaded cannot be 'maybe'"),
        ("dump", {"reason": "because"}, "reason cannot be 'because'"),
        ("get", {}, "a connection is named by its id, or by src, dst and proto"),
        ("get", {"id": "0x"}, "id cannot be '0x'"),
        ("get", {"id": "1_0"}, "id cannot be '1_0'"),
        ("get", {"id": "18446744073709551616"}, "id cannot be '18446744073709551616'"),
        ("get", {"id": "010"}, "there is no such connection"),
        ("get", {"id": "7"}, "there is no such connection"),
        ("del", {"src": "10.0.0.1", "dst": "fe80::1", "proto": "tcp"}, "10.0.0.1 and fe80::1 are of different"),
        ("del", {"src": "10.0.0.1", "dst": "10.0.0.2", "proto": "tcp"}, "there is no such connection"),
        ("offload", {"action": "away"}, "action cannot be 'away'"),
        ("offload", {"port": "eth9"}, "no port eth9"),
        ("offload", {"provider": "nobody"}, "provider nobody is not registered"),
        ("offload", {"provider": "dpdk", "port": "net_nicsim0"}, "the switch is of a provider or of a port"),
        ("config", {}, "this engine has no configuration"),
    ],
)
def test_what_is_wrong_is_refused_in_words(system, name, given, said):
    with pytest.raises(CtoffloadError) as refused:
        answer = commands.begin(system, name, given)
        assert isinstance(answer, dict) or list(answer) is None
    assert refused.value.message.startswith(said)


PIECES = [
    "0",
    "1",
    "010",
    "0x",
    "f",
    "/",
    "-",
    "_",
    ":",
    ".",
    "%",
    " ",
    "10.0.0.1",
    "fe80::1",
    "tcp",
    "\u00b2",
    "\u0663",
    "\0",
]


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.lists(st.sampled_from([*PIECES, "4294967296", "9" * 5000]), max_size=8).map("".join))
def test_any_text_is_a_filter_or_is_refused(text):
    for name in ("proto", "src", "dst", "reply_src", "reply_dst", "mark", "state", "reason"):
        with contextlib.suppress(UsageError):
            assert Filter.of(**{name: text}).conditions
    with contextlib.suppress(UsageError):
        assert 0 <= number_of(text) < 2**64


def test_get_and_del_find_a_connection_by_tuple_and_by_id(lab, system):
    lab.udp(sport=50_001)
    (row,) = rows(system)
    by_id = rows(system, "get", id=row["id"])
    ends = {
        "src": "198.51.100.254",
        "dst": "198.51.100.1",
        "proto": "udp",
        "sport": row["orig"]["dport"],
        "dport": 50_001,
    }
    assert rows(system, "get", **ends) == by_id == [row]
    assert commands.document(system, "del", id=row["id"]) == {"deleted": 1}
    lab.engine.settle(lab.now_ms)
    with pytest.raises(CtoffloadError, match="there is no such connection"):
        commands.document(system, "del", id=row["id"])
    assert commands.document(system, "count") == {"connections": 0}


def test_flush_ends_what_fits_and_takes_it_out_of_the_nic(lab, system):
    lab.tcp(sport=40_001)
    lab.udp(sport=50_001)
    assert commands.document(system, "flush", proto="udp") == {"flushed": 1}
    lab.engine.settle(lab.now_ms)
    assert [row["proto"] for row in rows(system)] == ["tcp"]
    assert commands.document(system, "flush") == {"flushed": 1}
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert lab.engine.connections().flushed == 2


def test_a_listener_hears_what_happens_to_connections_that_fit(lab, system):
    heard = commands.begin(system, "events", {"proto": "udp"})
    assert next(heard) == Part()
    lab.tcp(sport=40_001)
    lab.udp(sport=50_001)
    commands.document(system, "flush")
    said = [json.loads(b"[" + part.rows + b"]") for part in (next(heard) for _ in range(4)) if part.n]
    (events,) = said
    assert events[0]["event"] == "new"
    assert events[-1]["event"] == "destroy"
    assert events[-1]["cause"] == "flushed"
    assert {event["orig"]["sport"] for event in events} == {50_001}
    heard.close()


def test_the_switch_of_a_port_and_of_a_provider_takes_connections_out_and_lets_them_in(lab, system):
    lab.tcp(sport=40_001)
    for which, reason in (({"provider": "dpdk"}, "no-provider"), ({"port": "net_nicsim0"}, "disabled")):
        commands.document(system, "offload", action="off", **which)
        lab.engine.settle(lab.now_ms)
        assert rows(system)[0]["offload"] == {"state": "no", "reason": reason}
        said = commands.document(system, "offload", action="on", **which)
        assert all(one["enabled"] for one in said["providers"] + said["ports"])
        lab.engine.settle(lab.now_ms)
        assert rows(system)[0]["offload"] == {"state": "yes"}


def test_stats_add_up_and_say_what_commands_there_are(lab, system):
    lab.tcp()
    found = commands.document(system, "stats")
    assert found["connections"]["created"] == found["connections"]["live"] == 1
    assert found["rules"]["live"] >= 2
    assert found["offload"]["providers"][0]["name"] == "dpdk"
    named = [one["name"] for one in commands.document(system, "commands")["commands"]]
    assert named == list(commands.COMMANDS)
    assert json.dumps(commands.document(system, "status"))


class Fixed:
    """A configuration that notes what it is told."""

    def __init__(self):
        self.given = []

    def values(self):
        return {"hw-offload": (True, "default")}

    def set(self, name, value, where):
        if name != "hw-offload":
            raise SettingsError(f"there is no setting {name}")
        self.given.append((name, value, where))
        return ()

    def problems(self):
        return []


def test_run_time_commands_reach_the_configuration(lab):
    fixed = Fixed()
    system = System(lab.engine, fixed)
    commands.document(system, "offload", action="off")
    commands.document(system, "config", name="hw-offload", value="true")
    assert fixed.given == [("hw-offload", False, "ctoffload offload"), ("hw-offload", "true", "ctoffload config")]
    assert commands.document(system, "config", name="hw-offload")["settings"] == {
        "hw-offload": {"value": True, "origin": "default"}
    }
    with pytest.raises(UsageError):
        commands.document(system, "dump")
    with pytest.raises(SettingsError, match="did you mean hw-offload"):
        commands.document(system, "config", name="hw-ofload")


def test_explain_tells_the_chain_of_decisions(lab, system):
    lab.tcp(sport=40_001)
    (row,) = rows(system)

    def steps():
        return {step["step"]: step for step in commands.document(system, "explain", id=row["id"])["steps"]}

    assert all(step["holds"] for step in steps().values())
    assert steps()["plan"]["plan"] != "none"
    assert steps()["rules"]["words"] == "both directions are in the NIC"
    commands.document(system, "offload", action="off", port="net_nicsim1")
    lab.engine.settle(lab.now_ms)
    assert not steps()["reply port"]["holds"]
    assert steps()["rules"]["reason"] == "disabled"
    assert "ctoffload offload on" in steps()["rules"]["words"]


def test_explain_names_what_a_connection_lacks(lab, system):
    half_open = lab.tcp(sport=40_002, established=False)
    half_open.send(0, "S")
    (row,) = rows(system)
    steps = commands.document(system, "explain", id=row["id"])["steps"]
    assert [step["step"] for step in steps if step["holds"] is False] == ["established", "reply port", "rules"]


def test_every_reason_is_explained():
    assert set(MEANING) == set(Reason) - {Reason.NONE}


def test_rules_and_capabilities_of_a_running_engine(lab, system):
    lab.tcp()
    found = commands.document(system, "rules")
    assert found["provider"]["connections"] == 1
    assert {plan["from"] for plan in found["plans"]} == {"net_nicsim0", "net_nicsim1"}
    assert "port" not in found
    report = commands.document(system, "capabilities")
    assert [port["name"] for port in report["ports"]] == ["net_nicsim0", "net_nicsim1"]
    assert any(one["has"] for one in report["ports"][0]["capabilities"])
    assert json.dumps(report)


def test_rules_of_a_port_say_where_they_are_made(lab, system):
    def told():
        return commands.document(system, "rules", port="net_nicsim1")

    assert {one["has_rules"] for one in told()["port"]["rules_on"]} == {False}
    lab.tcp()
    found = told()
    assert any(one["has_rules"] for one in found["port"]["rules_on"])
    assert {"net_nicsim1"} <= {one["port"] for one in found["port"]["rules_on"]} <= {"net_nicsim0", "net_nicsim1"}
    assert all("net_nicsim1" in (plan["from"], plan["to"]) for plan in found["plans"])
    with pytest.raises(UsageError, match="no port eth9 in the engine"):
        commands.document(system, "rules", port="eth9")


def test_every_command_is_on_the_page_of_the_socket():
    page = (Path(__file__).resolve().parents[2] / "docs/control-socket.md").read_text()
    named = set(
        re.findall(r"`([a-z]+)`", "".join(line.split("|")[1] for line in page.splitlines() if line[:3] == "| `"))
    )
    assert set(commands.COMMANDS) <= named


def test_a_fresh_dump_and_get_know_what_the_nic_carried_until_now(lab, system):
    conn = lab.tcp(sport=40_001)
    for _ in range(5):
        conn.send(0, "A", b"x" * 100)
    assert rows(system)[0]["orig"]["packets"] == 2

    def told(name, given):
        found = []
        for part in commands.begin(system, name, given):
            lab.engine.settle(lab.now_ms)
            found += json.loads(b"[" + part.rows + b"]") if isinstance(part, Part) else []
        return found[0]["orig"]["packets"]

    assert told("dump", {"format": "json", "fresh": True}) == 2 + 5
    conn.send(0, "A", b"x" * 100)
    assert told("get", {"id": rows(system)[0]["id"]}) == 2 + 5 + 1
