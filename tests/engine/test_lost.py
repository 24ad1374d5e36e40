"""A rule that aged out, was taken out to be replaced, and could not be: why, what it carried, and in again."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from sent import Sent
from story import with_plan

from ctoffload_dpdk.base.reasons import Reason

pytestmark = pytest.mark.eal
CREATE = {"sync": "create", "async": "async_create"}


def lose(sent: Sent, engine: str) -> None:
    """Its client fell silent long ago, so that one rule ages out; from then on the NIC takes no rule."""
    failing = False
    for _ in range(40):
        if sent.conn.reason != Reason.NONE:
            return
        if sent.lab.now_ms > 60_000 and not failing:
            failing = True
            for nic in sent.lab.nics:
                nic.fail_every(CREATE[engine], 1, errno.EEXIST)
        sent.lab.advance(4)
        sent.send(1, b"back")
    raise AssertionError(f"its rules were kept: {sent.lab.engine.provider.stats()}")


def in_nic(make_lab: Any, engine: str) -> Sent:
    lab = make_lab(with_plan("age", engine, udp_multiple=5, udp_single=5, udp_first=5), ageing="final")
    conn = lab.udp()
    assert conn.in_hardware, conn.reason
    sent = Sent(lab, conn)
    sent.send(0, b"forth, and never again")
    return sent


@pytest.mark.parametrize("engine", CREATE)
def test_a_rule_that_could_not_be_replaced_goes_in_again_as_soon_as_the_nic_takes_it(
    make_lab: Any, engine: str
) -> None:
    sent = in_nic(make_lab, engine)
    lab, conn = sent.lab, sent.conn
    lose(sent, engine)
    assert (conn.reason, int(conn.row["error"])) == (Reason.INSERT_FAILED, errno.EEXIST)
    assert not conn.in_hardware
    assert lab.rules == 0
    lab.assert_audit_matches()
    tried = lab.engine.provider.stats().rules_failed
    lab.advance(4)
    sent.send(1, b"seen by software")
    assert lab.engine.provider.stats().rules_failed > tried, "nobody tried again"
    assert conn.reason == Reason.INSERT_FAILED
    for nic in lab.nics:
        nic.clear_faults()
    for _ in range(4):
        lab.advance(2)
        sent.send(1, b"back")
    assert conn.in_hardware, conn.reason
    seen = lab.host_rx
    sent.send(1, b"past software again")
    assert lab.host_rx == seen
    assert len(conn.rules) == 2
    lab.assert_audit_matches()


@pytest.mark.parametrize("engine", CREATE)
def test_what_its_rules_carried_until_then_is_counted(make_lab: Any, engine: str) -> None:
    sent = in_nic(make_lab, engine)
    lose(sent, engine)
    row = sent.conn.row
    assert [row["packets"].tolist(), row["bytes"].tolist()] == sent.expected()
    for nic in sent.lab.nics:
        nic.clear_faults()


def test_it_is_not_tried_for_a_connection_that_ended(make_lab: Any) -> None:
    sent = in_nic(make_lab, "sync")
    lose(sent, "sync")
    sent.lab.engine.conntrack.flush()
    sent.lab.engine.settle(sent.lab.now_ms)
    tried = sent.lab.engine.provider.stats().rules_failed
    sent.lab.advance(10)
    assert sent.lab.engine.provider.stats().rules_failed == tried
    for nic in sent.lab.nics:
        nic.clear_faults()
