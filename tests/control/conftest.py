"""A lab per test, on the emulated NIC, and its control socket."""

import pytest
from engine_labs import lab, make_lab
from serving import Serving

from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.control.unixctl import UnixctlServer

__all__ = ["lab", "make_lab"]


@pytest.fixture
def serving(lab, tmp_path):
    """The control socket of the lab's engine, served."""
    serving = Serving(Server(System(lab.engine), tmp_path / "control.sock"))
    yield serving
    serving.close()


@pytest.fixture
def unixctl_server(lab, tmp_path):
    """The unixctl socket of the lab's engine, served."""
    serving = Serving(UnixctlServer(System(lab.engine), tmp_path / "ctoffload.ctl"))
    yield serving
    serving.close()
