"""What the NIC refuses must leave nothing behind, and must be said."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from ctoffload_dpdk.base.errors import ClosedError, PortError, ProviderError, UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.demo.lab import PORTS
from ctoffload_dpdk.offload import CtOffloadProvider

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


class Closing(CtOffloadProvider):
    """Closes the engine from within, which is refused."""

    name = "closing"

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.refusals: list[int] = []

    def submit(self, ops: Any, contexts: Any) -> None:
        ops["error"] = 0
        try:
            self.lab.engine.close()
        except ProviderError as error:
            self.refusals.append(error.errno)


def test_a_close_that_was_refused_closed_nothing_and_another_one_does(lab: Any) -> None:
    conn = lab.udp()
    closing = Closing(lab)
    lab.engine.layer.register(closing, activate=True)
    lab.udp()
    assert set(closing.refusals) == {errno.EDEADLK}
    assert conn.in_hardware and not lab.engine.is_closed
    lab.engine.layer.unregister("closing")
    lab.close()
    assert lab.engine.is_closed


@pytest.mark.slow
@pytest.mark.parametrize("threads", [False, True])
def test_a_close_that_the_nic_kept_from_its_end_goes_on_when_asked_again(make_lab: Any, threads: bool) -> None:
    lab = make_lab()
    lab.udp()
    if threads:
        lab.engine.start()
    for nic in lab.nics:
        nic.fail_next("destroy", 1 << 30, errno.EBUSY)
        nic.fail_next("async_destroy", 1 << 30, errno.EBUSY)
    with pytest.raises(ProviderError, match="still holds connections") as raised:  # waits 5 s
        lab.engine.close()
    assert raised.value.errno == errno.ETIMEDOUT
    assert (lab.engine.is_running, lab.engine.is_closed, [*lab.engine.ports]) == (False, False, [*PORTS])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ct-")]
    for nic in lab.nics:
        nic.clear_faults()
    lab.engine.close()
    assert all(nic.audit().rules.live == 0 for nic in lab.nics)
    assert (lab.engine.is_closed, lab.engine.ports) == (True, {})
    lab.close()


def test_a_port_that_does_not_stop_keeps_nothing_else_open(lab: Any) -> None:
    ports = [taken.port for taken in lab.engine.ports.values()]
    lab.nics[1].fail_next("stop", 1)
    with pytest.raises(PortError, match="rte_eth_dev_close"):
        lab.engine.close()
    assert [port.is_closed for port in ports] == [True, False]
    assert lab.engine.is_closed
    ports[1].close()
    loop = lab.engine.loops[0]
    for use in (
        lambda: lab.engine.run_once(lab.now_ms),
        lambda: loop.run_once(lab.now_ms),
        loop.serve,
        lambda: loop.add_port(0, 1, 1),
        lambda: loop.remove_port(0),
    ):
        with pytest.raises(ClosedError):
            use()
    loop.close()
    assert loop.handed() == 0
    lab.close()


def test_threads_are_started_once_and_turns_are_theirs(lab: Any) -> None:
    lab.engine.start()
    lab.engine.start()
    assert [thread.name for thread in threading.enumerate()].count("ct-loop-0") == 1
    with pytest.raises(UsageError, match="threads run the loops"):
        lab.engine.run_once(lab.now_ms)
    lab.engine.stop()
    lab.engine.stop()
