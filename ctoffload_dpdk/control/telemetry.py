"""Commands on DPDK's telemetry socket, for dpdk-telemetry.py: /ctoffload/..."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.commands import document
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import Walk, ovs_lines

LOGGER = logging.getLogger("ctoffload.control.telemetry")

# An answer has 16 KiB at most, in names and values; so many connections fit, whatever their addresses.
MAX_ROWS = 48
# Steps of the table that one answer looks at, where few connections are in it: 1M places, some 10 ms.
MAX_LOOKS = 256
SLOT = 0xFFFFFFFF
CALL_LIMIT_S = 5.0

# Runs a function on the control thread.
Call = Callable[..., Any]


def status(system: System, parameter: str) -> dict[str, Any]:
    return flat(document(system, "status"))


def stats(system: System, parameter: str) -> dict[str, Any]:
    """What is counted, under the names of `ctoffload stats --json`."""
    engine = system.engine
    found = {"connections": asdict(engine.connections()), "rules": asdict(engine.rules())}
    found |= {"contexts": asdict(engine.contexts())}
    packets = asdict(engine.packets())
    return {
        **found,
        "packets": {name: value for name, value in packets.items() if isinstance(value, int)},
        "sw_dropped": packets["sw_dropped"],
        "untracked": packets["untracked"],
        "refused": engine.conntrack.counters().refused,
    }


def providers(system: System, parameter: str) -> dict[str, Any]:
    """Each provider's figures."""
    found = {}
    for provider in system.engine.layer.statistics().providers:
        facts = flat(asdict(provider))
        for kind, done in provider.ops.items():
            facts |= {f"{kind.lower()}_{name}": value for name, value in asdict(done).items()}
        for queue, figures in provider.queues.items():
            facts |= {f"{queue}_{name}": value for name, value in asdict(figures).items()}
        found[provider.name] = facts
    return found


def conntrack(system: System, parameter: str) -> dict[str, Any]:
    """[FIRST]: up to MAX_ROWS connections, from that place of the table on; next: where to ask then, 0 at the end."""
    if parameter and not parameter.isdecimal():
        # Its own words are not given back: telemetry does not write every sign as JSON wants it.
        return {"error": "the parameter is no number", "usage": "/ctoffload/conntrack,FIRST"}
    first = int(parameter) if parameter and len(parameter) < 12 else 0
    rows, following = places(system, first)
    shown = {str(place): connection(row) for place, row in rows}
    return {"connections": system.count(), "first": first, "next": following, "shown": len(shown), "rows": shown}


def places(system: System, first: int) -> tuple[list[tuple[int, Any]], int]:
    """(places and connections, where to go on); the tables of the loops stand one behind the other."""
    trackers = system.trackers()
    width = trackers[0].capacity
    found: list[tuple[int, Any]] = []
    looks = MAX_LOOKS
    for number in range(first // width, len(trackers)):
        walk = Walk(trackers[number], first=max(first - number * width, 0) + 1)
        while walk.next and looks and len(found) < MAX_ROWS:
            looks -= 1
            for row in walk.rows(MAX_ROWS - len(found)):
                found.append((number * width + (int(row["conn_id"]) & SLOT) - 1, row))
        if walk.next:
            return found, number * width + walk.next - 1
    return found, 0


def connection(row: Any) -> dict[str, Any]:
    """One connection in few words, since there is little room."""
    line = ovs_lines(row.reshape(1))[0]
    orig, _, rest = line.partition(",reply=")
    _, _, state = rest.partition("),")
    return {"orig": orig, "state": state, "packets": int(row["packets"].sum()), "zone": int(row["zone"])}


def flat(facts: dict[str, Any]) -> dict[str, Any]:
    """What telemetry can carry: numbers and texts; a list as words."""
    found: dict[str, int | str] = {}
    for name, value in facts.items():
        if isinstance(value, bool):
            found[name] = int(value)
        elif isinstance(value, float):
            found[name] = str(value)
        elif isinstance(value, int | str):
            found[name] = value
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[name] = ", ".join(value)
    return found


COMMANDS = {
    "/ctoffload/status": (status, "Who runs here, on what ports. No parameters."),
    "/ctoffload/stats": (stats, "Connections, rules and packets, as counted. No parameters."),
    "/ctoffload/providers": (providers, "Each provider's figures. No parameters."),
    "/ctoffload/conntrack": (
        conntrack,
        f"{MAX_ROWS} connections. Parameter: place in the table of the first, default 0; then `next`.",
    ),
}


class Telemetry:
    """The commands of one System, between start() and close(). DPDK cannot forget them: then they say that it ended.

    call: runs a function on the control thread and gives what it returns; telemetry asks on a thread of DPDK's.
    """

    def __init__(self, system: System, call: Call) -> None:
        self.system = system
        self.call = call
        self.is_open = False

    async def start(self) -> None:
        self.is_open = True
        for path, (function, help_text) in COMMANDS.items():
            self.system.engine.eal.on_telemetry(path, self._answering(function), help_text)

    async def close(self) -> None:
        self.is_open = False

    def _answering(self, function: Callable[[System, str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
        def answer(parameter: str) -> dict[str, Any]:
            if not self.is_open:
                return {"error": "the engine has ended"}
            try:
                found: dict[str, Any] = self.call(lambda: function(self.system, parameter), CALL_LIMIT_S)
            except CtoffloadError as error:
                return {"error": error.message}
            except TimeoutError:
                return {"error": f"no answer within {CALL_LIMIT_S:.0f} s"}
            return found

        return answer
