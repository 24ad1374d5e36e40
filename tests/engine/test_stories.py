"""Random stories of connections, packets, time, faults, ports and the switch.

After each step the books of NIC, provider and tracker are one.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from story import A, B, with_plan

pytestmark = [pytest.mark.eal, pytest.mark.timeout(300)]

MOST = 6
FAULTS = (
    "create",
    "destroy",
    "query",
    "indirect_create",
    "indirect_update",
    "indirect_destroy",
    "async_create",
    "async_destroy",
    "pull",
)
SIDES = st.sampled_from([A, B])
ERRORS = (errno.EIO, errno.ENOSPC, errno.EAGAIN, errno.EBUSY)


class Story(RuleBasedStateMachine):
    """A lab and up to six connections at a time. Faults of a kind are over before the next step looks."""

    conns: Any = Bundle("conns")
    make_lab: Any = None

    @initialize(plan=st.sampled_from(["auto", "age", "count"]), engine=st.sampled_from(["sync", "async"]))
    def begin(self, plan: str, engine: str) -> None:
        self.lab = type(self).make_lab(with_plan(plan, engine, udp_multiple=20, udp_single=20, udp_first=20))
        self.known: list[Any] = []

    def teardown(self) -> None:
        if hasattr(self, "lab"):
            self.faults_are_over()
            self.lab.engine.drain(self.lab.now_ms)
            self.breathe()
            assert self.lab.rules == 0
            self.lab.assert_audit_matches()
            self.lab.close()

    def breathe(self) -> None:
        """Results that could not be pulled for a while are."""
        self.lab.advance(0.05, step_s=0.005)

    @rule(target=conns, proto=st.sampled_from(["tcp", "udp"]), ipv6=st.booleans())
    def somebody_connects(self, proto: str, ipv6: bool) -> Any:
        if len(self.known) == MOST:
            return self.known[0]
        self.known.append(getattr(self.lab, proto)(ipv6=ipv6, host=len(self.known) + 1))
        return self.known[-1]

    @rule(conn=conns, side=SIDES)
    def one_side_sends(self, conn: Any, side: int) -> None:
        (conn.client_sends if side == A else conn.server_sends)()

    @rule(conn=conns, side=SIDES, flags=st.sampled_from(["FA", "R", "S"]))
    def a_flag_comes(self, conn: Any, side: int, flags: str) -> None:
        if conn.proto == 6:
            conn.send(side, flags)

    @rule(conn=consumes(conns))
    def one_is_flushed(self, conn: Any) -> None:
        if conn.is_live:
            self.lab.engine.conntrack.flush_ids([conn.row["conn_id"]])
            self.lab.engine.settle(self.lab.now_ms)

    @rule(seconds=st.sampled_from([0.5, 1.5, 5, 12, 21, 65]))
    def time_goes_by(self, seconds: float) -> None:
        self.lab.advance(seconds)

    @rule(on=st.booleans())
    def the_switch_is_turned(self, on: bool) -> None:
        self.lab.engine.apply(replace(self.lab.engine.settings, hw_offload=on))
        self.lab.engine.settle(self.lab.now_ms)

    @rule(side=SIDES, event=st.sampled_from(["port_leaves", "port_vanishes", "port_is_reset"]))
    def a_port_goes(self, side: int, event: str) -> None:
        """One that is reset is back at once. Faults are over before: a port that cannot be set up is another story."""
        if self.lab.has(side):
            self.faults_are_over()
            getattr(self.lab, event)(side)

    @rule(side=SIDES)
    def a_port_returns(self, side: int) -> None:
        if not self.lab.has(side):
            self.faults_are_over()
            self.lab.port_returns(side)

    @rule(call=st.sampled_from(FAULTS), n=st.integers(1, 4), error=st.sampled_from(ERRORS), side=SIDES)
    def calls_begin_to_fail(self, call: str, n: int, error: int, side: int) -> None:
        self.lab.nics[side].fail_next(call, n, error)

    @rule()
    def faults_are_over(self) -> None:
        for nic in self.lab.nics:
            nic.clear_faults()
        self.lab.advance(3)

    @invariant()
    def the_books_are_one(self) -> None:
        if not hasattr(self, "lab"):
            return
        self.breathe()
        self.lab.assert_audit_matches()
        stats = self.lab.engine.provider.stats()
        in_hardware = int((self.lab.engine.conntrack.connections()["offload"] == 2).sum())
        of_connections = stats.rules_live - stats.rules_static
        # what is on its way in or out has none, one or both of its rules
        assert 2 * in_hardware <= of_connections <= 2 * (in_hardware + stats.unsettled), stats


def test_random_stories_keep_the_books_of_all_three(make_lab: Any) -> None:
    Story.make_lab = staticmethod(make_lab)
    run_state_machine_as_test(
        Story, settings=settings(max_examples=60, stateful_step_count=25, deadline=None, print_blob=True)
    )
