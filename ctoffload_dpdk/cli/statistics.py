"""What is counted, as text: connections and rules apart, operations of each provider, and what each number means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# By section and name. What has no line here speaks for itself.
MEANING: Mapping[str, Mapping[str, str]] = {
    "connections": {
        "created": "since the start: live + expired + closed + flushed + replaced",
        "live": "in the table now",
        "expired": "ended by their idle timeout",
        "closed": "ended after a FIN or RST",
        "flushed": "ended by a command",
        "replaced": "ended because a new connection took their ports",
    },
    "rules": {
        "created": "rte_flow rules made since the start: destroyed + lost + live; a connection has two",
        "destroyed": "taken out again",
        "lost": "gone with a port that vanished or was reset",
        "live": "in the NIC now, those of the ports' pipelines included",
    },
    "contexts": {
        "created": "CONNTRACK objects of the NIC made since the start: destroyed + lost + live",
        "live": "in the NIC now; a TCP connection has one",
    },
    "packets": {
        "host_rx": "that the NIC handed to software: host_tx + sw_dropped",
        "host_tx": "that software sent on",
        "tracked": "of host_rx, judged by the tracker",
        "sw_dropped": "dropped by software, by reason",
        "untracked": "of host_rx, passed without being tracked, by reason",
    },
    "nic": {
        "packets": "that rules forwarded past software, as last told by the NIC, both directions",
        "bytes": "of these",
    },
    "provider": {
        "connections": "that it accepted and holds",
        "installed": "of these, in the NIC",
        "orphans": "rules of a stalled provider that nobody could take out yet",
        "lost": "of these, given up",
        "enqueued": "operations handed over",
        "completed": "answered well",
        "failed": "answered with an error",
        "depth": "operations outstanding now",
        "high_water": "the most that were outstanding at once, in one shard",
        "budget": "how many may be outstanding, per shard",
        "latency": "from handing over to the answer, in microseconds: last, average, moving average, deviation",
        "stalls": "how often a call went over its limit",
        "nonsense": "answers that fitted no operation",
    },
}


def explained() -> dict[str, dict[str, str]]:
    """What each number means, by section and name."""
    return {section: dict(names) for section, names in MEANING.items()}


def stats_text(answer: Mapping[str, Any], *, explain: bool) -> str:
    """The answer of `stats` for people."""
    lines: list[str] = []
    for section in ("connections", "rules", "contexts", "packets"):
        lines += section_lines(section, answer[section], explain=explain)
    trackers = answer["trackers"]
    nic = {name: sum(sum(tracker[f"nic_{name}"]) for tracker in trackers) for name in ("packets", "bytes")}
    lines += section_lines("nic", nic, explain=explain)
    refused = {name: sum(t["refused"][name] for t in trackers) for name in trackers[0]["refused"]}
    lines += section_lines("refused", {name: n for name, n in refused.items() if n}, explain=False)
    lines.append(f"offload {'on' if answer['offload']['is_enabled'] else 'off'}")
    for provider in answer["offload"]["providers"]:
        lines += provider_lines(provider, explain=explain)
    return "\n".join(lines) + "\n"


def section_lines(section: str, numbers: Mapping[str, Any], *, explain: bool) -> Iterator[str]:
    """A heading and a number a line; those by reason where they are not 0."""
    if numbers:
        yield section
    for name, value in numbers.items():
        meaning = MEANING.get(section, {}).get(name, "") if explain else ""
        if isinstance(value, Mapping):
            listed = ", ".join(f"{reason} {n:,}" for reason, n in value.items() if n)
            yield row(name, sum(value.values()), listed, meaning)
        else:
            yield row(name, value, "", meaning)


def row(name: str, value: int, listed: str, meaning: str) -> str:
    text = f"  {name.replace('_', '-'):<14}{value:>16,}{f'  ({listed})' if listed else ''}"
    return f"{text}  {meaning}" if meaning else text


def provider_lines(provider: Mapping[str, Any], *, explain: bool) -> Iterator[str]:
    """One provider: what it holds, operations, queues, latency."""
    state = "stalled" if provider["is_stalled"] else "active" if provider["is_active"] else "inactive"
    yield f"provider {provider['name']} ({state})"
    meaning = MEANING["provider"] if explain else {}
    for name in ("connections", "installed", "orphans", "lost", "stalls", "nonsense"):
        yield row(name, provider[name], "", meaning.get(name, ""))
    yield f"  {'operation':<14}{'enqueued':>12}{'completed':>12}{'failed':>12}"
    for name, ops in provider["ops"].items():
        yield f"    {name:<12}{ops['enqueued']:>12,}{ops['completed']:>12,}{ops['failed']:>12,}"
    yield f"  {'queue':<14}{'depth':>12}{'high-water':>12}{'budget':>12}"
    for name, queue in provider["queues"].items():
        yield f"    {name:<12}{queue['depth']:>12,}{queue['high_water']:>12,}{queue['budget']:>12,}"
    latency = provider["latency"]
    yield (
        f"  latency us    last {latency['last_us']:.0f}, average {latency['average_us']:.0f}, "
        f"moving average {latency['ewma_us']:.0f}, deviation {latency['stddev_us']:.0f}, of {latency['n']:,}"
    )
    yield from (f"    {name}: {meaning[name]}" for name in ("enqueued", "depth", "high_water", "latency") if meaning)
    if any(provider["reasons"].values()):
        yield "  refused       " + ", ".join(f"{reason} {n:,}" for reason, n in provider["reasons"].items() if n)
