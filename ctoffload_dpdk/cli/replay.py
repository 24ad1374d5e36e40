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
from ctoffload_dpdk.conntrack import Conntrack, states_text

SCHEMA = 1
FAILURE = 1
NS_PER_MS = 1_000_000
AT_ONCE = 8192
EVENTS = 8 * AT_ONCE  # a packet ends and begins a connection at most, and changes it a few times
EVENT_NEW = 1
PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp"}
TEXT = [states_text(state) for state in range(256)]


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
    """A capture going through the tracker. Iterating gives (numbers, states) of the packets judged, chunk by chunk."""

    def __init__(self, capture: Capture, *, ovs_compat: bool, capture_time: bool) -> None:
        self.capture = capture
        times = capture.packets.time_ns // NS_PER_MS
        self.now_ms = np.maximum.accumulate(times) if capture_time and len(times) else np.zeros_like(times)
        start_ms = int(self.now_ms[0]) if len(times) else 0
        self.tracker = Conntrack(ovs_compat=ovs_compat, now_ms=start_ms, events=EVENTS)
        self.protocols: Counter[int] = Counter()

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        packets = self.capture.packets
        for start in range(0, len(packets), AT_ONCE):
            stop = min(start + AT_ONCE, len(packets))
            verdicts = self.tracker.process(packets.slice(start, stop), now_ms=self.now_ms[start:stop], commit=True)
            events = self.tracker.events()
            self.protocols.update(events["proto"][events["kind"] == EVENT_NEW].tolist())
            self.tracker.expire(now_ms=int(self.now_ms[stop - 1]))
            self.tracker.events()
            yield np.arange(start + 1, stop + 1), verdicts["state"]


def show_states(output: Output, run: Run) -> None:
    """A line per packet, or one JSON document; written as it comes, a capture may be long."""
    write = sys.stdout.write
    if not output.json:
        for numbers, states in run:
            write("".join(f"{n}: {TEXT[s]}\n" for n, s in zip(numbers.tolist(), states.tolist(), strict=True)))
        return
    head, tail = as_json(header(run.capture) | {"states": []}, pretty=output.pretty).rsplit("[]", 1)
    words = [as_json([] if text == "0" else text.split("|"), pretty=False) for text in TEXT]
    write(f"{head}[")
    comma = ""
    for numbers, states in run:
        pairs = zip(numbers.tolist(), states.tolist(), strict=True)
        write(comma + ",".join(f'\n{{"packet": {n}, "state": {words[s]}}}' for n, s in pairs))
        comma = ","
    write(f"]{tail}\n")


def show_summary(output: Output, run: Run) -> None:
    """What the capture holds: packets, their states, connections."""
    counts = np.zeros(256, np.int64)
    for _, states in run:
        counts += np.bincount(states, minlength=256)
    common = np.argsort(-counts, kind="stable")
    totals = run.tracker.counters()
    capture = run.capture
    summary = header(capture) | {
        "states": {TEXT[state]: int(counts[state]) for state in common.tolist() if counts[state]},
        "invalid": {reason: n for reason, n in totals.refused.items() if n},
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
