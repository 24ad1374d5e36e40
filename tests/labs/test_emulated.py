"""The suite for labs runs here: on the emulated NIC by every profile, and on the stand-in of the real mlx5 driver."""

from __future__ import annotations

import copy
import json
import sys
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "hw-tests")]

from hwlab.compare import compared, number  # noqa: E402
from hwlab.page import page  # noqa: E402
from suite import Page, passed, run, words  # noqa: E402 - needs the path above

from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: E402

CONNECTX = ("--dut", "nicsim:connectx-hws")
FILES = ("test_start.py", "test_rules.py", "test_expiry.py")
# Emulated ports are no representors.
SKIPS = "test_representors_share_their_switch"
# Of 68: what a device of each kind lets be tested, at least.
PROFILES = {"free": 60, "connectx-hws": 55, "connectx-sws": 56, "tap": 27, "queue-only": 27, "no-flow": 10}


@pytest.fixture(scope="module", autouse=True)
def emulated_nic() -> None:
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run on an emulated ConnectX, by which the next one is judged."""
    directory = tmp_path_factory.mktemp("first")
    chosen = " or ".join(f.removesuffix(".py") for f in FILES)
    done = run(*CONNECTX, "-k", chosen, "--scale", "200", "--lab-report", str(directory))
    assert passed(done) >= 14
    return directory


@pytest.mark.timeout(300)
def test_a_report_is_written(first: Path) -> None:
    report = json.loads((first / "report.json").read_text())
    assert report["dut"] == "nicsim:connectx-hws"
    assert report["dpdk"]
    assert {"host", "cpu", "kernel"} <= set(report["machine"])
    assert {port["driver"] for port in report["ports"]} == {"net_nicsim"}
    assert {test["outcome"] for test in report["tests"].values()} <= {"passed", "skipped"}
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures["packets of a rule, counted"]["value"] == 100
    assert figures["connections kept alive every 4.9 s"]["in_hardware"] == 200
    suite = next(ET.parse(first / "junit.xml").getroot().iter("testsuite"))
    assert int(suite.attrib["tests"]) == len(report["tests"])


def test_the_page_tells_all_and_needs_nothing_beside_it(first: Path) -> None:
    """Machine, versions, tests and figures; no script, no file, no network."""
    report, text = json.loads((first / "report.json").read_text()), (first / "report.html").read_text()
    found = Page(text)
    assert found.fetched == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(found.tags)
    machine = report["machine"]
    told = [machine["host"], machine["cpu"], machine["kernel"], report["dpdk"], "net_nicsim0", "firmware"]
    assert [word for word in told if escape(word) not in text] == []
    assert found.tags["tr"] > len(report["tests"])


def test_the_next_run_is_compared(first: Path, tmp_path: Path) -> None:
    """At its end, and on its page; what passed and does not any more is a regression."""
    earlier = json.loads((first / "report.json").read_text())
    earlier["tests"][f"hw-tests/test_ways.py::{SKIPS}"] = {"outcome": "passed", "why": ""}
    earlier["machine"]["kernel"] = "5.4.0"
    (tmp_path / "earlier.json").write_text(json.dumps(earlier))
    compare = ["--compare", str(tmp_path / "earlier.json"), "--lab-report", str(tmp_path)]
    done = run(*CONNECTX, "-k", f"every_port_says or {SKIPS}", *compare)
    passed(done)
    assert f"regression: hw-tests/test_ways.py::{SKIPS} passed then, skipped now" in done.stdout
    assert "note: the machine's kernel was 5.4.0, is" in done.stdout
    text = (tmp_path / "report.html").read_text()
    assert "<h2>Since" in text
    assert f"{SKIPS} passed then, skipped now" in text


def test_a_figure_that_became_worse_is_a_regression(first: Path) -> None:
    """By more than a tenth; its bar has a mark where the earlier one was."""
    now = json.loads((first / "report.json").read_text())
    now["figures"] += [{"test": "t", "name": "rules in", "unit": "rules/s", "value": 80_000.0}]
    earlier = copy.deepcopy(now)
    late = next(f for f in earlier["figures"] if f["name"] == "the last connection ended after its timeout")
    late["value"] /= 10
    earlier["figures"][-1]["value"] = 100_000.0
    found = compared(earlier, now)
    assert [line.partition(":")[0] for line in found["regressions"]] == [late["name"], "rules in"]
    assert "100 k then, 80 k rules/s now (0.80 times)" in found["regressions"][1]
    assert compared(now, earlier)["improvements"]
    text = page(now, found)
    assert "regression: rules in" in text
    assert Page(text).tags["figure"] == 1
    assert 'class="then"' in text


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_passes_what_it_can(profile: str, tmp_path: Path) -> None:
    done = run("--dut", f"nicsim:{profile}", "--lab-report", str(tmp_path))
    assert passed(done) >= PROFILES[profile]


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize(("steering", "least"), [("software", 33), ("hardware", 32)])
def test_the_real_driver_passes_what_needs_no_packet(steering: str, least: int, tmp_path: Path) -> None:
    done = run("--dut", f"standin:{steering}", "--lab-report", str(tmp_path))
    if "the stand-in cannot run here" in words(done):
        pytest.skip(words(done).split("ERROR: ")[-1].splitlines()[0])
    assert passed(done) >= least
    assert "the stand-in moves no packet" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("steering", ["software", "hardware"])
def test_two_physical_ports_of_the_real_driver_are_joined_by_hairpin(steering: str) -> None:
    """Chosen by itself: there is no switch between them."""
    done = run("--dut", f"standin:{steering},devices=2", "-k", "test_hairpin or go_by_it")
    if "the stand-in cannot run here" in words(done):
        pytest.skip(words(done).split("ERROR: ")[-1].splitlines()[0])
    assert passed(done) == 6
    assert "nothing goes by transfer here: age by hairpin" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("card", ["connectx-5", "connectx-6dx", "connectx-7", "bluefield-2", "bluefield-3"])
@pytest.mark.parametrize("steering", ["software", "hardware"])
def test_each_card_by_name_does_by_its_steering_what_it_can(steering: str, card: str, tmp_path: Path) -> None:
    """All but ConnectX-5 track connections; it has no contexts, and with hardware steering no rules at all."""
    chosen = ["-k", "every_question or a_plan_installs", "--lab-report", str(tmp_path)]
    done = run("--dut", f"standin:{steering},profile={card}", *chosen)
    if "the stand-in cannot run here" in words(done):
        pytest.skip(words(done).split("ERROR: ")[-1].splitlines()[0])
    passed(done)
    report = json.loads((tmp_path / "report.json").read_text())
    uplink = next(figure["table"] for figure in report["figures"] if "table" in figure)
    has = {found["cap"]: found["has"] for found in uplink if found["domain"] in ("ingress", "port")}
    is_old = card == "connectx-5"
    assert has["conntrack"] is not is_old
    assert has["rules"] is not (is_old and steering == "hardware")
    plans = {test["name"]: test["outcome"] for test in report["tests"].values() if "plan_installs" in test["name"]}
    taken = {name.partition("[")[2].rstrip("]") for name, outcome in plans.items() if outcome == "passed"}
    assert ("age" in taken) is has["rules"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (999.9, "1000"), (1024, "1024"), (12345, "12.3 k"), (1234567, "1.23 M"), (9876.5, "9876")],
)
def test_figures_are_written_as_people_read_them(value: float, text: str) -> None:
    assert number(value) == text
