"""Reports of drivers reach Python's callbacks, whatever a callback does."""

from __future__ import annotations

import sys
import threading

import pytest

from ctoffload_dpdk.base.errors import ClosedError, UsageError
from ctoffload_dpdk.dpdk.types import Event

pytestmark = pytest.mark.eal


@pytest.fixture
def heard():
    return []


@pytest.fixture
def subscribe(eal, heard):
    """subscribe() listens for new devices; what is delivered is in `heard`."""
    made = []

    def subscribe(callback=None, event=Event.NEW, thread=False):
        made.append(eal.on_event(event, callback or (lambda *report: heard.append(report)), thread=thread))
        return made[-1]

    yield subscribe
    for subscription in made:
        subscription.close()


@pytest.fixture
def plug_in(eal):
    """plug_in() adds a device, which its driver reports."""
    names = []

    def plug_in():
        names.append(f"net_null5{len(names)}")
        return eal.add_vdev(names[-1])[0]

    yield plug_in
    for name in names:
        eal.remove_vdev(name)


def test_a_report_is_delivered_once_with_port_and_event(subscribe, heard, plug_in):
    subscription = subscribe()
    ids = [plug_in(), plug_in()]
    assert heard == [] and subscription.n_pending == 2
    assert subscription.deliver() == 2
    assert heard == [(port_id, Event.NEW) for port_id in ids]
    assert subscription.deliver() == subscription.n_pending == 0
    assert subscription.n_delivered == 2


def test_every_subscriber_gets_every_report(subscribe, heard, plug_in):
    both = [subscribe(), subscribe()]
    port_id = plug_in()
    assert [s.deliver() for s in both] == [1, 1]
    assert heard == [(port_id, Event.NEW)] * 2


def test_after_close_nothing_is_delivered(subscribe, heard, plug_in):
    subscription = subscribe()
    plug_in()
    subscription.close()
    plug_in()
    assert subscription.deliver() == 0 and heard == []


def test_a_thread_of_the_binding_delivers_by_itself(subscribe, plug_in):
    arrived = threading.Event()
    threads = []

    def callback(port_id, event):
        threads.append(threading.current_thread().name)
        arrived.set()

    subscribe(callback, thread=True)
    plug_in()
    assert arrived.wait(10)
    assert threads == ["dpdk-events"]


def test_what_a_callback_raises_is_reported_and_the_next_report_is_delivered(subscribe, plug_in, monkeypatch):
    reported, heard = [], []

    def callback(port_id, event):
        heard.append(port_id)
        raise ValueError(f"port {port_id}")

    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    subscription = subscribe(callback)
    ids = [plug_in(), plug_in()]
    assert subscription.deliver() == 2
    assert heard == ids
    assert [str(report.exc_value) for report in reported] == [f"port {port_id}" for port_id in ids]
    assert all(report.exc_type is ValueError and report.object is callback for report in reported)


def test_a_callback_may_close_its_own_subscription(subscribe, heard, plug_in):
    def callback(port_id, event):
        heard.append(port_id)
        subscription.close()

    subscription = subscribe(callback)
    first = plug_in()
    plug_in()
    subscription.deliver()
    assert heard == [first] and subscription.is_closed


def test_a_callback_may_call_dpdk(eal, subscribe, heard, plug_in):
    subscription = subscribe(lambda port_id, event: heard.append(eal.port(port_id)))
    plug_in()
    subscription.deliver()
    [port] = heard
    assert port.info().driver == "net_null"
    port.close()
    eal.add_vdev("net_null50")


def test_the_port_closes_its_subscriptions(eal, null, heard):
    subscription = null.on_event(Event.LINK_CHANGE, lambda *report: heard.append(report))
    null.close()
    assert subscription.is_closed
    with pytest.raises(ClosedError):
        null.on_event(Event.LINK_CHANGE, print)


def test_what_cannot_be_called_is_refused(null):
    with pytest.raises(UsageError, match="cannot be called"):
        null.on_event(Event.LINK_CHANGE, None)
    with pytest.raises(ValueError, match="99"):
        null.on_event(99, print)
