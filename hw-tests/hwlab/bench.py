"""The functions of the process under test; `hwlab.client.Bench` calls them. Arguments and answers are plain values."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from typing import Any

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import Nat
from ctoffload_dpdk.dpdk import Port
from ctoffload_dpdk.engine import Engine, Settings
from ctoffload_dpdk.providers.capability import Cap, Domain
from ctoffload_dpdk.providers.plan import Fate
from ctoffload_dpdk.providers.rte_flow_prepare import override_of, set_up
from ctoffload_dpdk.providers.rte_flow_probe import PortProbe, bind, pair_of
from hwlab import rates
from hwlab.device import Device, frames_of
from hwlab.rules import Rules

N_MBUFS = 8191
STEP_MS = 100
PENDING, INSTALLED = 1, 2  # of a connection's `offload`


class State:
    """What the process holds."""

    device: Device
    engine: Engine | None = None
    rules: Rules | None = None
    probes: list[PortProbe]
    pool: Any = None


held = State()


def start(spec: dict[str, Any]) -> dict[str, Any]:
    """Starts DPDK with the devices of an inventory."""
    held.device = Device(spec)
    held.pool = held.device.eal.mempool(N_MBUFS)
    return {"sides": held.device.sides, "names": held.device.names}


def facts() -> dict[str, Any]:
    """The machine, its DPDK, and each port; once they are open."""
    return held.device.facts()


def sides() -> list[str]:
    """The names of the two ends that are joined; once where a port is joined with itself."""
    return held.device.sides


def pid() -> int:
    """The number of this process where it runs."""
    return os.getpid()


def words() -> str:
    """DPDK's errors so far."""
    return held.device.eal.log.errors_since(0)


# Time and traffic -----------------------------------------------------------------------------------------------------


def wait(seconds: float) -> None:
    """Lets time go by, the engine running where there is one: an emulated NIC's time, or the world's."""
    if not held.device.is_by_hand:
        return _wait_really(seconds)
    until = held.device.now_ms() + round(seconds * 1000)
    while held.device.now_ms() < until:
        held.device.advance_ms(min(STEP_MS, until - held.device.now_ms()))
        if held.engine is not None:
            held.engine.settle(held.device.now_ms())
    return None


def _wait_really(seconds: float) -> None:
    if held.engine is None:
        time.sleep(seconds)
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not held.engine.run_once(held.device.now_ms()):
            time.sleep(0.0002)


def send(side: int, data: bytes, lengths: list[int]) -> None:
    """Frames arrive at a side, from a wire that this process holds."""
    for part in held.device.portions(frames_of(data, lengths)):
        held.device.send(side, part)
        if held.engine is not None:
            held.engine.settle(held.device.now_ms()) if held.device.is_by_hand else _wait_really(0.002)


def receive(side: int) -> list[bytes]:
    """What left by a side since the last call."""
    return held.device.receive(side)


def rate(side: int, data: bytes, lengths: list[int], seconds: float) -> dict[str, float]:
    """The frames over and over, as fast as the peer's port sends, the engine running. Sent packets and seconds."""
    run = (lambda: held.engine.run_once(held.device.now_ms())) if held.engine is not None else (lambda: 0)
    return held.device.send_at_rate(side, frames_of(data, lengths), seconds, run)


def host_receive(side: int) -> int:
    """Packets that reached software on a side's first queue, without an engine."""
    got, empty = 0, 0
    while empty < 3:
        n = len(held.device.port(side).rx_burst(0, 64))
        got, empty = got + n, 0 if n else empty + 1
    return got


def link(side: int) -> bool:
    return held.device.port(side).link().is_up


def set_link(side: int, up: bool) -> None:
    held.device.set_link(side, up)


def reset() -> None:
    """Stops every port and starts it again, as after an error of the NIC. The first owns the switch: it stops last."""
    ports = list(held.device.opened.values())
    for port in reversed(ports):
        port.stop()
    for port in ports:
        port.start()


def port_stats(side: int) -> dict[str, int]:
    return asdict(held.device.port(side).stats())


# Rules, without an engine ---------------------------------------------------------------------------------------------


