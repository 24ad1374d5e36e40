"""The command capture: what software handles, as pcapng, as it happens."""

from __future__ import annotations

import base64
import errno
from collections.abc import Iterator
from typing import Any

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.pcapng import interfaces, section
from ctoffload_dpdk.control.command import Answers, Command, Parameter, Part, rows_part
from ctoffload_dpdk.control.filters import FILTER_PARAMETERS, Filter
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import PacketTap, pcapng_blocks

MAX_SNAPLEN = 65535
MAX_RING_MB = 256
# Packets in one part of the answer.
AT_ONCE = 8192


def capture(
    system: System, snaplen: int = MAX_SNAPLEN, number: int = 0, ring: int = 8, **filters: Any
) -> Iterator[Part]:
    """Rows of blocks, each with how many packets were captured and dropped so far.

    snaplen: bytes kept of a packet; number: of packets after which it ends, 0: never; ring: MiB of each loop. Raises
    UsageError EBUSY where a capture runs already, EINVAL for a filter that is none.
    """
    wanted = Filter.of(**filters)
    taps = [PacketTap(snaplen=snaplen, ring_bytes=ring << 20, **wanted.given()) for _ in system.engine.loops]
    with system.engine.held():
        if any(loop.is_tapped for loop in system.engine.loops):
            raise UsageError("a capture is running already", errno=errno.EBUSY, op="capture", hint="end that one first")
        for loop, tap in zip(system.engine.loops, taps, strict=True):
            loop.set_tap(tap)
    try:
        yield from parts(system, taps, snaplen, number)
    finally:
        with system.engine.held():
            for loop in system.engine.loops:
                loop.set_tap(None)


def parts(system: System, taps: list[PacketTap], snaplen: int, number: int) -> Iterator[Part]:
    """The head of the file, then what comes; empty parts while nothing does."""
    names = port_names(system)
    told = -1
    yield row_of(taps, 0, section(f"ctoffload {__version__}", names, snaplen))
    n_sent = 0
    while not number or n_sent < number:
        n = 0
        for tap in taps:
            rows, packets = tap.take(min(AT_ONCE, number - n_sent - n) if number else AT_ONCE)
            blocks = pcapng_blocks(rows, packets)
            n += len(rows)
            highest = int(rows["port"].max()) if len(rows) else -1
            if highest >= len(names):  # a port that came later
                more = port_names(system, highest + 1)[len(names) :]
                yield row_of(taps, 0, interfaces(more, snaplen))
                names += more
            if len(rows):
                yield row_of(taps, len(rows), bytes(blocks))
            if number and n_sent + n >= number:
                break
        n_sent += n
        dropped = sum(tap.dropped for tap in taps)
        if not n:
            # Losses are told also where nothing else is.
            yield row_of(taps, 0, b"") if dropped != told and told >= 0 else Part()
        told = dropped


def port_names(system: System, least: int = 0) -> list[str]:
    """The ports by their number in the loop, those that are gone by the number alone."""
    known = {port.index: port.name for port in system.engine.ports.values()}
    return [known.get(i, f"port {i}") for i in range(max([least, *(i + 1 for i in known)]))]


def row_of(taps: list[PacketTap], n: int, blocks: bytes) -> Part:
    facts = {"captured": sum(tap.captured for tap in taps), "dropped": sum(tap.dropped for tap in taps)}
    part = rows_part([{**facts, "packets": n, "blocks": base64.b64encode(blocks).decode()}])
    return Part(n, rows=part.rows)


CAPTURE_COMMANDS = (
    Command(
        "capture",
        "What software handles, as pcapng, as it happens: blocks in base64, with ct_state and offload as comments.",
        Answers.STREAM,
        capture,
        (
            Parameter("snaplen", int, "bytes kept of each packet", minimum=1, maximum=MAX_SNAPLEN),
            Parameter("number", int, "end after so many packets", maximum=2**62),
            Parameter("ring", int, "MiB between a loop and the writer", minimum=1, maximum=MAX_RING_MB),
            *FILTER_PARAMETERS,
        ),
        "what finds the ring full is dropped, and counted",
    ),
)
