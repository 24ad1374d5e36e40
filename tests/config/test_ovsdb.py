"""Settings from a real ovsdb-server: followed, judged, kept; status written back."""

from __future__ import annotations

import pytest
from ovsdb_lab import until

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.config import OvsdbOwner, OvsdbSource, Tls, Watch
from ctoffload_dpdk.config.ovsdb import read_other_config

RATE = "ct-offload-rate"


@pytest.fixture
def source(ovsdb):
    made = OvsdbSource(ovsdb.unix, host="lab7")
    yield made
    made.close()


def follow(source, condition, complaint):
    until(condition, complaint, lambda: (source.wait(50), source.run()))


def first_read(source):
    follow(source, lambda: source.was_read, source.state)


def values(source):
    return {name: given.value for name, given in source.given.items()}


def test_what_ovs_vsctl_sets_arrives(ovsdb, source):
    ovsdb.set(hw_offload="false", ct_offload_rate="7")
    first_read(source)
    assert values(source) == {"hw-offload": False, RATE: 7}
    assert source.given[RATE].where == f"OVSDB {ovsdb.unix} Open_vSwitch other_config"
    ovsdb.set(hw_offload="true")
    follow(source, lambda: values(source) == {"hw-offload": True, RATE: 7}, "the change did not arrive")
    ovsdb.vsctl("remove", "Open_vSwitch", ".", "other_config", RATE)
    follow(source, lambda: values(source) == {"hw-offload": True}, "the removal did not arrive")


def test_the_cpus_of_ovs_are_ours_as_well(ovsdb, source):
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x3")
    first_read(source)
    assert values(source) == {"pmd-cpu-mask": "0x3"}


def test_keys_of_others_are_left_alone(ovsdb, source):
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:n-dpdk-rxqs=2", "other_config:ct-offload-rate=5")
    first_read(source)
    assert values(source) == {RATE: 5}
    assert source.problems == []


def test_a_wrong_row_is_reported_whole_and_the_last_good_one_stays(ovsdb, source):
    ovsdb.set(ct_offload_rate="5")
    first_read(source)
    ovsdb.set(hw_offload="perhaps", ct_offload_rate="-3", ct_offload_rte="9", ct_offload_burst="70")
    follow(source, lambda: source.problems, "nothing was reported")
    assert values(source) == {RATE: 5}
    words = "\n".join(str(p) for p in source.problems)
    assert all(f"OVSDB {ovsdb.unix} Open_vSwitch other_config: " in str(p) for p in source.problems)
    assert "ct-offload-rate cannot be '-3'" in words
    assert "no setting 'ct-offload-rte'" in words
    assert "did you mean ct-offload-rate?" in words
    assert "hw-offload cannot be 'perhaps'" in words
    assert len(source.problems) == 3
    ovsdb.set(hw_offload="false", ct_offload_rate="6")
    ovsdb.vsctl("remove", "Open_vSwitch", ".", "other_config", "ct-offload-rte")
    follow(source, lambda: values(source).get(RATE) == 6, "the mended row did not arrive")
    assert source.problems == []


def test_a_server_that_restarts_is_found_again(ovsdb, source):
    ovsdb.set(ct_offload_rate="5")
    first_read(source)
    ovsdb.stop()
    follow(source, lambda: not source.is_connected, "the loss went unnoticed")
    assert values(source) == {RATE: 5}
    assert source.state == f"not connected to {ovsdb.unix}; its last values stay in force"
    ovsdb.start()
    ovsdb.set(ct_offload_rate="8")
    follow(source, lambda: values(source) == {RATE: 8}, "did not reconnect")
    assert source.state == f"connected to {ovsdb.unix}"


def test_no_server_at_all_is_said(tmp_path):
    source = OvsdbSource(f"unix:{tmp_path / 'none'}")
    for _ in range(3):
        assert not source.run()
    assert source.state == f"not connected to unix:{tmp_path / 'none'}; nothing was read yet, so the other sources hold"
    source.close()


def test_a_database_without_its_row_is_said(ovsdb):
    uuid = ovsdb.vsctl("get", "Open_vSwitch", ".", "_uuid")
    ovsdb.vsctl("--", "destroy", "Open_vSwitch", uuid)
    source = OvsdbSource(ovsdb.unix)
    first_read(source)
    assert "the database has no row" in str(source.problems[0])
    assert "ovs-vsctl init" in str(source.problems[0])
    ovsdb.vsctl("init")
    ovsdb.set(ct_offload_rate="8")
    follow(source, lambda: values(source) == {RATE: 8}, "the new row was not seen")
    source.close()


def test_the_status_stands_where_it_is_looked_for_and_goes_with_us(ovsdb):
    source = OvsdbSource(ovsdb.unix, host="lab7")
    source.set_status("hw-offload=true offloaded=3")
    key = "external_ids:ct-offload-status-lab7"
    follow(
        source,
        lambda: ovsdb.vsctl("--if-exists", "get", "Open_vSwitch", ".", key) == '"hw-offload=true offloaded=3"',
        "the status was not written",
    )
    source.set_status("hw-offload=false offloaded=0")
    follow(source, lambda: "=false" in ovsdb.vsctl("get", "Open_vSwitch", ".", key), "the status did not change")
    source.close()
    assert ovsdb.vsctl("--if-exists", "get", "Open_vSwitch", ".", key) == ""


