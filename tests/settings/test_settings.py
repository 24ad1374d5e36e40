from __future__ import annotations

import contextlib
import dataclasses
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.settings import TABLE, HelperRule, Settings, find, read_helpers, settings_from
from ctoffload_dpdk.settings.cpus import cpus, mask_of


def test_the_defaults_are_valid_and_as_ovs_has_them():
    settings = Settings()
    assert settings.ct_offload_establish_at == "established"
    assert settings["ct-offload-unconfirmed-rst-timeout"] == 900
    assert settings.timeouts_s() == {
        "tcp_syn_sent": 30,
        "tcp_syn_recv": 30,
        "tcp_established": 86400,
        "tcp_fin_wait": 900,
        "tcp_time_wait": 45,
        "tcp_close": 30,
        "udp_first": 60,
        "udp_single": 60,
        "udp_multiple": 30,
        "icmp_first": 60,
        "icmp_reply": 30,
    }


@pytest.mark.parametrize("setting", TABLE.values(), ids=TABLE)
def test_every_setting_is_named_bounded_and_explained(setting):
    assert re.fullmatch(r"hw-offload|pmd-cpu-mask|ct-offload(-[a-z0-9]+)+", setting.name)
    assert type(setting.default) is setting.kind
    assert setting.parse(setting.default) == setting.default
    assert setting.doc
    assert (setting.kind is int) == bool(setting.unit) == (setting.maximum > setting.minimum)
    assert (setting.kind is str) == (len(setting.choices) > 1 or bool(setting.form and setting.read))
    assert setting.ovsdb_key == f"other_config:{setting.name}"
    assert setting.flag.startswith(f"--{setting.name}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hw-offload", "false", False),
        ("hw-offload", " TRUE ", True),
        ("hw-offload", False, False),
        ("ct-offload-rate", "12", 12),
        ("ct-offload-rate", 12, 12),
        ("ct-offload-establish-at", "reply", "reply"),
        ("ct-offload-helpers", "ftp=21,tftp=69@5", "ftp=21,tftp=69@5"),
        ("ct-offload-helpers", "", ""),
        ("pmd-cpu-mask", "0x6", "0x6"),
        ("pmd-cpu-mask", "F", "F"),
    ],
)
def test_values_are_read_typed_or_as_text(name, text, value):
    parsed = find(name).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("hw-offload", "maybe", "true or false"),
        ("hw-offload", 1, "true or false"),
        ("ct-offload-rate", True, "0 to 2147483647 connections/s"),
        ("ct-offload-rate", -1, "0 to"),
        ("ct-offload-rate", "1e3", "0 to"),
        ("ct-offload-rate", "\u0663", "0 to"),
        ("ct-offload-rate", "9" * 5000, "0 to"),
        ("ct-offload-rate", 1.5, "0 to"),
        ("ct-offload-timeout-tcp-established", 0, "1 to 4294967 s"),
        ("ct-offload-timeout-tcp-established", 4294968, "1 to 4294967 s"),
        ("ct-offload-establish-at", "now", "established, reply"),
        ("ct-offload-establish-at", ["reply"], "established, reply"),
        ("ct-offload-establish-at", None, "established, reply"),
        ("ct-offload-helpers", "sip=5060", "helpers: ftp, tftp"),
        ("ct-offload-helpers", "ftp", "helper=port"),
        ("ct-offload-helpers", "ftp=0", "helper=port"),
        ("ct-offload-helpers", "ftp=65536", "helper=port"),
        ("ct-offload-helpers", "ftp=21@", "helper=port"),
        ("ct-offload-helpers", "ftp=21@65536", "helper=port"),
        ("ct-offload-helpers", "ftp=2\u0661", "helper=port"),
        ("ct-offload-helpers", ",", "helper=port"),
        ("pmd-cpu-mask", "1,2", "0x6 for CPUs 1 and 2"),
        ("pmd-cpu-mask", "0", "a mask of CPUs"),
        ("pmd-cpu-mask", "0x", "a mask of CPUs"),
        ("pmd-cpu-mask", "-1", "a mask of CPUs"),
        ("pmd-cpu-mask", "f" * 257, "a mask of CPUs"),
        ("pmd-cpu-mask", 6, "a mask of CPUs"),
        ("ct-offload-helpers", ",".join(["ftp=21"] * 17), "at most 16"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_may_be(name, value, hint):
    with pytest.raises(SettingsError, match=f"^lab.toml line 3: {name} cannot be ") as caught:
        find(name).parse(value, "lab.toml line 3")
    assert hint in caught.value.hint
    assert len(caught.value.message) < 120


# Of which settings are made, and what is nearly one.
PIECES = [
    *"01xf-+_/:.,[]=@#; \n\u00b2\u0663\0\ud800\u2028",
    *(
        "010",
        "65536",
        "4294967296",
        "9" * 5000,
        "10.0.0.1",
        "2001:db8::/32",
        "fe80::1%eth0",
        "eth0 vlan ",
        "tcp",
        "ftp",
    ),
    *("allow ", "deny ", "snat ", "dnat ", "from ", "to ", "any ", "port ", "on ", "random", "true"),
]


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=30)))
def test_any_text_is_a_value_or_is_refused(text):
    for setting in TABLE.values():
        with contextlib.suppress(SettingsError):
            setting.parse(text)


def test_an_unknown_name_gets_the_nearest_one_as_hint():
    with pytest.raises(SettingsError, match="there is no setting 'hw-ofload'") as caught:
        settings_from({"hw-ofload": True})
    assert caught.value.hint == "did you mean hw-offload?"
    with pytest.raises(SettingsError):
        Settings()["hw_offload"]


def test_settings_never_change_and_are_never_wrong():
    settings = settings_from({"hw-offload": "false", "ct-offload-rate": "5"})
    assert settings.hw_offload is False
    assert settings.ct_offload_rate == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.hw_offload = True
    with pytest.raises(SettingsError, match="ct-offload-rate cannot be -1"):
        Settings(ct_offload_rate=-1)
    with pytest.raises(SettingsError, match="hw-offload cannot be 'true'"):
        Settings(hw_offload="true")


def test_a_mask_of_cpus_is_read_and_written():
    assert cpus("0x6") == cpus(" 6 ") == (1, 2)
    assert cpus("") == ()
    assert cpus("1" + "0" * 64) == (256,)
    assert cpus(mask_of([9, 1, 1])) == (1, 9)


def test_helpers_are_read_in_order():
    assert read_helpers("ftp=21, ftp=2121@0,tftp=69@5") == (
        HelperRule("ftp", 21),
        HelperRule("ftp", 2121, 0),
        HelperRule("tftp", 69, 5),
    )
    assert read_helpers(" ") == ()
