"""Everything at once, in threads, for a while: changing load, faults, the switch, commands; then the account closes.

A minute in `make test`, beside the tests of other files, and 10 minutes in `make test-all`.
CTOFFLOAD_SOAK_S says otherwise.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from ctoffload_dpdk.control import commands
from ctoffload_dpdk.control.command import Part
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.demo.lab import RX_RING
from ctoffload_dpdk.demo.rates import A, B, frames
from ctoffload_dpdk.engine import PROTOCOL_GROUPS, numbers
from ctoffload_dpdk.settings import Settings

SOAK_S = float(os.environ.get("CTOFFLOAD_SOAK_S", "60"))
CONNECTIONS = 2000
SETTINGS = Settings(ct_offload_timeout_udp_first=1, ct_offload_timeout_udp_single=1, ct_offload_timeout_udp_multiple=2)

pytestmark = [pytest.mark.eal, pytest.mark.timeout(SOAK_S + 120)]


class Soak:
    """A lab whose loops and workers run in threads, and what is done to it."""

    def __init__(self, lab):
        self.lab = lab
        self.system = System(lab.engine)
        self.dice = np.random.default_rng(7)
        self.done = {
            "packets": 0,
            "switched": 0,
            "flushed": 0,
            "dumped": 0,
            "events": 0,
            "in_hardware": 0,
            "audited": 0,
        }
        self.heard = self.system.listen()

    def load(self, share):
        """Packets of some connections, there and back."""
        chosen = np.flatnonzero(self.dice.random(CONNECTIONS) < share).astype(np.uint32)
        for side in (A, B):
            packets = frames(chosen, reply=side == B)
            for first in range(0, len(packets), RX_RING):
                self.lab.nics[side].wire_send(packets.slice(first, first + RX_RING))
                for nic in self.lab.nics:
                    nic.wire_receive()
            self.done["packets"] += len(packets)

    def faults(self):
        """The NIC refuses some rules, or none."""
        nic = self.lab.nics[int(self.dice.integers(2))]
        if self.dice.random() < 0.5:
            nic.fail_randomly("create", 0.2, seed=int(self.dice.integers(1, 1000)))
            nic.fail_randomly("query", 0.05, seed=int(self.dice.integers(1, 1000)))
        else:
            nic.clear_faults()

    def switch(self):
        """Off or on: all of it, or one port."""
        on = bool(self.dice.random() < 0.7)
        if self.dice.random() < 0.5:
            self.lab.engine.layer.set_global_cfg({"hw-offload": "true" if on else "false"})
        else:
            commands.document(self.system, "offload", action="on" if on else "off", port="net_nicsim1")
        self.done["switched"] += 1

    def ask(self):
        """What people ask a running engine."""
        for part in commands.begin(self.system, "dump", {"format": "json"}):
            self.done["dumped"] += part.n if isinstance(part, Part) else 0
        self.done["in_hardware"] += commands.document(self.system, "count", offloaded="yes")["connections"]
        commands.document(self.system, "stats")
        rows, _ = self.heard.take()
        self.done["events"] += 0 if rows is None else len(rows)
        if self.dice.random() < 0.1:
            self.done["flushed"] += commands.document(self.system, "flush", src=f"10.0.{self.dice.integers(8)}.0/24")[
                "flushed"
            ]

    def audit(self):
        """The numbers kept by protocol are those of a walk, while there is none that is due and passed over."""
        for tracker in self.system.trackers():
            with tracker.held():
                rows, (kept, _) = tracker.connections(), numbers(tracker)
                assert kept.sum() == tracker.count
                if len(rows) == tracker.count:
                    assert kept[PROTOCOL_GROUPS.index("udp")] == (rows["proto"] == 17).sum()
                    self.done["audited"] += 1

    def run(self, seconds):
        end = time.monotonic() + seconds
        turn = 0
        while time.monotonic() < end:
            turn += 1
            self.load(float(self.dice.choice([0.02, 0.1, 0.5])))
            if turn % 7 == 0:
                self.faults()
            if turn % 11 == 0:
                self.switch()
            if turn % 5 == 0:
                self.ask()
                self.audit()
            time.sleep(0.01)
        self.heard.__exit__(None, None, None)


def test_the_account_closes_after_load_faults_the_switch_and_commands_all_at_once(make_lab):
    lab = make_lab(SETTINGS, clock="real")
    lab.engine.start()
    soak = Soak(lab)
    soak.run(SOAK_S)
    for nic in lab.nics:
        nic.clear_faults()
    # Nobody speaks any more: what is left expires, in hardware or not.
    end = time.monotonic() + 30
    while lab.engine.connections().live:
        assert time.monotonic() < end, lab.engine.connections()
        time.sleep(0.05)
    lab.now_ms = time.monotonic_ns() // 1_000_000
    lab.engine.drain(lab.now_ms)
    lab.engine.stop()
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert lab.account().problems() == []
    assert min(soak.done.values()) > 0, soak.done
    connections = lab.engine.connections()
    assert connections.expired > 0
    assert connections.flushed == soak.done["flushed"]
