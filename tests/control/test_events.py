"""What whoever listens is told of connections that go into the NIC and come out of it."""

from __future__ import annotations

import json

import pytest

from ctoffload_dpdk.cli.remote import event_text
from ctoffload_dpdk.control import commands
from ctoffload_dpdk.control.listening import RING
from ctoffload_dpdk.control.system import System

pytestmark = pytest.mark.eal


@pytest.fixture
def system(lab):
    return System(lab.engine)


class Heard:
    """The events of a listener so far."""

    def __init__(self, system):
        self._parts = commands.begin(system, "events", {})
        next(self._parts)

    def close(self):
        self._parts.close()

    def take(self, *names):
        """Events of these names since the last call."""
        found = []
        while (part := next(self._parts)).n:
            found += json.loads(b"[" + part.rows + b"]")
        return [row for row in found if row["event"] in names]


@pytest.fixture
def heard(system):
    made = Heard(system)
    yield made
    made.close()


def switch(lab, system, action):
    commands.document(system, "offload", action=action, port="net_nicsim0")
    lab.engine.settle(lab.now_ms)


def test_in_and_out_and_in_again_each_once_with_the_reason(lab, system, heard):
    lab.tcp(sport=40_001)
    (row,) = heard.take("offloaded", "returned")
    assert (row["event"], row["offload"], row["orig"]["sport"]) == ("offloaded", {"state": "yes"}, 40_001)
    assert event_text(row).startswith("[OFFLOADED] tcp,orig=(src=198.51.100.1,")
    for _ in range(3):
        switch(lab, system, "off")
        (row,) = heard.take("offloaded", "returned")
        assert (row["event"], row["offload"]) == ("returned", {"state": "no", "reason": "disabled"})
        assert event_text(row).endswith("state=ESTABLISHED,offloaded=no,reason=disabled")
        switch(lab, system, "on")
        assert [one["event"] for one in heard.take("offloaded", "returned")] == ["offloaded"]


def test_one_that_closes_comes_out_by_its_fin_before_it_ends(lab, system):
    connection = lab.tcp(sport=40_001)
    heard = Heard(system)  # it went in before anybody listened
    connection.close()
    lab.engine.settle(lab.now_ms)
    (row,) = heard.take("offloaded", "returned")
    heard.close()
    assert (row["event"], row["offload"]["reason"]) == ("returned", "closing")


def test_one_that_is_ended_in_the_nic_is_told_as_ended_alone(lab, system, heard):
    lab.udp(sport=50_001)
    heard.take()
    commands.document(system, "flush")
    lab.engine.settle(lab.now_ms)
    assert [row["event"] for row in heard.take("returned", "destroy")] == ["destroy"]


def test_one_that_was_never_in_is_not_told_as_out(lab, system, heard):
    switch(lab, system, "off")
    lab.tcp(sport=40_001)
    assert heard.take("offloaded", "returned") == []


def test_what_does_not_fit_is_counted_and_nothing_grows(lab, system):
    with system.listen() as listener:
        lab.tcp(sport=40_001)
        listener.take()
        for tracker in system.trackers():
            tracker.keep_events(4)
        for _ in range(6):
            switch(lab, system, "off")
            switch(lab, system, "on")
        rows, _ = listener.take()
        assert len(rows) == 4
        _, lost = listener.take()
        assert lost == 12 - 4
    assert RING == 32_768
