"""What a running engine tells of itself: capabilities, plans, rules, and why a connection is where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.conntrack import PROTOCOLS
from ctoffload_dpdk.providers.plan import Family, Plan, PlanChoice, Proto

if TYPE_CHECKING:
    from ctoffload_dpdk.engine.engine import Engine, EnginePort

PLAN_PROTOCOLS = {6: Proto.TCP, 17: Proto.UDP, 1: Proto.ICMP, 58: Proto.ICMP}
ESTABLISHED = 4  # a bit of a row's flags
IN_HARDWARE, PENDING = 2, 1

# What each reason means, and what to do about it.
MEANING: dict[Reason, str] = {
    Reason.PROTO: "connections of this protocol have no plan: they stay in software",
    Reason.ALG: "a helper reads along, so software must see its packets",
    Reason.FRAGMENT: "its packets come in fragments, which the NIC does not put together",
    Reason.NOT_ESTABLISHED: "it is not established yet: both sides must have spoken",
    Reason.CLOSING: "a FIN, RST or SYN was seen: it ends in software",
    Reason.BACK_OFF: "it came out by a flag that proved false, and may go in again later",
    Reason.POLICY: "eligibility keeps it out: see ct-offload-after-packets",
    Reason.RATE_LIMITED: "more connections wanted in than ct-offload-rate allows; it is offered again",
    Reason.DISABLED: "offload is switched off, for all or for its port: ctoffload offload on",
    Reason.NO_PROVIDER: "no provider is active: none is registered, or it is switched off",
    Reason.NO_PORT: "it is not known by which port one direction comes, or its VLAN tags are in no zone",
    Reason.PORT_DOWN: "a port of it left: it goes on in software",
    Reason.PORT_PAIR: "the NIC knows no way between its two ports",
    Reason.NO_CAPABILITY: "the ports lack what every plan for it needs: see the refusals",
    Reason.NO_LAST_USED: "the NIC did not say when it was last used, so it was taken out",
    Reason.TABLE_FULL: "the NIC is full; it goes in when rules are freed",
    Reason.INSERT_FAILED: "the driver refused its rules",
    Reason.PROVIDER_REFUSED: "the provider did not take it",
    Reason.PROVIDER_STALLED: "the provider does not come back from a call",
    Reason.PENDING_DELETE: "rules of an earlier connection with these ports are still on their way out",
    Reason.NAT_UNSUPPORTED: "its translation is nothing the plan can do",
    Reason.ZONE_UNSUPPORTED: "its zone is nothing the plan can tell apart",
}


def choice_facts(choice: PlanChoice) -> dict[str, Any]:
    """A plan, and why none better: plan, fate, engine, last_used, refusals (plan, fate, why, evidence)."""
    return {
        "plan": str(choice.plan),
        "fate": str(choice.fate),
        "engine": str(choice.engine),
        "last_used": str(choice.last_used),
        "refusals": [
            {"plan": str(r.plan), "fate": str(r.fate), "why": r.why, "evidence": r.evidence} for r in choice.refusals
        ],
    }


def pairs_of(engine: Engine) -> list[tuple[str, str]]:
    """From which port to which connections go."""
    names = list(engine.ports)
    return [(names[0], names[0])] if len(names) == 1 else [(a, b) for a in names for b in names if a != b]


def plan_rows(engine: Engine, port: str | None = None) -> list[dict[str, Any]]:
    """The plan for each kind of connection, by port pair; with a port: of those from it and to it.

    Keys: from, to, proto, family, nat, and those of `choice_facts`.
    """
    return [
        {"from": first, "to": second, "proto": str(proto), "family": str(family), "nat": nat} | choice_facts(choice)
        for first, second in pairs_of(engine)
        if port is None or port in (first, second)
        for (proto, family, nat), choice in engine.plans(first, second).items()
    ]


def port_rules(engine: Engine, name: str) -> dict[str, Any]:
    """On which ports rules for what arrives at this one are made, and whether some are there now.

    Not every driver makes them where packets arrive: those of a switch stand on one port of it. notes: what preparing
    the port left out. Raises UsageError where there is no such port.
    """
    taken = engine.port(name)
    probe = engine.offload_class.probes.get(taken.layer_port.id)
    made_on = {taken.port.id, probe.capabilities.owner} if probe is not None else set()
    named = {one.port.id: one.name for one in engine.ports.values()}
    return {
        "port": name,
        "driver": taken.port.driver,
        "rules_on": [
            {"port": named.get(i, f"DPDK's port {i}"), "has_rules": engine.provider.has_rules(i)}
            for i in sorted(made_on)
        ],
        "notes": list(probe.prepared.notes) if probe is not None else [],
    }


def capability_report(engine: Engine) -> dict[str, Any]:
    """What the ports were found to be able to do; asks nothing anew."""
    ports = []
    for name, taken in engine.ports.items():
        probe = engine.offload_class.probes.get(taken.layer_port.id)
        known = probe.findings.known().values() if probe is not None else ()
        ports.append(
            {
                "name": name,
                "driver": taken.port.driver,
                "switch_domain": probe.info.switch_domain if probe is not None else None,
                "capabilities": [
                    {"name": str(f.cap), "domain": str(f.domain), "has": f.has, "how": f.how, "evidence": f.evidence}
                    for f in known
                ],
                "notes": list(probe.prepared.notes) if probe is not None else [],
            }
        )
    return {"ports": ports, "plans": plan_rows(engine)}


def explain(engine: Engine, row: np.void) -> list[dict[str, Any]]:
    """The chain of decisions about one connection, a row of a dump: each step, whether it lets it in, and why.

    row: of CONNECTION. Keys: step, words, facts of some steps, and holds: True, False, or None where the question does
    not arise.
    """
    layer = engine.layer
    reason = Reason(int(row["reason"]))
    steps = [
        step("switch", layer.enabled(), f"offload is {'on' if layer.enabled() else 'off'}"),
        *(
            step("provider", layer.is_active(p.name), f"{p.name} is {'active' if layer.is_active(p.name) else 'not'}")
            for p in layer.providers()
        ),
        established_step(row),
        *eligibility_steps(engine, row),
    ]
    ports = [port_of(engine, int(number)) for number in row["port"]]
    steps += [port_step(engine, "port" if i == 0 else "reply port", port) for i, port in enumerate(ports)]
    if ports[0] is not None and ports[1] is not None:
        steps.append(plan_step(engine, row, ports[0], ports[1]))
    offload = int(row["offload"])
    if offload == IN_HARDWARE:
        steps.append(step("rules", True, "both directions are in the NIC"))
    elif offload == PENDING:
        steps.append(step("rules", None, "an operation is under way, or waits for its turn"))
    else:
        words = MEANING.get(reason, "it was not offered to the NIC yet")
        number = int(row["error"])
        steps.append(step("rules", False, words, reason=reason.text, **({"errno": number} if number else {})))
    return steps


def step(name: str, holds: bool | None, words: str, **more: Any) -> dict[str, Any]:
    return {"step": name, "holds": holds, "words": words, **more}


def established_step(row: np.void) -> dict[str, Any]:
    holds = bool(int(row["flags"]) & ESTABLISHED)
    words = "it is established in software" if holds else "it is not established in software"
    return step("established", holds, words)


def eligibility_steps(engine: Engine, row: np.void) -> list[dict[str, Any]]:
    """Which conditions of eligibility there are, and whether they hold."""
    wanted = engine.layer.eligibility
    packets = int(row["packets"].sum())
    found = []
    if wanted.min_packets:
        words = f"{packets} packets of the {wanted.min_packets} that ct-offload-after-packets asks for"
        found.append(step("eligibility", packets >= wanted.min_packets, words))
    if wanted.rate_per_s:
        found.append(step("rate", None, f"at most {wanted.rate_per_s:.0f} connections a second go in"))
    return found


def port_of(engine: Engine, number: int) -> EnginePort | None:
    return next((port for port in engine.ports.values() if port.layer_port.id == number), None)


def port_step(engine: Engine, name: str, port: EnginePort | None) -> dict[str, Any]:
    if port is None:
        return step(name, False, "not known, or no longer there")
    entry = engine.layer.ports.entry(port.layer_port)
    words = f"{port.name}, {'on' if entry.is_enabled else 'switched off'}, used by {entry.used_by or 'nobody'}"
    return step(name, entry.is_enabled and bool(entry.used_by), words)


def plan_step(engine: Engine, row: np.void, first: EnginePort, second: EnginePort) -> dict[str, Any]:
    """The plan for connections of its kind between its ports, and why none better."""
    proto = PLAN_PROTOCOLS.get(int(row["proto"]))
    if proto is None:
        word = PROTOCOLS.get(int(row["proto"]), str(row["proto"]))
        return step("plan", False, f"there is no plan for {word}")
    family = Family.IPV4 if row["family"] == 4 else Family.IPV6
    choice = engine.plans(first.name, second.name).get((proto, family, bool(row["nat"])))
    if choice is None:
        return step("plan", False, "there is no plan for its kind")
    return step("plan", choice.plan is not Plan.NONE, choice.explain().splitlines()[0], **choice_facts(choice))
