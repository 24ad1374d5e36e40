"""ctoffload doctor on machines made of files, as /sys, /proc, /dev and /etc show them, and on this one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ctoffload_dpdk.base.errors import PortError
from ctoffload_dpdk.cli import main
from ctoffload_dpdk.cli.checks.finding import Finding, Verdict
from ctoffload_dpdk.cli.checks.machine import Machine
from ctoffload_dpdk.cli.checks.rights import cores
from ctoffload_dpdk.cli.checks.software import Software, installed
from ctoffload_dpdk.cli.doctor import examine
from ctoffload_dpdk.dpdk.pmdinfo import PciId

SWS = Software("22.11.11", frozenset({"net_mlx5", "net_ice"}), ((PciId(0x8086, 0x1592, None, None), "net_ice"),))
HWS = Software("25.11.0", SWS.drivers, SWS.served)
PF, VF = "0000:03:00.0", "0000:03:00.2"


class Tree:
    """A machine in files: a lab host where all is well, until a test takes something away."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file("proc/self/status", "Uid:\t0\nCpus_allowed_list:\t0-3\nCapEff:\t000001ffffffffff")
        self.file("proc/self/limits", "Max locked memory         unlimited            unlimited            bytes")
        self.file("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw,relatime 0 0")
        self.file("proc/cpuinfo", "vendor_id\t: AuthenticAMD")
        for node, cpus in (("node0", "0-3"), ("node1", "4-7")):
            self.file(f"sys/devices/system/node/{node}/cpulist", cpus)
            self.file(f"sys/devices/system/node/{node}/hugepages/hugepages-2048kB/nr_hugepages", "1024")
        self.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "2048")
        self.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "2000")

    def file(self, name: str, text: str = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def answer(self, command: str, content: object) -> None:
        self.file(f"commands/{command.replace('/', '_')}", json.dumps(content))

    def nic(self, address: str, vendor: str, model: str, driver: str, *interfaces: str, node: int = 0) -> str:
        place = f"sys/bus/pci/devices/{address}"
        for name, text in (("class", "0x020000"), ("vendor", vendor), ("device", model), ("numa_node", str(node))):
            self.file(f"{place}/{name}", text)
        if driver:
            self.link(f"{place}/driver", f"../../../bus/pci/drivers/{driver}")
        for name in interfaces:
            self.file(f"{place}/net/{name}/ifindex", "3")
            self.file(f"sys/class/net/{name}/mtu", "1500")
            self.file(f"sys/class/net/{name}/operstate", "up")
        return place

    def connectx(self, address: str = PF, model: str = "0x101d", firmware: str = "22.39.1002", name: str = "ens1f0np0",
                 number: int = 0) -> str:  # fmt: skip
        place = self.nic(address, "0x15b3", model, "mlx5_core", name)
        for module in ("mlx5_core", "mlx5_ib", "ib_uverbs"):
            (self.root / "sys/module" / module).mkdir(parents=True, exist_ok=True)
        self.file(f"{place}/infiniband/mlx5_{number}/fw_ver", firmware)
        self.file(f"{place}/infiniband_verbs/uverbs{number}/dev", "231:192")
        self.file(f"{place}/sriov_numvfs", "0")
        self.file(f"dev/infiniband/uverbs{number}")
        self.file("etc/libibverbs.d/mlx5.driver", "driver mlx5")
        self.file("usr/lib/x86_64-linux-gnu/libmlx5.so.1.24.44.0")
        self.eswitch(address, "legacy")
        return place

    def eswitch(self, address: str, mode: str) -> None:
        handle = f"pci/{address}"
        self.answer(f"devlink -j dev eswitch show {handle}", {"dev": {handle: {"mode": mode, "inline-mode": "none"}}})

    def virtual(self, trusted: bool) -> None:
        self.connectx(VF, "0x101e", name="ens1f0v0", number=1)
        self.link(f"sys/bus/pci/devices/{VF}/physfn", f"../{PF}")
        self.link(f"sys/bus/pci/devices/{PF}/virtfn0", f"../{VF}")
        self.answer("ip -j link show dev ens1f0np0", [{"ifname": "ens1f0np0", "vfinfo_list": [
            {"vf": 0, "spoofchk": False, "trust": trusted}]}])  # fmt: skip

    def examined(self, *ports: str, software: Software = SWS) -> list[Finding]:
        return examine(Machine(self.root), software, ports)

    def not_ok(self, *ports: str, software: Software = SWS) -> dict[str, Finding]:
        return {f.check: f for f in self.examined(*ports, software=software) if f.verdict != Verdict.OK}


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_lab_host_with_a_connectx_in_order_has_nothing_to_mend(tree):
    tree.connectx()
    assert tree.not_ok() == {}
    checked = {f.check for f in tree.examined()}
    assert {
        "hugepages",
        "memlock",
        "capabilities",
        "kernel-driver",
        "rdma-device",
        "uverbs",
        "verbs-provider",
    } <= checked
    assert {"firmware", "eswitch", "dpdk-driver", "model", "mtu", "link", "numa"} <= checked


def test_a_machine_without_any_nic_is_fit_for_the_emulated_one(tree):
    assert tree.not_ok() == {}
    assert next(f for f in tree.examined() if f.check == "network-devices").verdict == Verdict.OK


@pytest.mark.parametrize(
    ("bound", "mend"),
    [
        ("vfio-pci", f"dpdk-devbind.py --bind=mlx5_core {PF}"),
        ("", f"dpdk-devbind.py --bind=mlx5_core {PF}"),
        ("mlx4_core", f"dpdk-devbind.py --bind=mlx5_core {PF}"),
    ],
)
def test_a_connectx_belongs_to_mlx5_core(tree, bound, mend):
    place = tree.connectx()
    tree.remove(f"{place}/driver")
    if bound:
        tree.link(f"{place}/driver", f"../{bound}")
    found = tree.not_ok()["kernel-driver"]
    assert (found.verdict, found.mend, found.device) == (Verdict.FAIL, mend, PF)
    (tree.root / "sys/module/mlx5_core").rmdir()
    assert tree.not_ok()["kernel-driver"].mend in {mend, f"modprobe mlx5_core && {mend}"}


def test_what_verbs_lack_is_named_with_its_command(tree):
    tree.connectx()
    tree.remove("etc/libibverbs.d/mlx5.driver")
    assert tree.not_ok()["verbs-provider"].mend == "apt-get install ibverbs-providers"
    tree.remove("dev/infiniband/uverbs0")
    assert "docker run --device=/dev/infiniband" in tree.not_ok()["uverbs"].mend
    (tree.root / "sys/module/ib_uverbs").rmdir()
    found = tree.not_ok()
    assert found["rdma-device"].mend == "modprobe -a ib_uverbs"
    assert "uverbs" not in found


def test_a_device_file_that_may_not_be_opened_fails(tree, monkeypatch):
    tree.connectx()
    (tree.root / "dev/infiniband/uverbs0").chmod(0)
    # Root opens whatever there is: what the kernel would say to others is what the file's mode says.
    monkeypatch.setattr(os, "access", lambda path, mode: bool(os.stat(path).st_mode & 0o600))  # noqa: PTH116
    assert "chmod" in tree.not_ok()["uverbs"].mend


@pytest.mark.parametrize(
    ("firmware", "software", "devargs", "verdict"),
    [
        ("22.39.1002", SWS, "", Verdict.OK),
        ("22.35.1012", HWS, "", Verdict.OK),
        ("22.35.1011", SWS, "", Verdict.OK),
        ("22.35.1011", HWS, "", Verdict.FAIL),
        ("22.35.1011", SWS, "dv_flow_en=2", Verdict.FAIL),
        ("22.35.1011", HWS, "dv_flow_en=1", Verdict.OK),
        ("22.35.1011", HWS, "dv_flow_en=\u00b2", Verdict.FAIL),
        ("", SWS, "", Verdict.UNKNOWN),
        ("what?", SWS, "", Verdict.UNKNOWN),
    ],
)
def test_firmware_is_judged_by_the_steering_that_will_be_used(tree, firmware, software, devargs, verdict):
    tree.connectx(firmware=firmware)
    found = tree.examined(f"{PF},{devargs}" if devargs else PF, software=software)
    assert next(f for f in found if f.check == "firmware").verdict == verdict


def test_legacy_mode_matters_once_there_are_virtual_functions(tree):
    place = tree.connectx()
    tree.file(f"{place}/sriov_numvfs", "2")
    found = tree.not_ok()["eswitch"]
    assert (found.verdict, found.mend) == (Verdict.WARN, f"devlink dev eswitch set pci/{PF} mode switchdev")
    tree.eswitch(PF, "switchdev")
    assert "eswitch" not in tree.not_ok()
    tree.remove(f"commands/devlink -j dev eswitch show pci_{PF}")
    assert tree.not_ok()["eswitch"].verdict == Verdict.UNKNOWN


@pytest.mark.parametrize("trusted", [True, False])
def test_a_virtual_function_must_be_trusted(tree, trusted):
    tree.connectx()
    tree.virtual(trusted)
    found = tree.not_ok()
    if trusted:
        assert "vf-trust" not in found
    else:
        assert found["vf-trust"].verdict == Verdict.FAIL
        assert found["vf-trust"].mend == "ip link set dev ens1f0np0 vf 0 trust on"


def test_in_a_guest_trust_cannot_be_seen_and_that_is_said(tree):
    tree.connectx(VF, "0x101e")
    assert tree.not_ok()["vf-trust"].verdict == Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("devargs", "says"),
    [
        ("dv_flow_en=0", "no CONNTRACK"),
        ("dv_flow_en=2,dv_esw_en=0", "forbids"),
        ("representor=vf[0-1]", "needs the E-Switch in mode switchdev"),
    ],
)
def test_devargs_that_stand_against_offload_are_named(tree, devargs, says):
    tree.connectx()
    assert says in tree.not_ok(f"{PF},{devargs}")["devargs"].says


