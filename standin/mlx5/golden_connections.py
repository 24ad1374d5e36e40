"""Golden files of connections: what reaches the device for each kind of connection by each plan, the pipeline included.

python -m standin.mlx5.golden_connections            writes connections-<steering>.txt beside those of golden.py
python -m standin.mlx5.golden_connections --check    says what differs from them, exit status 1 if anything does
"""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

from standin.mlx5.control import RuleRecord
from standin.mlx5.golden import Names, difference_of, main_of, rule_text
from standin.mlx5.process import ROOT, Standin, Steering
from standin.mlx5.verdicts import golden_directory
from standin.mlx5.worker import Worker

MODULE = ROOT / "tests" / "standin" / "engine_bench.py"
# What there is memory for here.
SIZES = {"ct_offload_counters": 4096, "ct_offload_ages": 4096, "ct_offload_contexts": 1024}
PLANS = ("ct", "age", "count", "mark", "steer")
# Protocol, IPv6 or not, translated or not; of ICMP only what a plan can be for.
KINDS = [*product(("tcp", "udp"), (False, True), (False, True)), ("icmp", False, False)]
TAGS = ((5,), (7, 9))
SERVERS = ("198.51.100.2", "2001:db8::2")
# What two ports are joined: of which card, by heading.
SWITCH, SAME_PORT, TWO_PORTS = "between two ports of the switch", "back by the same port", "between two physical ports"
CARDS: dict[str, dict[str, Any]] = {
    SWITCH: {"n_ports": 3, "options": "representor=vf[0-1]"},
    SAME_PORT: {},
    TWO_PORTS: {"n_devices": 2},
}


def start(steering: Steering, card: str = SWITCH, **settings: object) -> Worker:
    """The uplink and two representors, which are joined; one port, joined with itself; or two that no switch joins."""
    worker = Worker(Standin(steering, **CARDS[card]), MODULE)
    worker.call("start", worker.nic.eal_args(), SIZES | settings)
    return worker


def turn(rule: RuleRecord) -> int:
    """Rules of the pipeline first, then that of what the client sends, then the server's: two ports' queues are worked
    through in any order.
    """
    source = next((str(value) for field, value in rule.matched().items() if "src_ip" in field), "")
    return 2 if source in SERVERS else 1 if source else 0


def made_by(worker: Worker, names: Names, *args: object) -> list[str]:
    """The rules that a connection brought: of the pipeline where it is the first of its kind, and its own."""
    before = {rule.number for rule in worker.control.rules()}
    reason, refusal = worker.call("establish", *args)
    made = sorted((rule for rule in worker.control.rules() if rule.number not in before), key=turn)
    # Which slot a connection has, and with it which mark, depends on when the one before it was let go.
    lines = [
        re.sub("do tag value .*", "do tag of the connection", line) for rule in made for line in rule_text(rule, names)
    ]
    if reason != "NONE":
        lines.append(f"    stays in software: {reason}{f', {refusal}' if refusal else ''}")
    left = worker.call("flush") - worker.call("pipeline")
    return [*lines, *([f"    {left} rules stay when it ends"] if left else []), ""]


def kind_text(worker: Worker, names: Names, proto: str, ipv6: bool, nat: bool) -> list[str]:
    family = "ipv6" if ipv6 else "ipv4"
    choice, *refusals = worker.call("choices")[f"{proto}/{family}/{'nat' if nat else 'plain'}"].splitlines()
    heading = f"{proto} over {family}{' with NAT' if nat else ''}: {choice}"
    return [heading, *(f"  {line}" for line in refusals), *made_by(worker, names, proto, ipv6, (), 0, nat)]


def plan_text(steering: Steering, card: str, plan: str) -> list[str]:
    """One process by one plan: each kind of connection, one after the other."""
    names = Names()
    lines = [f"=== {card}, plan {plan}", ""]
    with start(steering, card, ct_offload_plan=plan) as worker:
        for kind in KINDS:
            lines += kind_text(worker, names, *kind)
    return lines


def tags_text(steering: Steering) -> list[str]:
    """Connections of a zone that is known by one VLAN tag, or by two."""
    lines: list[str] = []
    for tags in TAGS:
        names = Names()
        with start(steering) as worker:
            worker.call("set_zone", tags, 3)
            for ipv6 in (False, True):
                lines += [f"=== tags {tags}, tcp over {'ipv6' if ipv6 else 'ipv4'}", ""]
                lines += made_by(worker, names, "tcp", ipv6, tags, 3)
    return lines


def golden(steering: Steering) -> str:
    lines: list[str] = []
    for card, plan in product(CARDS, PLANS):
        lines += plan_text(steering, card, plan)
    return "\n".join(lines + tags_text(steering))


def path_of(steering: Steering) -> Path:
    return golden_directory() / f"connections-{steering.name.lower()}.txt"


def difference(steering: Steering) -> str:
    """A diff from the file in the repository to what the driver makes now; empty where they agree."""
    return difference_of(path_of(steering), golden(steering))


if __name__ == "__main__":
    sys.exit(main_of(golden, path_of, "what reaches the device for connections by each plan"))
