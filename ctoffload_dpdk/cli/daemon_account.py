"""The account at the end of a run: everything is taken out of the NIC, then it is added up."""

from __future__ import annotations

from collections.abc import Callable

from ctoffload_dpdk.engine import Account, Audit, Engine, PacketAccount

NICSIM = "net_nicsim"
# What had arrived when the threads ended is handled; more may arrive all the time.
LAST_TURNS = 64


def account_of(engine: Engine, now_ms: Callable[[], int]) -> Account:
    """Drains the NIC, ends the threads, and adds up."""
    engine.drain(now_ms())
    engine.stop()
    for _ in range(LAST_TURNS):
        if not engine.run_once(now_ms()):
            break
    engine.layer.close()  # now the pipelines of the ports are out as well
    rules, objects = engine.rules(), engine.contexts()
    emulated = [taken.port for taken in engine.ports.values() if taken.port.info().driver.startswith(NICSIM)]
    if not emulated or len(emulated) != len(engine.ports):
        return Account(
            packets=without_nic(engine),
            connections=engine.connections(),
            rules=rules,
            objects=objects,
            audit=Audit(rules.live, objects.live),
        )
    from ctoffload_dpdk.nicsim import Nic  # noqa: PLC0415 - nothing of it where nobody asked

    nics = [Nic(port.id) for port in emulated]
    counters = [nic.counters() for nic in nics]
    audits = [nic.audit() for nic in nics]
    software = engine.packets()
    dropped = {reason: sum(c.nic_dropped[reason] for c in counters) for reason in counters[0].nic_dropped}
    dropped["waiting_at_stop"] = sum(c.host_pending for c in counters)
    return Account(
        packets=PacketAccount(
            wire_in=sum(c.wire_in for c in counters),
            nic_forwarded=sum(c.nic_forwarded for c in counters),
            nic_dropped=dropped,
            host_rx=software.host_rx,
            host_tx=software.host_tx,
            sw_dropped=software.sw_dropped,
        ),
        connections=engine.connections(),
        rules=rules,
        objects=objects,
        audit=Audit(sum(a.rules.live for a in audits), sum(a.objects.live for a in audits)),
    )


def without_nic(engine: Engine) -> PacketAccount:
    """Where the NIC keeps no books of its own: what its rules told of is what it forwarded."""
    software = engine.packets()
    forwarded = sum(sum(tracker.counters().nic_packets) for tracker in engine.trackers)
    return PacketAccount(
        wire_in=forwarded + software.host_rx,
        nic_forwarded=forwarded,
        host_rx=software.host_rx,
        host_tx=software.host_tx,
        sw_dropped=software.sw_dropped,
    )
