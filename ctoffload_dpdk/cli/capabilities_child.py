"""The process of `ctoffload capabilities` that starts DPDK and asks. It says what it asks, so that its death tells who.

python -m ctoffload_dpdk.cli.capabilities_child FD REQUEST      JSON in; lines of JSON go to FD
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError, PortError
from ctoffload_dpdk.cli.devices import Device, not_taken, there_are
from ctoffload_dpdk.dpdk import Eal, Port, eal_args
from ctoffload_dpdk.providers.capability import PLACES, WORDS, Finding
from ctoffload_dpdk.providers.plan import Family, Fate, PlanChoice, Proto, choose
from ctoffload_dpdk.providers.rte_flow_prepare import Prepared, override_of, set_up
from ctoffload_dpdk.providers.rte_flow_probe import PortProbe, bind, pair_of
from ctoffload_dpdk.settings import Settings, settings_from

SCHEMA = 1
NICSIM = "net_nicsim"
MBUFS = 8191
DESCRIPTORS = 64

Say = Callable[[str], None]


def start(request: dict[str, Any]) -> Eal:
    """DPDK with the devices asked for, and no others."""
    if any(vdev.startswith(NICSIM) or f"({NICSIM}" in vdev for vdev in request["vdevs"]):
        from ctoffload_dpdk.nicsim import load  # noqa: PLC0415 - nothing of it where nobody asked

        load()
    memory = "hugepages" if request["hugepages"] else "no-huge"
    arguments = eal_args(
        memory, memory_mb=request["memory_mb"], pci=request["all"], allow=request["pci"], vdevs=request["vdevs"]
    )
    return Eal.start(arguments, forward_log=False)


def ports_of(eal: Eal, request: dict[str, Any]) -> list[Port]:
    """The ports of the devices asked for. Raises PortError for a device of which DPDK made none."""
    there = eal.ports()
    chosen = [address for address in there if request["all"]]
    for name, args, is_pci in request["ask"]:
        device = Device(name, args, is_pci)
        found = [address for address in there if device.names(address.name)]
        if not found:
            raise not_taken(device, eal.log.errors_since(0))
        chosen += [address for address in found if address not in chosen]
    if not chosen:
        log = eal.log.errors_since(0)
        raise PortError(f"DPDK found no port{f': {log}' if log else ''}", op="capabilities", hint=there_are())
    return [eal.port(address.id) for address in chosen]


def ask(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """Asks every port, chooses the plans, and takes everything down."""
    settings = settings_from(request["settings"])
    with start(request) as eal:
        ports = ports_of(eal, request)
        pool = eal.mempool(MBUFS, cache_size=0)
        prepared = []
        for port in ports:
            say(f"while {port.name} ({port.driver}) was configured")
            peer = peer_of(port, ports, settings)
            prepared.append(set_up(port, pool, settings, descriptors=DESCRIPTORS, peer=peer))
        for port in ports:
            say(f"while {port.name} ({port.driver}) was started")
            port.start()
        by_id = {port.id: port for port in ports}
        probes = [
            PortProbe(port, given, by_id.get, override_of(settings))
            for port, given in zip(ports, prepared, strict=True)
        ]
        if len(probes) == 2:
            say(f"while hairpin queues of {probes[0].info.name} and {probes[1].info.name} were bound")
            bind(*probes)
        report = {
            "schema": SCHEMA,
            "dpdk": eal.version.removeprefix("DPDK "),
            "ports": [port_facts(probe, say) for probe in probes],
            "pairs": [pair_facts(*pair, settings, say) for pair in pairs(probes)],
            "left": [why for probe in probes for _, why in probe.account.left],
        }
        for port in reversed(ports):
            say(f"while {port.name} ({port.driver}) was stopped")
            port.close()
    return report


def peer_of(port: Port, ports: list[Port], settings: Settings) -> int | None:
    """The other of two ports that no switch joins, or is to join: their hairpins lead to each other."""
    others = [other for other in ports if other is not port]
    if len(others) != 1:
        return None
    switch = port.info().switch_domain
    is_by_switch = switch is not None and switch == others[0].info().switch_domain
    return None if is_by_switch and settings.ct_offload_fate != Fate.HAIRPIN else others[0].id


def pairs(probes: list[PortProbe]) -> list[tuple[PortProbe, PortProbe]]:
    """Each port with each other; the only one with itself."""
    return list(combinations(probes, 2)) if len(probes) > 1 else [(probe, probe) for probe in probes]


def port_facts(probe: PortProbe, say: Say) -> dict[str, Any]:
    found = []
    for cap, domain in probe.findings:
        say(f"while {probe.info.name} ({probe.info.driver}) was asked whether it can {WORDS[cap]}{PLACES[domain]}")
        found.append(finding_facts(probe.findings[cap, domain]))
    account = probe.account
    return {
        "name": probe.info.name,
        "id": probe.info.id,
        "driver": probe.info.driver,
        "switch_domain": probe.info.switch_domain,
        "owner": probe.capabilities.owner,
        "engine": str(probe.engine),
        "set_aside": set_aside(probe.prepared),
        "notes": list(probe.prepared.notes),
        "capabilities": found,
        "rules": {"created": account.rules_created, "destroyed": account.rules_destroyed},
        "objects": {"created": account.objects_created, "destroyed": account.objects_destroyed},
    }


def set_aside(prepared: Prepared) -> dict[str, int]:
    """The sizes that rte_flow_configure took; empty where the driver has none."""
    sizes = prepared.sizes
    if sizes is None:
        return {}
    return {
        "counters": sizes.counters,
        "ages": sizes.ages,
        "contexts": sizes.conntracks,
        "queues": sizes.queues,
        "queue_size": sizes.queue_size,
    }


def finding_facts(found: Finding) -> dict[str, Any]:
    return {
        "name": str(found.cap),
        "domain": str(found.domain),
        "has": found.has,
        "how": found.how,
        "evidence": found.evidence,
    }


def pair_facts(first: PortProbe, second: PortProbe, settings: Settings, say: Say) -> dict[str, Any]:
    say(f"while ways between {first.info.name} and {second.info.name} ({second.info.driver}) were tried")
    pair = pair_of(first, second)
    override = override_of(settings)
    kinds = [(proto, family, nat) for proto in Proto for family in Family for nat in (False, True)]
    return {
        "ports": [first.info.name, second.info.name],
        "relation": str(pair.relation),
        "plans": [
            {"proto": str(proto), "family": str(family), "nat": nat}
            | plan_facts(choose(pair, proto, family, nat, override))
            for proto, family, nat in kinds
        ],
    }


def plan_facts(chosen: PlanChoice) -> dict[str, Any]:
    return {
        "plan": str(chosen.plan),
        "fate": str(chosen.fate),
        "engine": str(chosen.engine),
        "last_used": str(chosen.last_used),
        "refusals": [
            {"plan": str(r.plan), "fate": str(r.fate), "why": r.why, "evidence": r.evidence} for r in chosen.refusals
        ],
        "text": chosen.explain(),
    }


def main() -> None:
    # Before DPDK is loaded nothing else of this process writes there.
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8", buffering=1) as channel:

        def tell(**line: Any) -> None:
            channel.write(json.dumps(line) + "\n")

        try:
            tell(report=ask(json.loads(sys.argv[2]), lambda asking: tell(asking=asking)))
        except CtoffloadError as error:
            tell(error=error.as_dict())


if __name__ == "__main__":
    main()
