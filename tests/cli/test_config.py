"""ctoffload config: values with their origin, all that is wrong, the reference page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctoffload_dpdk.cli.config import markdown
from ctoffload_dpdk.cli.main import run
from ctoffload_dpdk.settings import TABLE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lab(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text("[other_config]\nct-offload-rate = 7\nct-offload-burst = 9\n")
    return str(path)


def shown(capsys, *words):
    status = run(["config", "show", "--json", *words])
    return status, json.loads(capsys.readouterr().out)


def test_every_setting_is_shown_with_its_origin(capsys, lab):
    status, document = shown(capsys, "--config", lab, "--ct-offload-rate", "8", "--no-hw-offload")
    assert status == 0
    assert list(document["settings"]) == list(TABLE)
    assert document["settings"]["ct-offload-rate"] == {"value": 8, "source": "flag", "where": "--ct-offload-rate"}
    assert document["settings"]["ct-offload-burst"] == {"value": 9, "source": "file", "where": f"{lab} line 3"}
    assert document["settings"]["hw-offload"]["value"] is False
    assert document["settings"]["ct-offload-invalid"]["source"] == "default"


def test_changed_ones_alone_as_text(capsys, lab):
    assert run(["config", "show", "--changed", "--config", lab]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["ct-offload-rate", "7"], ["ct-offload-burst", "9"]]


def test_the_ovsdb_wins_over_the_file_and_a_flag_over_both(capsys, lab, ovsdb):
    ovsdb.set(ct_offload_rate="5", ct_offload_burst="6", hw_offload="false")
    status, document = shown(capsys, "--config", lab, "--ovsdb", ovsdb.unix, "--ct-offload-burst", "4")
    assert status == 0
    origin = f"OVSDB {ovsdb.unix} Open_vSwitch other_config"
    assert document["settings"]["ct-offload-rate"] == {"value": 5, "source": "ovsdb", "where": origin}
    assert document["settings"]["ct-offload-burst"]["value"] == 4


def test_a_wrong_row_is_shown_beside_what_holds(capsys, ovsdb):
    ovsdb.set(ct_offload_rate="many")
    status, document = shown(capsys, "--ovsdb", ovsdb.unix)
    assert status == 1
    assert document["settings"]["ct-offload-rate"]["source"] == "default"
    assert "ct-offload-rate cannot be 'many'" in document["problems"][0]["message"]


def test_check_says_all_that_is_wrong_by_file(capsys, lab, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text('[other_config]\nhw-ofload = 1\nct-offload-rate = "x"\nct-offload-burst = 7\n')
    assert run(["config", "check", lab, str(bad), str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{lab}: 2 right, nothing wrong",
        f"{bad}: 1 right, 2 wrong",
        f"{tmp_path / 'none'}: 0 right, 1 wrong",
    ]
    assert f"{bad} line 2: there is no setting 'hw-ofload'" in err
    assert f"{bad} line 3: ct-offload-rate cannot be 'x'" in err
    assert "No such file" in err
    assert run(["config", "check", lab]) == 0


def test_check_of_nothing_is_wrong_usage(capsys):
    assert run(["config", "check"]) == 2
    assert "nothing to check" in capsys.readouterr().err


def test_an_ovsdb_that_is_not_there_is_told_by_remote(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("ctoffload_dpdk.config.reach.read_once.__kwdefaults__", {"tls": None, "timeout_s": 0.1})
    assert run(["config", "check", "--ovsdb", f"tcp:127.0.0.1:1,unix:{tmp_path / 'no'}"]) == 1
    err = capsys.readouterr().err
    assert "tcp:127.0.0.1:1: Connection refused" in err
    assert f"unix:{tmp_path / 'no'}: No such file or directory" in err


def test_files_of_ssl_belong_together(capsys):
    assert run(["config", "check", "--ovsdb", "ssl:127.0.0.1:1", "--private-key", "x"]) == 2
    assert "belong together" in capsys.readouterr().err


def test_the_schema_names_every_setting_with_what_it_may_be(capsys):
    assert run(["config", "schema", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert list(rows) == list(TABLE)
    assert rows["hw-offload"]["ovsdb"] == "other_config:hw-offload"
    assert rows["ct-offload-rate"]["maximum"] == 2**31 - 1
    assert rows["ct-offload-invalid"]["choices"] == ["drop", "pass"]
    assert run(["config", "schema"]) == 0
    assert "hw-offload" in capsys.readouterr().out


def test_the_reference_page_is_made_from_the_table():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == markdown(), "make it anew: ctoffload config schema --format markdown > docs/settings.md"
