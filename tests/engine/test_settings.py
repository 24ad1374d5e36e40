"""Settings that change while the engine runs: from code, and from a real OVSDB by ovs-vsctl."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest
from ovsdb_lab import until

from ctoffload_dpdk.config import OvsdbSource, Watch
from ctoffload_dpdk.settings import Settings
from ctoffload_dpdk.settings.cpus import mask_of

pytestmark = pytest.mark.eal


def test_ovs_vsctl_puts_live_connections_into_the_nic_and_takes_them_out(make_lab, ovsdb):
    lab = make_lab(Settings(hw_offload=False))
    source = OvsdbSource(ovsdb.unix)
    watch = Watch(ovsdb=source)

    def turn():
        source.wait(20)
        if watch.poll():
            assert lab.engine.apply(watch.configuration.settings) == ()
            lab.engine.settle(lab.now_ms)

    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=false")
    until(lambda: watch.configuration.origins["hw-offload"].source == "ovsdb", "nothing was read", turn)
    connections = [lab.tcp() for _ in range(3)]
    empty = lab.rules
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=true")
    until(lambda: lab.rules > empty, "the connections did not go in", turn)
    assert lab.account().problems() == []
    full = lab.rules
    assert full - empty >= 2 * len(connections)
    ovsdb.vsctl("set", "Open_vSwitch", ".", "other_config:hw-offload=false")
    until(lambda: lab.rules < full, "the connections did not come out", turn)
    assert lab.rules == empty
    assert lab.account().problems() == []
    assert lab.engine.connections().live == len(connections)
    watch.close()


def test_what_is_not_live_is_said_to_wait(make_lab):
    lab = make_lab(Settings())
    more = lab.engine.conntrack.capacity + 1
    waiting = lab.engine.apply(Settings(ct_offload_add_budget=7, ct_offload_max_connections=more, ct_offload_rate=3))
    assert sorted(waiting) == ["ct-offload-add-budget", "ct-offload-max-connections"]
    assert lab.engine.conntrack.max_connections == more - 1
    assert lab.engine.layer.eligibility.rate_per_s == 3


def test_strict_windows_and_the_budget_of_reads_change_at_once(make_lab):
    lab = make_lab(Settings())
    engine = lab.engine
    assert (engine.conntrack.strict_windows, engine.layer.window_reads_per_s) == (False, 1000)
    assert engine.apply(Settings(ct_offload_strict_windows=True, ct_offload_context_read_budget=7)) == ()
    assert (engine.conntrack.strict_windows, engine.layer.window_reads_per_s) == (True, 7)


def test_timeouts_and_the_treatment_of_invalid_packets_change_at_once(make_lab):
    lab = make_lab(Settings())
    assert lab.engine.apply(Settings(ct_offload_timeout_udp_single=3, ct_offload_invalid="pass")) == ()
    assert lab.engine.conntrack.timeout_policy()["udp_single"] == 3
    from scapy.all import IP, TCP, Ether  # noqa: PLC0415

    before = lab.engine.packets()
    lab.packet(0, Ether() / IP(src="10.9.9.1", dst="10.9.9.2") / TCP(sport=1, dport=2, flags="R"))
    lab.engine.settle(lab.now_ms)
    after = lab.engine.packets()
    assert after.sw_dropped["invalid"] == before.sw_dropped["invalid"]
    assert after.host_tx == before.host_tx + 1


def cpus_of_loops() -> list[set[int]]:
    """Where the threads of loops may run, by loop."""
    loops = sorted((thread for thread in threading.enumerate() if thread.name.startswith("ct-loop-")), key=str)
    return [os.sched_getaffinity(thread.native_id) for thread in loops]


def test_loops_run_on_the_cpus_of_pmd_cpu_mask_and_move_when_it_changes(make_lab):
    allowed = sorted(os.sched_getaffinity(os.getpid()))
    first, last = allowed[0], allowed[-1]
    settings = Settings(ct_offload_loops=2, pmd_cpu_mask=mask_of([first]))
    lab = make_lab(settings, clock="real")
    lab.engine.start()
    assert cpus_of_loops() == [{first}, {first}]
    assert lab.engine.apply(replace(settings, pmd_cpu_mask=mask_of([first, last]))) == ()
    assert cpus_of_loops() == [{first}, {last}]
    assert lab.engine.apply(replace(settings, pmd_cpu_mask="")) == ()
    assert cpus_of_loops() == [set(allowed)] * 2
    lab.engine.stop()


def test_a_cpu_that_there_is_not_is_said_and_the_loop_runs_on(make_lab, caplog):
    lab = make_lab(Settings(pmd_cpu_mask=mask_of([1023])), clock="real")
    lab.engine.start()
    assert "a loop cannot run on CPU 1023: Invalid argument" in caplog.text
    assert cpus_of_loops() == [os.sched_getaffinity(os.getpid())]
    lab.engine.stop()