def test_an_older_card_cannot_do_conntrack(tree):
    tree.connectx(model="0x1017")
    assert "ConnectX-5" in tree.not_ok()["model"].says
    tree.connectx(model="0x1fff")
    assert tree.not_ok()["model"].verdict == Verdict.UNKNOWN


def test_hugepages_none_few_unmounted_and_missing_at_a_node(tree):
    tree.file("sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "0")
    assert "node1" in tree.not_ok()["hugepages-of-node"].says
    tree.file("proc/mounts", "proc /proc proc rw 0 0")
    assert "mount -t hugetlbfs" in tree.not_ok()["hugetlbfs"].mend
    tree.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "10")
    assert "only 20 MB" in tree.not_ok()["hugepages"].says
    tree.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0")
    assert "echo 256 >" in tree.not_ok()["hugepages"].mend


def test_rights_and_locked_memory(tree):
    tree.file("proc/self/status", "CapEff:\t0000000000002000\nCpus_allowed_list:\t0-1")
    tree.file("proc/self/limits", "Max locked memory         65536                65536                bytes")
    found = tree.not_ok()
    assert "CAP_NET_ADMIN" in found["capabilities"].says
    assert "CAP_NET_RAW" not in found["capabilities"].says
    assert "only 64 KB" in found["memlock"].says


