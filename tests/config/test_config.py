from __future__ import annotations

import pytest

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.config import Given, Sources, Watch, given_flags, read_toml
from ctoffload_dpdk.settings import TABLE, ContradictionError, Settings
from ctoffload_dpdk.settings.table import CONTRADICTIONS

RATE = "ct-offload-rate"


@pytest.fixture
def toml(tmp_path):
    def write(text: str | bytes) -> str:
        path = tmp_path / "lab.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write


def test_each_value_of_a_file_comes_with_its_line(toml):
    path = toml('# lab\n[other_config]\nhw-offload = false\n\n"ct-offload-rate" = "7"  # as OVSDB writes it\n')
    assert read_toml(path) == {
        "hw-offload": Given(False, f"{path} line 3"),
        RATE: Given(7, f"{path} line 5"),
    }


def test_an_empty_file_gives_nothing(toml):
    assert read_toml(toml("")) == {}
    assert read_toml(toml("[other_config]\n")) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[other_config]\nhw-offload = 1\n", "line 2: hw-offload cannot be 1"),
        ("[other_config]\n\nct-offload-rate.x = 1\n", "line 3: ct-offload-rate cannot be"),
        ("[other_config]\nhw-ofload = true\n", "line 2: there is no setting 'hw-ofload'"),
        ("[other_config]\n\n[zones]\na = 1\n", "line 3: unknown table or key 'zones'"),
        ("hw-offload = true\n", "line 1: unknown table or key 'hw-offload'"),
        ("other_config = 3\n", "other_config is no table"),
        ("[other_config]\nhw-offload = \n", "is not TOML: .* line 2"),
        ("[other_config]\nhw-offload = true\nhw-offload = true\n", "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
        ("[other_config]\nct-offload-rate = " + "9" * 5000, "is not TOML"),
        ("[other_config]\nct-offload-rate = 0x" + "9" * 5000, "line 2: ct-offload-rate cannot be <20000 bits>"),
        ("[other_config]\nct-offload-rate = [0x" + "9" * 5000 + "]", "line 2: ct-offload-rate cannot be <list>"),
        (b"\xff\xfe", "no UTF-8 text at byte 0"),
        (b"#" * ((1 << 20) + 1), "more than 1048576 bytes"),
    ],
    ids=range(14),
)
def test_a_wrong_file_is_refused_with_its_line(toml, text, words):
    path = toml(text)
    with pytest.raises(SettingsError, match=words) as caught:
        read_toml(path)
    assert caught.value.message.startswith(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no\.toml: cannot read the settings: No such file"):
        read_toml(tmp_path / "no.toml")


def test_flags_outrank_ovsdb_outranks_the_file_outranks_defaults(toml):
    sources = Sources()
    assert str(sources.resolve().origins[RATE]) == "default"
    sources.set_file(read_toml(toml("[other_config]\nct-offload-rate = 1\nct-offload-burst = 2\nhw-offload = false")))
    sources.set_ovsdb({RATE: Given(3, "other_config"), "ct-offload-burst": Given(4, "other_config")})
    sources.flags = given_flags({RATE: 5, "hw-offload": None})
    resolved = sources.resolve()
    settings, origins = resolved.settings, resolved.origins
    assert (settings.ct_offload_rate, settings.ct_offload_burst, settings.hw_offload) == (5, 4, False)
    assert [origins[k].source for k in (RATE, "ct-offload-burst", "hw-offload")] == ["flag", "ovsdb", "file"]
    assert str(origins[RATE]) == "flag (--ct-offload-rate)"
    assert origins["hw-offload"].where.endswith("lab.toml line 4")


def test_a_command_holds_until_a_source_changes_that_very_key():
    sources = Sources(file={RATE: Given(1, "line 1")}, ovsdb={"ct-offload-burst": Given(9, "db")})
    sources.command(RATE, "2", "ctoffload config set")
    assert sources.resolve().settings.ct_offload_rate == 2
    assert sources.resolve().origins[RATE].source == "command"
    sources.set_file({RATE: Given(1, "line 7"), "hw-offload": Given(False, "line 8")})
    sources.set_ovsdb({})
    assert sources.resolve().settings.ct_offload_rate == 2
    sources.set_file({RATE: Given(3, "line 7")})
    assert sources.resolve().settings.ct_offload_rate == 3
    sources.command(RATE, 4)
    sources.set_file({})
    assert sources.resolve().settings.ct_offload_rate == 0


def test_a_key_given_as_a_flag_is_fixed():
    sources = Sources(flags=given_flags({RATE: 5}))
    with pytest.raises(SettingsError, match="is fixed"):
        sources.command(RATE, 6)
    assert sources.resolve().settings.ct_offload_rate == 5


def test_a_wrong_command_changes_nothing():
    sources = Sources()
    with pytest.raises(SettingsError):
        sources.command(RATE, "many")
    assert sources.resolve().settings.ct_offload_rate == 0


def test_settings_that_contradict_each_other_are_told_with_both_origins(toml):
    path = toml("[other_config]\nct-offload-strict-windows = true\n")
    sources = Sources(file=read_toml(path), flags=given_flags({"ct-offload-tcp-sequence-check": False}))
    with pytest.raises(ContradictionError) as caught:
        sources.resolve()
    assert "ct-offload-strict-windows=true and ct-offload-tcp-sequence-check=false contradict" in str(caught.value)
    assert f"ct-offload-strict-windows from file ({path} line 2)" in str(caught.value)
    assert "ct-offload-tcp-sequence-check from flag (--ct-offload-tcp-sequence-check)" in str(caught.value)


def test_a_contradiction_that_comes_later_leaves_what_held(tmp_path):
    file = tmp_path / "lab.toml"
    file.write_text("[other_config]\nct-offload-strict-windows = true\n")
    watch = Watch(file=file)
    with pytest.raises(ContradictionError):
        watch.command("ct-offload-establish-at", "reply")
    assert watch.configuration.settings.ct_offload_establish_at == "established"
    file.write_text('[other_config]\nct-offload-strict-windows = true\nct-offload-establish-at = "reply"\n')
    assert not watch.reload()
    assert "contradict" in str(watch.problems()[0])
    assert watch.configuration.settings.ct_offload_establish_at == "established"
    file.write_text('[other_config]\nct-offload-establish-at = "reply"\n')
    assert watch.reload()
    assert watch.problems() == []


@pytest.mark.parametrize("pair", CONTRADICTIONS, ids=lambda pair: f"{pair.first} {pair.second}")
def test_each_contradiction_can_come_about_and_the_defaults_have_none(pair):
    assert not pair.holds(Settings())
    values = {name: TABLE[name].choices or (True, False, 0, 1) for name in (pair.first, pair.second)}
    assert any(pair.when(a, b) for a in values[pair.first] for b in values[pair.second])