def rules_start(*, across: bool = False, **settings: Any) -> str:
    """Sets up and starts every port for rules of ours. Returns the engine by which rules go in: sync or async.

    across: the hairpin of each side leads to the other one, not back by its own port.
    """
    wanted = replace(Settings(), **settings)
    opened: list[Port] = [held.device.open(name) for name in held.device.names]
    ids = {port.name: port.id for port in opened}
    peers = [ids.get(held.device.other_side(port.name)) if across else None for port in opened]
    prepared = [set_up(port, held.pool, wanted, peer=peer) for port, peer in zip(opened, peers, strict=True)]
    for port in opened:
        port.start()
        held.device.try_promiscuous(port)
    by_id = {port.id: port for port in opened}
    held.probes = [
        PortProbe(port, given, by_id.get, override_of(wanted)) for port, given in zip(opened, prepared, strict=True)
    ]
    if across:
        bind(*(held.probes[held.device.index(side)] for side in range(2)))
    held.rules = Rules(held.probes)
    return str(held.probes[0].engine)


def rule_create(side: int, proto: str, number: int, actions: list[str], **options: Any) -> int:
    return rules().create(held.device.index(side), proto, number, actions, **options)


def rule_query(rule: int) -> dict[str, Any]:
    return rules().query(rule)


def rule_destroy(rule: int) -> None:
    rules().destroy(rule)


def rules_full(side: int, most: int) -> dict[str, Any]:
    return rules().fill(held.device.index(side), most)


def rules_engine() -> str:
    return str(held.probes[0].engine)


def rule_is_there(rule: int) -> bool:
    return rules().is_there(rule)


def rules_forget() -> None:
    rules().forget()


def rules_clear() -> int:
    return rules().clear()


def rules() -> Rules:
    assert held.rules is not None, "rules_start comes first"
    return held.rules


def finding(side: int, cap: str, domain: str) -> tuple[bool, str]:
    """Whether a port can do something, and the evidence."""
    found = _probes()[held.device.index(side)].findings[Cap(cap), Domain(domain)]
    return found.has is True, found.evidence


def cannot(side: int, cap: str, domain: str = "ingress") -> str:
    """What a port cannot do, in words, and the evidence; empty where it can."""
    probe = _probes()[held.device.index(side)]
    found = probe.findings[Cap(cap), Domain(domain)]
    return "" if found.has is True else f"{probe.capabilities.cannot(found)}: {found.evidence}"


def hairpin_across() -> tuple[bool, str]:
    """Whether a rule of each side leads out by the other one, and the evidence; after rules_start(across=True)."""
    found = pair_of(*(held.probes[held.device.index(side)] for side in range(2))).paths[Fate.HAIRPIN]
    return found.has is True, found.evidence


def findings() -> list[list[dict[str, Any]]]:
    """Everything that the ports were found able to do."""
    return [[asdict(found) for found in probe.findings.values()] for probe in _probes()]


def _probes() -> list[PortProbe]:
    if held.engine is None:
        return held.probes
    probes = held.engine.offload_class.probes
    return [probes[held.engine.port(name).layer_port.id] for name in held.device.names]


# The running system ---------------------------------------------------------------------------------------------------


def engine_start(settings: dict[str, Any], *, across: bool = False) -> None:
    """An engine with all ports in it, the two sides joined. across: by hairpin, in the place of a switch too."""
    wanted = replace(Settings(), **({"ct_offload_fate": "hairpin"} if across else {}), **settings)
    engine = Engine(held.device.eal, wanted, now_ms=held.device.now_ms(), events=1 << 16)
    held.engine = engine
    for name in held.device.names:
        peer = held.device.other_side(name) if across else held.device.peer_of(name)
        engine.add_port(name, held.pool, peer=peer)
        held.device.opened[name] = engine.port(name).port
    ends = held.device.sides
    engine.join(ends[0], ends[-1])


def engine() -> Engine:
    assert held.engine is not None, "engine_start comes first"
    return held.engine


def engine_run(seconds: float = 5.0) -> bool:
    """Runs until every rule is in or out; whether that came about in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if held.device.is_by_hand:
            engine().settle(held.device.now_ms())
        else:
            _wait_really(0.01)  # on a wire where others speak it is never idle
        pending = engine().conntrack.connections()["offload"] == PENDING
        if not engine().provider.stats().unsettled and not pending.any():
            return True
        if held.device.is_by_hand:
            held.device.advance_ms(STEP_MS)  # a freed counter rests until the next refresh
    return False


def inject(side: int, data: bytes, lengths: list[int]) -> None:
    """Frames reach the tracker as if they had come by a side: for devices that move none."""
    port = _layer_port(side)
    engine().conntrack.shards[0].process(
        frames_of(data, lengths), held.device.now_ms(), port=port.id, port_generation=port.generation
    )
    engine_run()


def _layer_port(side: int) -> Any:
    return engine().port(held.device.sides[side % len(held.device.sides)]).layer_port


def choices() -> dict[str, dict[str, str]]:
    """The plan for each kind of connection from the first side to the second."""
    ends = [engine().port(name).layer_port for name in held.device.sides]
    found = engine().offload_class.choices(ends[0], ends[-1])
    return {
        f"{proto}/{family}{'/nat' if nat else ''}": {
            "plan": str(c.plan), "fate": str(c.fate), "last_used": str(c.last_used), "text": c.explain(),
            "why": "; ".join(map(str, c.refusals)) or c.explain(),
        }
        for (proto, family, nat), c in found.items()
    }  # fmt: skip


def connections() -> list[dict[str, Any]]:
    """Each live connection: protocol, client's port, whether it is in hardware, and why not."""
    rows = engine().conntrack.connections()
    return [
        {
            "proto": int(row["proto"]),
            "ipv6": int(row["family"]) == 6,
            "sport": int(row["src_port"]),
            "in_hardware": int(row["offload"]) == INSTALLED,
            "reason": Reason(int(row["reason"])).text,
        }
        for row in rows
    ]