def test_a_card_at_a_node_whose_cores_may_not_be_used(tree):
    place = tree.connectx()
    tree.file(f"{place}/numa_node", "1")
    assert tree.not_ok()["numa"].mend == "taskset -c 4-7 ctoffload run"


def test_ports_with_different_mtu_and_a_link_that_is_down(tree):
    tree.connectx()
    tree.connectx("0000:03:00.1", name="ens1f1np1", number=1)
    tree.file("sys/class/net/ens1f1np1/mtu", "9000")
    tree.file("sys/class/net/ens1f1np1/operstate", "down")
    found = tree.not_ok()
    assert found["mtu"].mend == "ip link set dev ens1f0np0 mtu 9000"
    assert found["link"].mend == "ip link set dev ens1f1np1 up"


def test_a_card_in_a_narrow_slot(tree):
    place = tree.connectx()
    tree.file(f"{place}/current_link_width", "4")
    tree.file(f"{place}/max_link_width", "16")
    assert "4 lanes" in tree.not_ok()["pcie"].says


def test_another_nic_is_left_to_the_kernel_unless_it_is_asked_for(tree):
    tree.nic("0000:04:00.0", "0x8086", "0x1592", "ice", "ens2")
    assert tree.not_ok() == {}
    found = tree.not_ok("ens2")["kernel-driver"]
    assert found.verdict == Verdict.FAIL
    assert found.mend == "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:04:00.0"
    assert "ens2 is up" in found.says


