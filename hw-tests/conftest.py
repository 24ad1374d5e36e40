"""The device under test: opened once, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ctoffload_dpdk import nicsim
from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.dpdk import Eal, Port

EMULATED = "net_nicsim"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lab")
    group.addoption("--dut", metavar="DEVICE", help="PCI address of the NIC under test, or net_nicsim0")
    group.addoption("--eal-memory-mb", type=int, default=512, help="memory for DPDK (default: 512)")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--dut"):
        raise pytest.UsageError("name the NIC under test: --dut 0000:08:00.0, or --dut net_nicsim0")


@pytest.fixture(scope="session")
def eal(pytestconfig: pytest.Config) -> Iterator[Eal]:
    device = str(pytestconfig.getoption("--dut"))
    memory = ["-m", str(pytestconfig.getoption("--eal-memory-mb"))]
    try:
        if device.startswith(EMULATED):
            nicsim.load()
            args = ["--no-pci", "--no-huge", "--no-shconf", "--vdev", f"{device},clock=manual", *memory]
        else:
            args = ["--file-prefix", "ctoffload-hw-tests", "-a", device, *memory]
        started = Eal.start(args)
    except CtoffloadError as error:
        pytest.exit(str(error), returncode=1)
    with started:
        yield started


@pytest.fixture(scope="session")
def port(eal: Eal, pytestconfig: pytest.Config) -> Iterator[Port]:
    """The port under test, started, with one queue each way."""
    device = str(pytestconfig.getoption("--dut"))
    with eal.mempool(2048) as mempool:
        try:
            found = eal.port(device)
        except CtoffloadError as error:
            pytest.exit(f"{error}", returncode=1)
        with found:
            found.configure()
            found.setup_rx_queue(0, mempool)
            found.setup_tx_queue(0)
            found.start()
            yield found