def test_the_owner_lets_ovs_vsctl_wait_and_says_dpdks_version(ovsdb, source):
    first, second = OvsdbOwner(ovsdb.unix, "DPDK 22.11.11"), OvsdbOwner(ovsdb.unix, "DPDK 22.11.11")

    def turn():
        source.run()
        first.run(source.next_cfg)
        source.wait(5)

    until(lambda: first.is_owner, "the lock was not granted", turn)
    import subprocess  # noqa: PLC0415

    from ovsdb_lab import VSCTL, place  # noqa: PLC0415

    waiting = subprocess.Popen(
        [place() / VSCTL, f"--db={ovsdb.unix}", "set", "Open_vSwitch", ".", "other_config:hw-offload=false"]
    )
    until(lambda: waiting.poll() is not None, "ovs-vsctl still waits for cur_cfg", turn)
    assert waiting.returncode == 0
    assert values(source) == {"hw-offload": False}
    assert ovsdb.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized", "dpdk_version") == 'true\n"DPDK 22.11.11"'
    for _ in range(5):
        second.run(0)
        second.wait(5)
    assert not second.is_owner
    first.close()
    until(lambda: second.is_owner, "the second one did not follow", lambda: (second.wait(5), second.run(1)))
    second.close()


@pytest.mark.parametrize(
    ("remotes", "words"),
    [
        ("", "'' is no OVSDB remote"),
        ("ptcp:6640", "'ptcp:6640' is no OVSDB remote"),
        ("tcp:127.0.0.1:6640,x", "'x' is no OVSDB remote"),
        ("tcp:127.0.0.1", "'tcp:127.0.0.1' names no port"),
        ("tcp:127.0.0.1:65536", "'tcp:127.0.0.1:65536' names no port"),
        ("tcp:127.0.0.1:\u00b2", "'tcp:127.0.0.1:\u00b2' names no port"),
        ("ssl:127.0.0.1:6640", "needs a key and certificates"),
    ],
)
def test_a_remote_that_is_none_is_refused(remotes, words):
    with pytest.raises(SettingsError, match=words):
        OvsdbSource(remotes)


def test_a_key_that_cannot_be_read_is_named(tmp_path):
    tls = Tls(str(tmp_path / "key.pem"), "c", "a")
    with pytest.raises(SettingsError, match=r"key\.pem: cannot be read for ssl: No such file"):
        OvsdbSource("ssl:127.0.0.1:6640", tls=tls)


def test_a_row_of_thousands_of_keys_is_no_configuration():
    given, errors = read_other_config({f"ct-offload-{i}": "1" for i in range(2000)}, "row")
    assert given == {}
    assert [str(e) for e in errors] == ["row: 2000 keys begin with ct-offload-\n  hint: they are no settings"]


def test_a_huge_value_is_shown_in_part(ovsdb, source):
    ovsdb.set(ct_offload_rate="9" * 100_000)
    follow(source, lambda: source.problems, "nothing was reported")
    assert len(str(source.problems[0])) < 250


def test_a_watch_puts_flags_above_the_ovsdb_and_that_above_the_file(ovsdb, source, tmp_path):
    file = tmp_path / "lab.toml"
    file.write_text("[other_config]\nct-offload-rate = 1\nct-offload-burst = 2\n")
    watch = Watch(file=file, ovsdb=source)
    assert watch.configuration.settings.ct_offload_rate == 1
    ovsdb.set(ct_offload_rate="5")
    until(watch.poll, "nothing changed", lambda: source.wait(50))
    assert (watch.configuration.settings.ct_offload_rate, watch.configuration.settings.ct_offload_burst) == (5, 2)
    assert str(watch.configuration.origins[RATE]) == f"ovsdb (OVSDB {ovsdb.unix} Open_vSwitch other_config)"
    assert watch.command(RATE, "9", "ctoffload set")
    assert watch.configuration.settings.ct_offload_rate == 9
    ovsdb.set(ct_offload_rate="6")
    until(watch.poll, "nothing changed", lambda: source.wait(50))
    assert watch.configuration.settings.ct_offload_rate == 6


def test_a_file_that_goes_bad_leaves_what_held(tmp_path):
    file = tmp_path / "lab.toml"
    file.write_text("[other_config]\nct-offload-rate = 1\n")
    watch = Watch(file=file)
    file.write_text("[other_config]\nct-offload-rate = many\n")
    assert not watch.reload()
    assert watch.configuration.settings.ct_offload_rate == 1
    assert "is not TOML" in str(watch.problems()[0])
    file.write_text("[other_config]\nct-offload-rate = 3\n")
    assert watch.reload()
    assert watch.configuration.settings.ct_offload_rate == 3
    assert watch.problems() == []
