"""`ctoffload capabilities` for ports that are emulated, stood in for, absent, or crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctoffload_dpdk.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden")
SWITCH = ("--vdev", "net_nicsim0,switch=1", "--vdev", "net_nicsim1,switch=1")

pytestmark = pytest.mark.usefixtures("emulated")


@pytest.fixture(scope="module")
def emulated() -> None:
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415

    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(f"the emulated NIC is not there: {error}")


@pytest.fixture
def shown(capfd: Any) -> Any:
    """Runs the command; returns status, what it printed, what it complained."""

    def show(*arguments: str) -> tuple[int, str, str]:
        status = run(["capabilities", *arguments])
        return status, *capfd.readouterr()

    return show


def plan_of(report: dict[str, Any], proto: str, family: str = "ipv4", *, nat: bool = False) -> dict[str, Any]:
    (pair,) = report["pairs"]
    (found,) = [p for p in pair["plans"] if (p["proto"], p["family"], p["nat"]) == (proto, family, nat)]
    return found


def capability(port: dict[str, Any], name: str, domain: str) -> dict[str, Any]:
    (found,) = [c for c in port["capabilities"] if (c["name"], c["domain"]) == (name, domain)]
    return found


def test_two_emulated_ports_are_shown_with_their_capabilities_and_plans(shown):
    status, out, err = shown(*SWITCH)
    assert (status, err) == (0, "")
    assert out.startswith("net_nicsim0: port 0, driver net_nicsim, switch 1\n")
    assert "\n  rules in the NIC's switch\n    yes rules " in out
    assert "\nplans: net_nicsim0 and net_nicsim1 (same switch)\n" in out
    assert "    ct by transfer, rules sync, last used from age\n" in out
    assert "      not ct: a CONNTRACK context is for TCP alone\n" in out
    assert "left in the NIC" not in out


def test_as_json_every_capability_has_evidence_and_every_plan_its_refusals(shown):
    status, out, _ = shown(*SWITCH, "--json")
    report = json.loads(out)
    assert (status, report["schema"], report["left"]) == (0, 1, [])
    for port in report["ports"]:
        assert all(c["evidence"] and c["has"] in (True, False) for c in port["capabilities"])
        assert port["rules"]["created"] == port["rules"]["destroyed"] > 50
        assert port["objects"]["created"] == port["objects"]["destroyed"] > 5
    assert plan_of(report, "tcp")["plan"] == "ct"
    translated = plan_of(report, "tcp", nat=True)
    assert (translated["plan"], translated["fate"], translated["last_used"]) == ("age", "transfer", "age")
    assert "tell software by an id" in translated["refusals"][0]["why"]
    assert json.loads(shown(*SWITCH, "--pretty")[1]).keys() == report.keys()


def test_one_port_is_joined_with_itself_by_its_hairpin(shown):
    report = json.loads(shown("--vdev", "net_nicsim0", "-j")[1])
    assert capability(report["ports"][0], "hairpin", "port")["has"]
    assert plan_of(report, "udp")["fate"] == "hairpin"


def test_a_port_can_be_named_among_the_devices_made(shown):
    report = json.loads(shown("net_failsafe0", "--vdev", "net_failsafe0,dev(net_nicsim0)", "-j")[1])
    assert [port["name"] for port in report["ports"]] == ["net_failsafe0"]
    assert "rte_flow_query failed" in capability(report["ports"][0], "age", "ingress")["evidence"]
    assert plan_of(report, "tcp")["plan"] == "mark"


def test_a_driver_without_rules_is_declined_in_its_own_words(shown):
    status, out, _ = shown("--vdev", "net_null0")
    assert status == 0
    assert "rules for what it receives: none, rte_flow_create refused the rule: Function not implemented" in out
    assert "none: connections stay in software" in out


@pytest.mark.parametrize(
    ("flag", "proto", "plan", "why"),
    [
        ("--ct-offload-plan=count", "udp", "count", ""),
        ("--ct-offload-plan=ct", "udp", "none", "TCP alone"),
        ("--ct-offload-plan=none", "tcp", "none", "the setting says"),
        ("--ct-offload-flow-engine=async", "tcp", "ct", ""),
        ("--ct-offload-fate=transfer", "udp", "age", "age by transfer"),
        ("--ct-offload-fate=hairpin", "udp", "age", "age by hairpin"),
        ("--ct-offload-fate=queue", "tcp", "mark", "mark by queue"),
    ],
)
def test_a_setting_decides_where_it_can_and_is_refused_with_the_reason_where_not(shown, flag, proto, plan, why):
    found = plan_of(json.loads(shown(*SWITCH, flag, "-j")[1]), proto)
    assert found["plan"] == plan
    assert why in found["text"]


def test_rules_through_queues_are_asked_for_through_queues(shown):
    report = json.loads(shown(*SWITCH, "--ct-offload-flow-engine=async", "-j")[1])
    assert {port["engine"] for port in report["ports"]} == {"async"}
    assert plan_of(report, "tcp")["engine"] == "async"


def test_the_sizes_of_the_settings_are_set_aside(shown):
    sizes = ("--ct-offload-counters=512", "--ct-offload-contexts=64", "--ct-offload-flow-queues=3")
    report = json.loads(shown("--vdev", "net_nicsim0", *sizes, "-j")[1])
    aside = report["ports"][0]["set_aside"]
    assert (aside["counters"], aside["contexts"], aside["queues"]) == (512, 64, 3 + 1)


@pytest.mark.parametrize(
    ("arguments", "status", "first", "second"),
    [
        ([], 2, "name a PORT", "see: ctoffload capabilities --help"),
        (["0000:fe:1f.7"], 1, "there is no PCI device 0000:fe:1f.7", "network devices here:"),
        (["fe:1f.7"], 1, "there is no PCI device 0000:fe:1f.7", "network devices here:"),
        (["nonsense"], 2, "nonsense is neither a PCI address, nor", "name a port as 0000:03:00.0"),
        (["lo"], 1, "lo is not a PCI device", "net_af_packet0,iface=lo"),
        (["--all"], 1, "DPDK found no port", "network devices here:"),
        (["--vdev", "net_nosuch0"], 1, "net_nosuch0", "the name of a driver that is installed"),
        (["--vdev", "net_nicsim0,speed=1"], 1, "net_nicsim", "installed"),
        (
            ["--vdev", "net_null0", "--ct-offload-plan=best"],
            1,
            "ct-offload-plan cannot be 'best'",
            "it may be auto, ct",
        ),
        (
            ["--vdev", "net_null0", "--ct-offload-plan=age", "--ct-offload-fate=queue"],
            1,
            "ct-offload-plan=age and ct-offload-fate=queue contradict each other",
            "change one of them",
        ),
    ],
)
def test_a_mistake_is_said_with_how_to_mend_it(shown, arguments, status, first, second):
    got, out, err = shown(*arguments)
    assert (got, out) == (status, "")
    assert first in err.splitlines()[0]
    assert err.splitlines()[1].startswith("  hint: ")
    assert second in err.splitlines()[1]
    assert "Traceback" not in err


def pci_tree(directory: Path, driver: str) -> str:
    """A directory like sysfs with one ConnectX-6 Dx that is not there, bound to this kernel driver."""
    device = directory / "devices" / "0000:fe:00.0"
    device.mkdir(parents=True)
    (directory / "drivers" / driver).mkdir(parents=True)
    (device / "driver").symlink_to(directory / "drivers" / driver)
    texts = {"vendor": "0x15b3", "device": "0x101d", "class": "0x020000", "resource": "0x0 0x0 0x0\n" * 6}
    texts |= {"subsystem_vendor": "0x15b3", "subsystem_device": "0x0001", "max_vfs": "0", "numa_node": "0"}
    for name, text in texts.items():
        (device / name).write_text(f"{text}\n")
    return str(directory / "devices")


@pytest.mark.parametrize(
    ("driver", "hint"),
    [
        ("vfio-pci", "bind 0000:fe:00.0 to mlx5_core, not to vfio-pci"),
        ("mlx5_core", "mlx5 needs mlx5_core and ib_uverbs loaded"),
    ],
)
def test_a_device_that_no_driver_takes_is_said_with_the_reason(shown, tmp_path, monkeypatch, driver, hint):
    monkeypatch.setenv("SYSFS_PCI_DEVICES", pci_tree(tmp_path, driver))
    status, out, err = shown("fe:00.0")
    assert (status, out) == (1, "")
    assert "0000:fe:00.0" in err.splitlines()[0]
    assert hint in err.splitlines()[1]


@pytest.mark.skipif(os.environ.get("CTOFFLOAD_SANITIZED") == "1", reason="a sanitizer ends a crash in its own way")
def test_a_driver_that_crashes_is_named_with_the_signal_and_the_question(shown, tmp_path, monkeypatch):
    source, library = tmp_path / "crash.c", tmp_path / "crash.so"
    source.write_text("int rte_flow_query(void) { *(volatile int *) 8 = 0; return 0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    status, out, err = shown("--vdev", "net_nicsim0")
    assert (status, out) == (1, "")
    first, second = err.splitlines()[:2]
    assert "was ended by SIGSEGV while net_nicsim0 (net_nicsim) was asked whether it can count packets" in first
    assert "the driver is at fault" in second


# The real mlx5 driver over the stand-in -------------------------------------------------------------------------------


def standin_text(hardware: bool, *ports: str, options: str = "representor=vf[0-1]") -> str:
    """What the command prints for the uplink and two VFs."""
    sys.path.insert(0, str(ROOT))
    from standin.mlx5 import Standin, Steering  # noqa: PLC0415
    from standin.mlx5.sysfs import PCI_ADDRESS  # noqa: PLC0415

    with Standin(Steering.HARDWARE if hardware else Steering.SOFTWARE, n_ports=3) as nic:
        device = f"{PCI_ADDRESS},dv_flow_en={int(nic.steering)},{options}"
        command = [sys.executable, "-P", "-m", "ctoffload_dpdk.cli.main", "capabilities", device, *ports]
        # The emulated bus has the device; the machine's own has not.
        done = subprocess.run(
            nic.command(command), env=nic.environment(), capture_output=True, text=True, check=False, timeout=100
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def standin_available() -> None:
    sys.path.insert(0, str(ROOT))
    from standin.mlx5 import why_unavailable  # noqa: PLC0415

    if reason := why_unavailable():
        pytest.skip(f"the mlx5 stand-in cannot run here: {reason}")


@pytest.mark.parametrize("steering", ["software", "hardware"])
def test_what_mlx5_can_do_is_as_recorded(standin_available, steering):
    """python tests/cli/test_capabilities.py writes the recorded text anew."""
    text = standin_text(steering == "hardware")
    assert text == recorded(steering).read_text()


def recorded(steering: str) -> Path:
    """What the driver of this release says, where that is not what 22.11's does."""
    from build_support import dpdk  # noqa: PLC0415 - standin_available put the tree on the path

    own = GOLDEN / f"capabilities-{steering}-{dpdk.version().rpartition('.')[0]}.txt"
    return own if own.is_file() else GOLDEN / f"capabilities-{steering}.txt"


if __name__ == "__main__":
    os.chdir(ROOT)
    GOLDEN.mkdir(exist_ok=True)
    for steering in ("software", "hardware"):
        (GOLDEN / f"capabilities-{steering}.txt").write_text(standin_text(steering == "hardware"))
