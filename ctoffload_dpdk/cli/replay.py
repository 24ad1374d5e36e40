"""`ctoffload replay`: the connections of a capture file, tracked in software alone."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table

from ctoffload_dpdk.base.capture import Capture, link_name, read_capture
from ctoffload_dpdk.cli.output import Output, as_json, output_options, pass_output, printable, show
from ctoffload_dpdk.conntrack import Conntrack, CtState, Refusal, states_text

SCHEMA = 1
FAILURE = 1
NS_PER_MS = 1_000_000
AT_ONCE = 8192
EVENTS = 8 * AT_ONCE  # a packet ends and begins a connection at most, and changes it a few times
EVENT_NEW = 1
PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp"}
# What is said of a packet: the text of its ct_state, or that it is a fragment that waits.
HELD = 256
TEXT = [*(states_text(state) for state in range(HELD)), "held"]
VERDICT_LINE, HELD_LINE = 0, 1


@click.command()
@click.argument("file")
@click.option("--states", is_flag=True, help="Print every packet's number and ct_state.")
@click.option("--capture-time", is_flag=True, help="Let time follow the capture; without it time stands still.")
@click.option("--ovs-compat/--no-ovs-compat", default=True, show_default=True, help="Judge each packet as OVS does.")
@output_options
@pass_output
def replay(output: Output, /, *, file: str, states: bool, capture_time: bool, ovs_compat: bool) -> int:
    """Track the connections of a pcap or pcapng FILE; - is standard input.

    Every packet is committed, in zone 0, without NAT and helpers. A file that breaks off or is damaged gives what lies
    ahead of that place, then the error, and status 1.
    """
    capture = read_capture("/dev/stdin" if file == "-" else file)
    run = Run(capture, ovs_compat=ovs_compat, capture_time=capture_time)
    if states:
        show_states(output, run)
    else:
        show_summary(output, run)
    if capture.error:
        show(capture.error, output)
        return FAILURE
    return 0


class Run:
    """A capture going through the tracker. Iterating gives (numbers, words) of what is said of packets, chunk by chunk.

    number: of the packet, from 1; word: index into TEXT. A fragment is held first; when its datagram is whole, each of
    its fragments gets a word under the number of the packet that completed it.
    """

    def __init__(self, capture: Capture, *, ovs_compat: bool, capture_time: bool) -> None:
        self.capture = capture
        times = capture.packets.time_ns // NS_PER_MS
        self.now_ms = np.maximum.accumulate(times) if capture_time and len(times) else np.zeros_like(times)
        start_ms = int(self.now_ms[0]) if len(times) else 0
        self.tracker = Conntrack(ovs_compat=ovs_compat, now_ms=start_ms, events=EVENTS)
        self.protocols: Counter[int] = Counter()
        self.invalid: Counter[int] = Counter()

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        packets = self.capture.packets
        for start in range(0, len(packets), AT_ONCE):
            stop = min(start + AT_ONCE, len(packets))
            lines = self.tracker.track(packets.slice(start, stop), now_ms=self.now_ms[start:stop], commit=True)
            lines = lines[lines["kind"] <= HELD_LINE]
            events = self.tracker.events()
            self.protocols.update(events["proto"][events["kind"] == EVENT_NEW].tolist())
            self.invalid.update(lines["reason"][lines["state"] & CtState.CS_INVALID != 0].tolist())
            self.tracker.expire(now_ms=int(self.now_ms[stop - 1]))
            self.tracker.events()
            words = np.where(lines["kind"] == VERDICT_LINE, lines["state"].astype(np.int64), HELD)
            yield lines["number"].astype(np.int64) + start + 1, words


def show_states(output: Output, run: Run) -> None:
    """A line for each word on a packet, or one JSON document; written as it comes, a capture may be long."""
    write = sys.stdout.write
    if not output.json:
        for numbers, words in run:
            write("".join(f"{n}: {TEXT[w]}\n" for n, w in zip(numbers.tolist(), words.tolist(), strict=True)))
        return
    head, tail = as_json(header(run.capture) | {"states": []}, pretty=output.pretty).rsplit("[]", 1)
    texts = [as_json([] if text == "0" else text.split("|"), pretty=False) for text in TEXT]
    write(f"{head}[")
    comma = ""
    for numbers, words in run:
        pairs = zip(numbers.tolist(), words.tolist(), strict=True)
        write(comma + ",".join(f'\n{{"packet": {n}, "state": {texts[w]}}}' for n, w in pairs))
        comma = ","
    write(f"]{tail}\n")


def show_summary(output: Output, run: Run) -> None:
    """What the capture holds: packets, their states, connections."""
    counts = np.zeros(len(TEXT), np.int64)
    for _, words in run:
        counts += np.bincount(words, minlength=len(TEXT))
    # Fragments whose datagram became whole were counted twice.
    counts[HELD] = len(run.capture.packets) - counts[:HELD].sum()
    common = np.argsort(-counts, kind="stable")
    totals = run.tracker.counters()
    capture = run.capture
    summary = header(capture) | {
        "states": {TEXT[state]: int(counts[state]) for state in common.tolist() if counts[state]},
        "invalid": {reason_text(reason): n for reason, n in run.invalid.most_common()},
        "connections": {
            "created": totals.created,
            "live": totals.live,
            "expired": totals.expired,
            "closed": totals.closed,
            "replaced": totals.replaced,
            "protocols": {PROTOCOLS.get(proto, str(proto)): n for proto, n in run.protocols.most_common()},
        },
    }
    if output.json:
        output.document(summary)
    else:
        click.echo(printable(capture.path))
        output.console().print(table(summary))


def reason_text(reason: int) -> str:
    """ "l4-checksum" for REFUSED_L4_CHECKSUM."""
    return Refusal(reason).name.removeprefix("REFUSED_").lower().replace("_", "-")


def header(capture: Capture) -> dict[str, Any]:
    """What is said of the capture itself."""
    times = capture.packets.time_ns
    return {
        "schema": SCHEMA,
        "file": capture.path,
        "format": capture.format,
        "link_types": list(dict.fromkeys(link_name(link_type) for link_type in capture.link_types)),
        "packets": len(capture.packets),
        "bytes": int(capture.packets.wire_length.sum(dtype=np.uint64)),
        "duration_s": (int(times.max()) - int(times.min())) / 1e9 if len(times) else 0.0,
        "error": capture.error.as_dict() if capture.error else None,
    }


def table(summary: dict[str, Any]) -> RenderableType:
    """The summary for people."""
    connections = summary["connections"]
    ended = ", ".join(f"{connections[how]:,} {how}" for how in ("expired", "closed", "replaced") if connections[how])
    grid = Table(show_header=False, box=None, pad_edge=False)
    grid.add_column(style="bold")
    grid.add_column(justify="right")
    grid.add_column(style="dim")
    links = ", ".join(summary["link_types"])
    grid.add_row("packets", f"{summary['packets']:,}", f"{summary['format']}, {links}, {summary['bytes']:,} bytes")
    grid.add_row("duration", f"{summary['duration_s']:.1f} s")
    grid.add_row(
        "connections", f"{connections['created']:,}", f"{connections['live']:,} live{', ' if ended else ''}{ended}"
    )
    for name, n in connections["protocols"].items():
        grid.add_row(f"  {name}", f"{n:,}")
    grid.add_row("ct_state")
    for state, n in summary["states"].items():
        reasons = summary["invalid"] if state.startswith("inv") else {}
        grid.add_row(f"  {state}", f"{n:,}", ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()))
    return grid
