"""A port whose device is pulled out while threads run: its rules are lost, its connections go on; it comes back."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ctoffload_dpdk.cli import daemon_ports
from ctoffload_dpdk.cli.daemon_ports import Ports
from ctoffload_dpdk.cli.devices import Device
from ctoffload_dpdk.demo.lab import PORTS, RX_RING, SWITCH
from ctoffload_dpdk.demo.rates import A, B, frames
from ctoffload_dpdk.engine import Engine
from ctoffload_dpdk.nicsim import Nic, NicsimError, driver_path
from ctoffload_dpdk.settings import Settings

pytestmark = pytest.mark.eal("--no-pci --no-huge -m 300 --no-shconf --no-telemetry")


def until(holds, what):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_a_vanished_port_is_taken_out_and_taken_in_when_it_is_back(eal, monkeypatch, caplog):
    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    pool = eal.mempool(4095)
    nics = [Nic.create(eal, name, switch=SWITCH, capacity=4096) for name in PORTS]
    engine = Engine(eal, Settings(), now_ms=time.monotonic_ns() // 1_000_000)
    ports = Ports(eal, engine, pool, [Device(name, "", False) for name in PORTS])
    ports.add_all()
    engine.start()
    chosen = np.arange(RX_RING, dtype=np.uint32)
    for side in (A, B):
        nics[side].wire_send(frames(chosen, reply=side == B))
        until(lambda n=RX_RING * (side + 1): engine.packets().host_tx >= n, "packets did not come through")
    until(lambda: engine.provider.stats().connections == RX_RING, "the connections did not go in")
    nics[B].unplug()

    def is_out():
        ports.look()
        return not ports.as_rows()[1]["present"]

    until(is_out, "the pulled port is still there")
    assert ports.as_rows()[1]["why"] == "its device vanished"
    stats = engine.provider.stats()
    assert stats.rules_live == stats.rules_static
    assert engine.connections().live == RX_RING
    monkeypatch.setattr(daemon_ports, "RETRY_S", 0.05)
    ports.look()
    assert not ports.as_rows()[1]["present"]

    nics[B] = Nic.create(eal, PORTS[B], switch=SWITCH, capacity=4096)

    def is_back():
        ports.look()
        return ports.as_rows()[1]["present"]

    until(is_back, "the port that came back was not taken in")
    assert f"port {PORTS[B]} is back" in caplog.text
    before = engine.packets().host_tx
    for side in (A, B):
        nics[side].wire_send(frames(chosen, reply=side == B))
        until(
            lambda n=before + RX_RING * (side + 1): engine.packets().host_tx >= n, "packets did not come through again"
        )
    until(lambda: engine.provider.stats().connections == RX_RING, "the connections did not go in again")
    assert engine.connections().live == RX_RING
    assert engine.threads.are_alive()
    ports.close()
    engine.close()