def test_vfio_wants_an_iommu_and_its_device_file(tree):
    place = tree.nic("0000:04:00.0", "0x8086", "0x1592", "vfio-pci")
    assert "amd_iommu=on" in tree.not_ok()["iommu"].mend
    tree.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
    assert tree.not_ok()["iommu"].verdict == Verdict.WARN
    tree.link(f"{place}/iommu_group", "../../../kernel/iommu_groups/17")
    assert "/dev/vfio/17 is not there" in tree.not_ok()["iommu"].says
    tree.file("dev/vfio/17")
    assert tree.not_ok() == {}
    tree.link(f"{place}/driver", "../uio_pci_generic")
    assert tree.not_ok()["kernel-driver"].verdict == Verdict.WARN


def test_a_nic_that_dpdk_does_not_know(tree):
    tree.nic("0000:05:00.0", "0x1234", "0x5678", "e9000")
    assert tree.not_ok() == {}
    assert "1234:5678" in tree.not_ok("05:00.0")["dpdk-driver"].mend


def test_missing_drivers_of_dpdk(tree):
    tree.connectx()
    assert tree.not_ok(software=Software("22.11.11"))["dpdk-driver"].mend == "apt-get install librte-meta-net"
    assert tree.not_ok(software=Software(""))["dpdk"].verdict == Verdict.FAIL


def test_an_unknown_port_is_named_with_those_there_are(tree):
    tree.connectx()
    with pytest.raises(PortError, match="no network device eth9") as raised:
        tree.examined("eth9")
    assert PF in raised.value.hint


def test_whatever_is_not_ok_has_its_command(tree):
    tree.connectx(firmware="", model="0x1017")
    tree.connectx(VF, "0x101e")
    tree.nic("0000:04:00.0", "0x8086", "0x1592", "vfio-pci")
    tree.file("proc/self/limits", "")
    tree.file("proc/self/status", "")
    found = [f for f in tree.examined() if f.verdict != Verdict.OK]
    assert len(found) > 5
    assert all(f.mend for f in found)


@pytest.mark.parametrize("junk", ["", "\0\0\0", "9" * 400, "0x", "-", "\u20ac" * 100])
def test_files_with_nonsense_are_no_bug(tree, junk):
    place = tree.connectx()
    tree.virtual(trusted=True)
    for path in sorted(tree.root.rglob("*")):
        if path.is_file() and path.name != "class" and not path.is_symlink():
            path.write_text(junk)
    assert tree.examined()
    assert (tree.root / place).is_dir()


def test_nothing_is_modified_and_the_exit_status_says_whether_it_is_fit(tree, capsys):
    tree.connectx()
    before = {path: path.lstat().st_mtime_ns for path in tree.root.rglob("*")}
    assert main.run(["doctor", "--root", str(tree.root), "-j"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fit"] is True
    assert {f["device"] for f in said["findings"] if "device" in f} == {PF}
    tree.remove("dev/infiniband/uverbs0")
    before.pop(tree.root / "dev/infiniband/uverbs0")
    assert main.run(["doctor", "--root", str(tree.root), "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "uverbs" in out
    assert "docker run" in out
    assert "ok      " not in out
    after = {path: path.lstat().st_mtime_ns for path in tree.root.rglob("*")}
    assert {p: t for p, t in after.items() if p.is_file()} == {p: t for p, t in before.items() if p.is_file()}


def test_this_machine_can_be_examined(capsys):
    assert main.run(["doctor", "-j"]) in {0, 1}
    said = json.loads(capsys.readouterr().out)
    assert said["dpdk"] == installed().version
    assert {"dpdk", "hugepages", "memlock", "capabilities"} <= {f["check"] for f in said["findings"]}


def test_core_lists_are_read_as_the_kernel_writes_them():
    assert cores("0-3,8,10-11") == {0, 1, 2, 3, 8, 10, 11}
    assert cores("") == cores("x-y") == set()
