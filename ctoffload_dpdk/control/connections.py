"""Commands about connections: dump, count, get, del, flush."""

from __future__ import annotations

import errno
import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import CtoffloadError, UsageError
from ctoffload_dpdk.control.command import Answers, Command, Document, Parameter, Part, Parts, Steps
from ctoffload_dpdk.control.filters import FILTER_PARAMETERS, Filter, number, protocol
from ctoffload_dpdk.control.system import AT_ONCE, SLICE, System
from ctoffload_dpdk.engine import conntrack_text, explain, json_rows, ovs_text

Rows = NDArray[np.void]

IN_HARDWARE = 2
# How long an answer of the NIC is waited for.
ANSWERS_S = 0.03

FORMATS = ("ovs", "conntrack", "json")
FORMAT = Parameter(
    "format", str, "ovs: lines as ovs-appctl prints them; conntrack: as conntrack(8) does", choices=FORMATS
)


def part_of(rows: Rows, form: str, *, more: bool = False, statistics: bool = False) -> Part:
    """Connections as one part of an answer."""
    if form == "json":
        return Part(len(rows), rows=json_rows(rows))
    if form == "conntrack":
        return Part(len(rows), text=conntrack_text(rows))
    return Part(len(rows), text=ovs_text(rows, more=more, statistics=statistics))


def dump(
    system: System,
    *,
    format: str = "ovs",
    more: bool = False,
    statistics: bool = False,
    fresh: bool = False,
    **filters: Any,
) -> Parts:
    """The connections that fit."""
    wanted = Filter.of(**filters).conditions
    if fresh:
        walking, asked = system.walk(wanted), 0
        for walk in walking:
            rows = walk.rows(SLICE)
            asked += system.ask(rows[rows["offload"] == IN_HARDWARE])
            yield {"asked": asked, **walking.progress()}
        yield from wait_for_answers(asked)
    walking = system.walk(wanted)
    for walk in walking:
        rows = walk.rows(SLICE)
        if len(rows):
            yield part_of(rows, format, more=more, statistics=statistics)
        else:
            yield walking.progress()


def wait_for_answers(asked: int) -> Parts:
    """Some milliseconds, where the NIC was asked something."""
    until = time.monotonic() + (ANSWERS_S if asked else 0)
    while time.monotonic() < until:
        yield Part(waits=True)


def count(system: System, **filters: Any) -> Steps:
    """How many connections fit; a number that is at hand where there is no filter."""
    wanted = Filter.of(**filters)
    if wanted.is_empty:
        return {"connections": system.count()}
    walking, found = system.walk(wanted.conditions), 0
    for walk in walking:
        found += walk.count()
        yield {"connections": found, **walking.progress()}
    return {"connections": found}


TUPLE_PARAMETERS = (
    Parameter("src", str, "source address of one direction", required=True),
    Parameter("dst", str, "destination address of that direction", required=True),
    Parameter("proto", str, "IP protocol, by name or number", required=True),
    Parameter("sport", int, "source port; ICMP: the identifier", maximum=65535),
    Parameter("dport", int, "destination port; ICMP: type * 256 + code", maximum=65535),
    Parameter("zone", int, "conntrack zone, default 0", maximum=65535),
)
ID_PARAMETER = Parameter("id", str, "the connection's id, as a dump in JSON gives it")


def one(
    system: System,
    *,
    id: str | None = None,
    src: str | None = None,
    dst: str | None = None,
    proto: str | None = None,
    sport: int = 0,
    dport: int = 0,
    zone: int = 0,
) -> Rows:
    """The connection of an id or a tuple as CONNECTION[1].

    Raises CtoffloadError ENOENT where there is none, UsageError EINVAL where neither is given whole.
    """
    if id is not None:
        rows = system.find_id(number_of(id))
    elif src is None or dst is None or proto is None:
        raise UsageError(
            "a connection is named by its id, or by src, dst and proto",
            errno=errno.EINVAL,
            hint="TCP and UDP need sport and dport as well",
        )
    else:
        rows = system.find(src, dst, protocol(proto), sport=sport, dport=dport, zone=zone)
    if not len(rows):
        raise CtoffloadError(
            "there is no such connection", errno=errno.ENOENT, hint="dump lists the connections that are there"
        )
    return rows


def number_of(text: str) -> int:
    """The number of a connection's id: hexadecimal with 0x, or decimal. Raises UsageError EINVAL for other text."""
    found = number(text)
    if found is None or found >= 2**64:
        raise UsageError(f"id cannot be {text[:60]!r}", errno=errno.EINVAL, hint="a number, as a dump in JSON gives it")
    return found


def get(system: System, format: str = "json", **which: Any) -> Parts:
    """One connection, with what the NIC carried until now."""
    found = one(system, **which)
    yield from wait_for_answers(system.ask(found[found["offload"] == IN_HARDWARE]))
    yield part_of(one(system, **which), format)


def delete(system: System, **which: Any) -> Document:
    """Ends one connection."""
    return {"deleted": system.end(one(system, **which))}


def explained(system: System, **which: Any) -> Document:
    """Why a connection is where it is: the chain of decisions."""
    row = one(system, **which)
    return {"connection": json.loads(json_rows(row)), "steps": explain(system.engine, row[0])}


def flush(system: System, **filters: Any) -> Steps:
    """Ends the connections that fit, a slice at a time."""
    walking, ended = system.walk(Filter.of(**filters).conditions), 0
    for walk in walking:
        ended += walk.flush(AT_ONCE)
        yield {"flushed": ended, **walking.progress()}
    return {"flushed": ended}


NAMED = tuple(Parameter(p.name, p.kind, p.doc, maximum=p.maximum) for p in TUPLE_PARAMETERS)

CONNECTION_COMMANDS = (
    Command(
        "dump",
        "The connections, each with its offload state and reason.",
        Answers.ROWS,
        dump,
        (
            FORMAT,
            Parameter("more", bool, "as -m of ovs-appctl: both peers' states, window scales, ids"),
            Parameter("statistics", bool, "as -s of ovs-appctl: what is left of the timeout"),
            Parameter("fresh", bool, "ask the NIC first; else packets and bytes are those it told of last"),
            *FILTER_PARAMETERS,
        ),
        "a slice of the table at a time: what comes and goes meanwhile is in or not",
    ),
    Command("count", "How many connections there are.", Answers.DOCUMENT, count, FILTER_PARAMETERS),
    Command("get", "One connection.", Answers.ROWS, get, (ID_PARAMETER, *NAMED, FORMAT)),
    Command(
        "explain",
        "Why a connection is in hardware or not: the chain of decisions.",
        Answers.DOCUMENT,
        explained,
        (ID_PARAMETER, *NAMED),
    ),
    Command("del", "End one connection.", Answers.DOCUMENT, delete, (ID_PARAMETER, *NAMED)),
    Command(
        "flush",
        "End the connections that fit, or all.",
        Answers.DOCUMENT,
        flush,
        FILTER_PARAMETERS,
        "a slice of the table at a time: what comes meanwhile may stay",
    ),
)