def stats() -> dict[str, Any]:
    """The provider's books, the loop's, and the tracker's totals."""
    packets = engine().packets()
    return {
        **asdict(engine().provider.stats()),
        "host_rx": packets.host_rx,
        "host_tx": packets.host_tx,
        "connections": asdict(engine().connections()),
    }


def account() -> list[str]:
    """What does not add up in the books of provider and tracker, and of the NIC where it has any to show."""
    return held.device.problems(engine())


def flush() -> dict[str, int]:
    """Ends all connections. Rules that are left, and how many of them are the pipeline's."""
    engine().conntrack.flush()
    engine_run()
    now = engine().provider.stats()
    return {"live": now.rules_live, "static": now.rules_static, "contexts": now.contexts_live}


def drain() -> None:
    engine().drain(held.device.now_ms())
    engine_run()


def switch(on: bool) -> None:
    engine().layer.set_global_cfg({"hw-offload": "true" if on else "false"})
    engine_run()


def remove_port(side: int) -> None:
    engine().remove_port(held.device.sides[side], held.device.now_ms())


def reset_port(side: int) -> None:
    """A port fails, asks for a reset and gets it, while connections go by it; joined again. Raises PortError."""
    name = held.device.sides[side]
    if held.device.is_by_hand:
        held.device.nics[side].demand_reset()
    now_ms, peer = held.device.now_ms(), held.device.peer_of(name)
    held.device.opened[name] = engine().reset_port(name, held.pool, now_ms, peer=peer).port
    engine().join(held.device.sides[0], held.device.sides[-1])
    engine_run()


def pull_out() -> None:
    """An emulated NIC is pulled out of its slot, with both ports."""
    for nic in held.device.nics:
        nic.unplug()


def removed() -> list[str]:
    """The ports whose driver has told that their device is gone."""
    return sorted(held.device.removed)


def take_out_removed() -> None:
    """The engine hears of it afterwards, as the daemon does; representors go before what they stand on."""
    for name in reversed(removed()):
        engine().remove_port(name, held.device.now_ms(), vanished=True)


def set_nat(side: int, text: str) -> None:
    """Connections that begin at a side are translated so."""
    engine().set_nat(held.device.sides[side], Nat.parse(text))


def join_alone(side: int) -> None:
    """From now on one port is joined with itself."""
    held.device.sides = [held.device.sides[side]] * 2


def hairpinned() -> int:
    """Packets that an emulated NIC itself sent through hairpins."""
    return sum(nic.counters().hairpinned for nic in held.device.nics)


def indirect_counts() -> dict[str, int]:
    """Rules and objects that an emulated NIC itself holds."""
    return held.device.audit()


# Rates ----------------------------------------------------------------------------------------------------------------


def install_rates(n: int, rounds: int) -> dict[str, Any]:
    """Rules per second into the NIC and out of it, through tracker, layer and provider."""
    ends = [engine().port(name).layer_port for name in held.device.sides]
    return rates.through_the_engine(engine(), (ends[0], ends[-1]), n, rounds, held.device.now_ms)


def rule_rates(side: int, n: int) -> dict[str, Any]:
    """Nanoseconds of each call of rte_flow, rules one by one."""
    return rates.of_calls(rules(), held.device.index(side), n)


def query_rate(side: int, n: int) -> dict[str, Any]:
    return rates.of_queries(rules(), held.device.index(side), n)


def finish() -> None:
    """Takes everything down, in order."""
    if not hasattr(held, "device"):
        return
    if held.rules is not None:
        held.rules.close()
    if held.engine is not None:
        held.engine.close()
    held.device.close()
