"""The ConnectX profiles answer every shape of rule as the real mlx5 driver did (tests/standin/verdicts-*.json)."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ctoffload_dpdk.dpdk import FlowSizes
from standin.mlx5 import bench, verdicts
from standin.mlx5.shapes import SHAPES

pytestmark = pytest.mark.eal

KNOWN = verdicts.read(Path(__file__).parents[1] / "standin" / "golden" / "22.11.11" / "verdicts.json")

OTHER_HEADER = "an IPv4 address is rewritten where the pattern does not say IPv4"

# Shapes that are answered otherwise than by the real driver: by a pattern of their names, and why.
OTHERWISE: dict[str, dict[str, str]] = {
    "software": {
        r"(in|fdb)/3/valid-(v6|any)/rewrite.*": OTHER_HEADER,
    },
    "hardware": {
        r"(in|fdb)/3/valid-(v6|any)/rewrite.*": OTHER_HEADER,
        r"(in|fdb)/2/limits/count": "the real driver takes a rule that does not say what becomes of the packet",
        r"(in|fdb)/2/limits/jump-back": "the real driver takes a jump that may go round for ever",
        r"in/2/limits/pop-vlan\+queue": "the real driver pops tags where the pattern has none",
        r"(in|fdb)/3/tcp-and-udp/.*": "the real driver takes a pattern that no packet can match",
        r"fdb/3/from-port/port": "the real driver takes a pattern with two ports, which no packet can match",
        r"fdb/3/icmp-of-v6/port": "the real driver runs out of room for a pattern that no packet can match",
    },
}


def in_short(verdict: Any) -> Any:
    """A recorded verdict without its sentences."""
    if isinstance(verdict, str):
        return verdict
    if "create" in verdict:
        return {call: in_short(verdict[call]) for call in ("create", "validate")}
    return (verdict["at"], verdict["errno"], verdict["type"])


def said_in_short(said: dict[str, Any]) -> Any:
    if not said:
        return "accepted"
    return (said["op"], errno.errorcode.get(said["errno"], "left over"), verdicts.ERROR_TYPES[said["type"]])


def ask(shape: str, steering: str) -> Any:
    """What the emulated NIC says, in the words of the table."""
    created = said_in_short(bench.try_create(shape))
    if steering == "hardware":
        return created
    validated = said_in_short(bench.try_validate(shape))
    both = {"create": created, "validate": validated}
    return both if (created == "accepted") != (validated == "accepted") else created


def take(ports: list[Any], steering: str) -> None:
    """The bench of the stand-in, with ports of the emulated NIC in the place of the real driver's."""
    bench.bench.ports = ports
    bench.bench.is_hardware = steering == "hardware"


def leave() -> None:
    for number in list(bench.bench.rules):
        bench.destroy(number)
    while bench.bench.contexts:
        bench.bench.contexts.popitem()[1].close()
    bench.bench.ports = []


def ask_all(lab: Any, steering: str, needs_switch: bool) -> dict[str, Any]:
    """As the real driver was asked: one port alone, or ports of an E-Switch."""
    parameters = {"profile": "connectx-sws" if steering == "software" else "connectx-hws", "queues": bench.N_QUEUES}
    hosts = lab.pair(**parameters, start=False) if needs_switch else [lab.host(**parameters, start=False)]
    assert [host.port.id for host in hosts] == list(range(len(hosts)))
    for host in hosts:
        if steering == "hardware":
            host.port.configure_flow(FlowSizes(queues=1, queue_size=64, counters=1024, ages=1024, conntracks=64))
        host.port.start()
    take([host.port for host in hosts], steering)
    found = {shape.name: ask(shape.name, steering) for shape in SHAPES if shape.needs_switch == needs_switch}
    leave()
    return found


@pytest.mark.parametrize("needs_switch", [False, True], ids=["nic", "switch"])
@pytest.mark.parametrize("steering", ["software", "hardware"])
def test_every_shape_is_answered_as_by_the_real_driver(lab: Any, steering: str, needs_switch: bool) -> None:
    found = ask_all(lab, steering, needs_switch)
    known = {name: in_short(KNOWN[name][steering]) for name in found}
    different = {name: (known[name], found[name]) for name in found if known[name] != found[name]}
    listed = {p: r for p, r in OTHERWISE[steering].items() if any(re.fullmatch(p, name) for name in found)}
    unexpected = {n: said for n, said in different.items() if not any(re.fullmatch(p, n) for p in listed)}
    assert not unexpected, f"{len(unexpected)}: recorded, found:\n{json.dumps(unexpected, indent=1)}"
    obsolete = [p for p in listed if not any(re.fullmatch(p, name) for name in different)]
    assert not obsolete, f"answered as recorded by now: {obsolete}"
    assert len(found) > 500


def test_all_that_was_recorded_is_asked() -> None:
    assert {shape.name for shape in SHAPES} == set(KNOWN)
