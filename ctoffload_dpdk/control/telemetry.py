"""Commands on DPDK's telemetry socket, for dpdk-telemetry.py: /ctoffload/..."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.commands import document
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import ovs_lines

LOGGER = logging.getLogger("ctoffload.control.telemetry")

# An answer has 16 KiB at most, in names and values; so many connections fit, whatever their addresses.
MAX_ROWS = 48
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
    """[FIRST]: MAX_ROWS connections, the first of them number FIRST of the table."""
    first = int(parameter) if parameter.isdecimal() and len(parameter) < 12 else 0
    if parameter and not parameter.isdecimal():
        # Its own words are not given back: telemetry does not write every sign as JSON wants it.
        return {"error": "the parameter is no number", "usage": "/ctoffload/conntrack,FIRST"}
    rows: dict[str, Any] = {}
    n = 0
    for part in system.slices():
        for row in part[max(0, first - n) : max(0, first + MAX_ROWS - n)]:
            rows[str(first + len(rows))] = connection(row)
        n += len(part)
        if len(rows) == MAX_ROWS:
            break
    return {"connections": system.count(), "first": first, "shown": len(rows), "rows": rows}


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
    "/ctoffload/conntrack": (conntrack, f"{MAX_ROWS} connections. Parameter: number of the first, default 0."),
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
