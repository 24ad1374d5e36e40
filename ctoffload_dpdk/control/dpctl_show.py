"""dpctl's commands that show: connections, their numbers, what offload did."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ctoffload_dpdk.control.dpctl import (
    DATAPATH,
    Arguments,
    DpctlCommand,
    DpctlError,
    Steps,
    begins_with,
    number_of,
    zone_of,
)
from ctoffload_dpdk.control.filters import Filter
from ctoffload_dpdk.control.system import SLICE, System
from ctoffload_dpdk.engine import PROTOCOL_GROUPS, PROTOCOLS, TCP_STATES, expectations, ovs_text

# A client takes an answer in one piece, so that it cannot be without end.
MAX_LINES = 100_000
MAX_EXPECTED = 10_000
# Two states that a dump without -m shows as another.
SHOWN_AS = {"FIN_WAIT_2": "TIME_WAIT", "SYN_RECV": "ESTABLISHED"}
SHOWN_GROUPS = {"icmpv6": "ICMPv6", "other": "Other"}
RULE = "+-----------+-----------------------------------------+"


def dump_conntrack(system: System, given: Arguments) -> Steps:
    """A line a connection; the first MAX_LINES of them."""
    walking = system.walk(one_zone(given).conditions)
    more, statistics = "more" in given.options, "statistics" in given.options
    lines: list[str] = []
    n, left = 0, 0
    for walk in walking:
        if n == MAX_LINES:
            left += walk.count()
        else:
            rows = walk.rows(min(SLICE, MAX_LINES - n))
            n += len(rows)
            lines.append(ovs_text(rows, more=more, statistics=statistics, ours=False))
        yield
    if left:
        lines.append(f"and {left} more; all of them: ctoffload dump\n")
    return "".join(lines)


def one_zone(given: Arguments) -> Filter:
    """[dp] [zone=N]"""
    given.take_datapath(begins_with("zone="))
    zone = zone_of(given.words.pop(0)) if given.words else None
    given.nothing_more()
    return Filter(zone=zone)


def dump_expectations(system: System, given: Arguments) -> str:
    """What helpers expect: a line each, with the connection that announced it."""
    zone = one_zone(given).zone
    found = []
    for tracker in system.trackers():
        with tracker.held():
            found += expectations(tracker, MAX_EXPECTED)
    return "".join(expectation_text(one) for one in found if zone is None or one["zone"] == zone)


def expectation_text(one: dict[str, Any]) -> str:
    parent = ",".join(f"{name}={value}" for name, value in one["parent"].items())
    proto = PROTOCOLS.get(one["proto"], one["proto"])
    text = f"{proto},orig=(src={one['src']},dst={one['dst']},sport=0,dport={one['dport']})"
    text += f",parent=({parent})" + (f",zone={one['zone']}" if one["zone"] else "")
    text += (f",mark={one['mark']}" if one["mark"] else "") + (f",labels={one['label']:#x}" if one["label"] else "")
    return f"{text},helper={one['helper']}\n"


def ct_stats_show(system: System, given: Arguments) -> str:
    """Numbers by protocol, and of TCP by state."""
    given.take_datapath(lambda word: word.startswith("zone=") or is_verbose(word))
    zone, verbose = None, "more" in given.options
    for word in given.words:
        if word.startswith("zone="):
            zone = zone_of(word)
        elif is_verbose(word):
            verbose = True
        else:
            raise DpctlError("invalid arguments")
    protocols, states = system.numbers(zone)
    return stats_text(protocols.tolist(), states.tolist(), verbose=verbose)


def is_verbose(word: str) -> bool:
    return bool(word) and "verbose".startswith(word)


def stats_text(protocols: list[int], states: list[int], *, verbose: bool) -> str:
    """protocols, states: how many of each of PROTOCOL_GROUPS and TCP_STATES."""
    lines = ["Connections Stats:", f"    Total: {sum(protocols)}"]
    for group, n in zip(PROTOCOL_GROUPS, protocols, strict=True):
        if n:
            lines.append(f"  {SHOWN_GROUPS.get(group, group.upper())}: {n}")
        if group == "tcp" and n and verbose:
            lines += ["    Conn per TCP states:", *state_lines(states)]
    return "\n".join(lines) + "\n"


def state_lines(states: list[int]) -> list[str]:
    shown: Counter[str] = Counter()
    for state, n in zip(TCP_STATES, states, strict=True):
        shown[SHOWN_AS.get(state, state)] += n
    return [f"\t  [{state}]={shown[state]}" for state in TCP_STATES if shown[state]]


def ct_bkts(system: System, given: Arguments) -> str:
    """OVS's userspace shows its connections as one bucket; so do we."""
    given.take_datapath(begins_with("gt="))
    least = 0
    if given.words:
        found = number_of(given.words.pop(0).removeprefix("gt="), 1 << 32)
        if found is None:
            raise DpctlError("failed to parse gt")
        least = found
    given.nothing_more()
    n = system.count()
    head = f"Total Buckets: 1\nCurrent Connections: {n}\n\n"
    if not n:
        return head
    value = f"{n:5d}" if n > least else f"{'.':>5}"
    columns = "|  Buckets  |         Connections per Buckets         |"
    return f"{head}{RULE}\n{columns}\n{RULE}\n   0..  7   | {value}\n\n"


def get_nconns(system: System, given: Arguments) -> str:
    given.take_datapath()
    return f"{system.count()}\n"


def dump_dps(system: System, given: Arguments) -> str:
    return f"{DATAPATH}\n"


def offload_stats_show(system: System, given: Arguments) -> str:
    """What each provider did: connections and rules now, operations and their latency."""
    given.take_datapath()
    lines = ["HW Offload stats:"]
    for provider in system.engine.layer.statistics().providers:
        figures: dict[str, int | float] = {"Connections": provider.connections, "Inserted": provider.installed}
        figures |= {"Rules": provider.rules, "Orphans": provider.orphans, "Lost": provider.lost}
        for name, done in provider.ops.items():
            figures |= {f"{name} enqueued": done.enqueued, f"{name} failed": done.failed}
        latency = provider.latency
        figures |= {"Cumulative Average latency (us)": latency.average_us, "Latency stddev (us)": latency.stddev_us}
        figures["Exponential Average latency (us)"] = latency.ewma_us
        lines.append(f"  {provider.name}:")
        lines += [f"    {name}: {round(value)}" for name, value in figures.items()]
    return "\n".join(lines) + "\n"


SHOW_COMMANDS = (
    DpctlCommand("dump-dps", "", 0, 0, dump_dps),
    DpctlCommand("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, dump_conntrack),
    DpctlCommand("dump-conntrack-exp", "[dp] [zone=N]", 0, 2, dump_expectations),
    DpctlCommand("ct-stats-show", "[dp] [zone=N]", 0, 3, ct_stats_show),
    DpctlCommand("ct-bkts", "[dp] [gt=N]", 0, 2, ct_bkts),
    DpctlCommand("ct-get-nconns", "[dp]", 0, 1, get_nconns),
    DpctlCommand("offload-stats-show", "[dp]", 0, 1, offload_stats_show),
)
