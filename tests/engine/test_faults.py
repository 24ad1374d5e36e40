"""What the NIC refuses must leave nothing behind, and must be said."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal


def test_a_refused_second_rule_takes_the_first_one_out_again(lab: Any) -> None:
    lab.udp()
    for nic in lab.nics:
        nic.fail_every("create", 2, errno.EIO)
    conn = lab.udp()
    assert lab.rules == 2
    assert not conn.in_hardware
    assert conn.reason == Reason.INSERT_FAILED
    assert lab.engine.provider.stats().rules_destroyed == 1


def test_a_rule_the_nic_refuses_leaves_the_connection_in_software(lab: Any) -> None:
    lab.udp()  # the rules that lead to connections are made with the first one
    for nic in lab.nics:
        nic.fail_next("create", 1, errno.EIO)
    conn = lab.udp()
    assert lab.rules == 2
    assert conn.is_live
    assert conn.reason == Reason.INSERT_FAILED


def test_a_full_table_keeps_connections_in_software_until_there_is_room(make_lab: Any) -> None:
    lab = make_lab(capacity=16)  # eight of them for the way from both ports to their connections
    conns = [lab.udp() for _ in range(20)]
    inside = [c for c in conns if c.in_hardware]
    outside = [c for c in conns if not c.in_hardware]
    assert inside and outside
    assert all(c.reason == Reason.TABLE_FULL for c in outside)
    for conn in inside:
        lab.engine.conntrack.flush_ids([conn.row["conn_id"]])
    lab.advance(2)
    assert any(c.in_hardware for c in outside)


def test_a_removal_the_nic_refuses_is_tried_again_until_it_succeeds(lab: Any) -> None:
    conn = lab.udp()
    for nic in lab.nics:
        nic.fail_next("destroy", 3, errno.EBUSY)
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    lab.advance(5)
    assert not conn.is_live
    assert lab.rules == 0
    assert lab.engine.provider.stats().removals_retried > 0


def test_without_an_answer_about_its_last_use_a_connection_goes_on_in_software(make_lab: Any) -> None:
    from story import with_timeouts  # noqa: PLC0415

    lab = make_lab(with_timeouts(udp_multiple=5))
    conn = lab.udp()
    for nic in lab.nics:
        nic.fail_next("query", 1000, errno.EIO)
    lab.advance(12)
    assert lab.rules == 0
    assert not conn.in_hardware
    if conn.is_live:
        assert conn.reason == Reason.NO_LAST_USED


def test_a_port_that_goes_takes_its_rules_along_and_connections_go_on(lab: Any) -> None:
    conn = lab.tcp()
    lab.engine.remove_port("net_nicsim1", lab.now_ms)
    lab.engine.settle(lab.now_ms)
    assert lab.rules == 0
    assert conn.is_live
    assert not conn.in_hardware
    assert conn.reason in (Reason.PORT_DOWN, Reason.NO_PORT)
