"""EAL arguments and version rules: words only, no EAL."""

from __future__ import annotations

import pytest

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.dpdk.args import Memory, eal_args, preflight
from ctoffload_dpdk.dpdk.version import mismatch


def test_without_hugepages_nothing_is_shared_and_no_device_is_probed():
    args = eal_args(memory_mb=64, vdevs=["net_ring0", "net_null0"])
    assert args == ["-l", "0", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--no-telemetry",
                    "--vdev", "net_ring0", "--vdev", "net_null0"]  # fmt: skip


def test_in_memory_is_never_joined_with_no_huge():
    args = eal_args(Memory.IN_MEMORY)
    assert "--in-memory" in args and "--no-huge" not in args and "--no-shconf" not in args


def test_a_device_with_arguments_lets_pci_be_probed():
    args = eal_args("hugepages", allow=["0000:03:00.0,dv_flow_en=2"], telemetry=True, file_prefix="lab")
    assert args[-2:] == ["-a", "0000:03:00.0,dv_flow_en=2"]
    assert not {"--no-pci", "--no-huge", "--no-telemetry"} & set(args)
    assert args[args.index("--file-prefix") + 1] == "lab"


@pytest.mark.parametrize("bad", [["-m", 64], ["a\0b"]], ids=["number", "nul"])
def test_what_is_no_argument_is_refused(bad):
    with pytest.raises(UsageError):
        preflight(bad, (22, 11))


def test_no_huge_with_in_memory_is_refused_only_where_dpdk_refuses_it():
    with pytest.raises(UsageError, match=r"22\.11"):
        preflight(["--no-huge", "--in-memory"], (22, 11))
    preflight(["--no-huge", "--in-memory"], (25, 11))


@pytest.mark.parametrize(
    ("compiled", "running", "fits"),
    [
        ((22, 11), (22, 11), True),
        ((22, 11), (23, 7), True),
        ((23, 7), (22, 11), False),
        ((22, 11), (23, 11), False),
        ((24, 11), (25, 7), True),
        ((25, 7), (25, 11), False),
        ((25, 11), (26, 7), True),
    ],
)
def test_a_module_fits_newer_releases_of_its_abi_year(compiled, running, fits):
    assert (mismatch(compiled, running) == "") is fits
