"""The suite for labs runs here: on the emulated NIC by every profile, and on the stand-in of the real mlx5 driver."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "hw-tests")]

from hwlab.compare import number  # noqa: E402
from suite import passed, run, words  # noqa: E402 - needs the path above

from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: E402

FILES = ("test_start.py", "test_rules.py", "test_expiry.py")
# Of 56: what a device of each kind lets be tested, at least.
PROFILES = {"free": 48, "connectx-hws": 44, "connectx-sws": 45, "tap": 20, "queue-only": 22, "no-flow": 10}


@pytest.fixture(autouse=True)
def emulated_nic() -> None:
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))


@pytest.mark.timeout(400)  # two runs of the suite, 20 s of processor time, on a machine that may be busy
def test_a_report_is_written_and_compared(tmp_path: Path) -> None:
    """A run on an emulated ConnectX; its report, by which the next one is judged."""
    arguments = ["--dut", "nicsim:connectx-hws", "-k", " or ".join(f.removesuffix(".py") for f in FILES)]
    done = run(*arguments, "--scale", "200", "--lab-report", str(tmp_path / "one"))
    assert passed(done) >= 14
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["dut"] == "nicsim:connectx-hws"
    assert report["dpdk"]
    assert {port["driver"] for port in report["ports"]} == {"net_nicsim"}
    assert {test["outcome"] for test in report["tests"].values()} <= {"passed", "skipped"}
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures["packets of a rule, counted"]["value"] == 100
    assert figures["connections kept alive every 4.9 s"]["in_hardware"] == 200
    suite = next(ET.parse(tmp_path / "one" / "junit.xml").getroot().iter("testsuite"))
    assert int(suite.attrib["tests"]) == len(report["tests"])
    page = (tmp_path / "one" / "report.html").read_text()
    assert "net_nicsim0" in page
    assert "src=" not in page
    assert "<script" not in page

    late = figures["the last connection ended after its timeout"]
    late["value"] = late["value"] / 10
    report["tests"]["hw-tests/test_start.py::test_a_port_counts_from_its_start"]["outcome"] = "passed"
    (tmp_path / "earlier.json").write_text(json.dumps(report))
    done = run(*arguments, "--scale", "200", "--compare", str(tmp_path / "earlier.json"), "--lab-report", str(tmp_path))
    passed(done)
    assert "regression: the last connection ended after its timeout" in done.stdout
    assert "<h2>Since" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_passes_what_it_can(profile: str, tmp_path: Path) -> None:
    done = run("--dut", f"nicsim:{profile}", "--lab-report", str(tmp_path))
    assert passed(done) >= PROFILES[profile]


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("steering", ["software", "hardware"])
def test_the_real_driver_passes_what_needs_no_packet(steering: str, tmp_path: Path) -> None:
    done = run("--dut", f"standin:{steering}", "--lab-report", str(tmp_path))
    if "the stand-in cannot run here" in words(done):
        pytest.skip(words(done).split("ERROR: ")[-1].splitlines()[0])
    assert passed(done) >= 28
    assert "the stand-in moves no packet" in done.stdout


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (999.9, "1000"), (1024, "1024"), (12345, "12.3 k"), (1234567, "1.23 M"), (9876.5, "9876")],
)
def test_figures_are_written_as_people_read_them(value: float, text: str) -> None:
    assert number(value) == text
