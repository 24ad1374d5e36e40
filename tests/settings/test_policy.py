"""The text of the policy: what it may be, and what is said of what it may not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.settings import settings_from
from ctoffload_dpdk.settings.policy import PolicyRule, ZoneOf, rules, translations, zones


def test_zones_are_of_ports_and_vlans():
    text = "eth0 = 1; eth0 vlan 100 = 7  # the lab\n0000:03:00.0 vlan 10.20=65535"
    assert zones(text) == (ZoneOf("eth0", (), 1), ZoneOf("eth0", (100,), 7), ZoneOf("0000:03:00.0", (10, 20), 65535))


def test_rules_say_who_may_speak_with_whom():
    assert rules("# nothing but this\ndeny tcp from 10.0.0.0/8 port 1-1023 to any port 22 on eth0; allow") == (
        PolicyRule("deny", proto=6, src=ip_network("10.0.0.0/8"), src_ports=(1, 1023), dst_ports=(22, 22), port="eth0"),
        PolicyRule("allow"),
    )
    assert rules("deny 47 to 2001:db8::1") == (PolicyRule("deny", proto=47, dst=ip_network("2001:db8::1/128")),)


def test_translations_say_to_what():
    assert translations("snat 192.0.2.1-192.0.2.9:1024-2047 random udp from 10.0.0.0/8; dnat [2001:db8::1]:80") == (
        PolicyRule("snat", "192.0.2.1-192.0.2.9:1024-2047", "random", proto=17, src=ip_network("10.0.0.0/8")),
        PolicyRule("dnat", "[2001:db8::1]:80"),
    )


@pytest.mark.parametrize(
    ("setting", "text", "said"),
    [
        ("zones", "eth0", "'eth0' is no zone of a port"),
        ("zones", "eth0 vlan 4096 = 1", "a VLAN id is 0 to 4095"),
        ("zones", "eth0 = 65536", "a zone 0 to 65535"),
        ("zones", "eth0 = 1; eth0 = 2", "have a zone already"),
        ("rules", "permit", "permit is none of allow, deny"),
        ("rules", "deny tpc", "'tpc' is no protocol"),
        ("rules", "deny 256", "'256' is no protocol"),
        ("rules", "deny tcp from", "ends too early"),
        ("rules", "deny tcp from 10.0.0.300", "'10.0.0.300'"),
        ("rules", "deny tcp from any port 0", "'0' is no port"),
        ("rules", "deny tcp from any port 9-1", "'9-1' is no port"),
        ("rules", "deny to any port 22", "ports need a protocol that has them"),
        ("rules", "deny from 10.0.0.1 to fe80::1", "different families"),
        ("rules", "deny to any from any", "'from' is not understood there"),
        ("rules", ";".join(["allow"] * 1025), "more than 1024 statements"),
        ("nat", "snat", "ends too early"),
        ("nat", "allow tcp", "allow is none of snat, dnat"),
        ("nat", "snat nowhere", "'nowhere'"),
        ("nat", "snat 10.0.0.1:0", "has no range of ports"),
        ("nat", "snat 10.0.0.9-10.0.0.1", "10.0.0.9 is not below 10.0.0.1"),
        ("nat", "dnat 10.0.0.1-fe80::1", "is no range"),
    ],
)
def test_what_is_wrong_is_said_with_the_grammar_or_the_bound(setting, text, said):
    with pytest.raises(SettingsError) as refused:
        settings_from({f"ct-offload-{setting}": text}, "lab.toml line 3")
    assert refused.value.message.startswith(f"lab.toml line 3: ct-offload-{setting}: ")
    assert said in refused.value.message
