"""What a port is given for rules before it starts: queues, counters, ages, contexts, a hairpin queue.

hairpins = hairpin_queues(port)                              # 0 or 1, on top of the queues of software
delivered = port.configure(rx_queues=1 + hairpins, tx_queues=1 + hairpins, rx_metadata=RX_METADATA)
...                                                          # software's own queues are set up
prepared = prepare(port, settings, hairpins=hairpins, delivered=delivered)
port.start()
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError, FlowError, PortError, errno_name
from ctoffload_dpdk.dpdk import FlowSizes, Mempool, Port, RxMetadata
from ctoffload_dpdk.providers.capability import Engine
from ctoffload_dpdk.providers.plan import Fate, Override, Plan
from ctoffload_dpdk.settings import Settings

RX_METADATA = RxMetadata.USER_MARK
# The last flow queue is the probe's: a queue is one thread's, and ports come while the worker runs.
PROBE_QUEUES = 1
# Below this, halving is given up. mlx5 lists no aged rule with fewer than 84 counters.
FEWEST = 128
# Answers that say nothing of what a port can do.
BUSY = (errno.EAGAIN, errno.ENOSPC, errno.ENOMEM)
NO_SUCH_CALL = (errno.ENOSYS, errno.ENOTSUP)


@dataclass(frozen=True)
class Spread:
    """How a port is to spread packets over its queues of software. types: RTE_ETH_RSS_*; key: of the Toeplitz hash."""

    types: int
    key: bytes


@dataclass(frozen=True)
class Prepared:
    """What a port was given.

    sizes: None where the driver has no rte_flow_configure, or refused every size; sizes_said: its words. queues: those
    of `sizes` that are the provider's, from 0; the probe's follows. hairpin_queue: None where there is none, and
    hairpin_said why; hairpin_peer: the id of the port by which it sends, its own or another's, to be bound once both
    run. notes: what is not as the settings have it, in sentences.
    """

    sizes: FlowSizes | None
    sizes_said: str
    queues: int
    hairpin_queue: int | None
    hairpin_peer: int
    hairpin_said: str
    rx_mark: bool
    notes: tuple[str, ...]

    @property
    def probe_queue(self) -> int:
        """The last queue; the provider's own where the driver has but one."""
        return self.sizes.queues - 1 if self.sizes else 0


def override_of(settings: Settings) -> Override:
    """What the settings fix of the choice of a plan."""
    plan, fate, engine = settings.ct_offload_plan, settings.ct_offload_fate, settings.ct_offload_flow_engine
    return Override(
        plan=None if plan == "auto" else Plan(plan),
        fate=None if fate == "auto" else Fate(fate),
        engine=None if engine == "auto" else Engine(engine),
    )


def said(error: CtoffloadError) -> str:
    """A refusal in one line: the call, what the driver answered, the errno's name."""
    words = error.message.removeprefix(f"{error.port}: ")
    return f"{words} [{errno_name(error.errno)}]" if error.errno else words


def hairpin_queues(port: Port) -> int:
    """How many queues the port is to have on top for its hairpin: 1 where its driver has them, else 0."""
    try:
        return min(1, port.hairpin_capability().max_queues)
    except PortError:
        return 0


def set_up(
    port: Port,
    mempool: Mempool,
    settings: Settings,
    *,
    rx_offloads: int = 0,
    descriptors: int = 0,
    peer: int | None = None,
    queues: int = 1,
    spread: Spread | None = None,
) -> Prepared:
    """Configures a port: queues of software each way, its hairpin's on top, what rules need. Raises PortError.

    rx_offloads: RTE_ETH_RX_OFFLOAD_* bits; descriptors: per queue, 0 for the driver's choice. spread: how packets are
    spread over several queues. peer: the id of the other port that the hairpin leads to, which is set up in the same
    way; None: back by this one.
    """
    peer = port.id if peer is None else peer
    hairpins = hairpin_queues(port)
    held: dict[str, Any] = {"rx_offloads": rx_offloads, "removal_events": port.info().tells_removal}
    if spread is not None:
        held |= {"rss_types": spread.types, "rss_key": spread.key}
    delivered = port.configure(
        rx_queues=queues + hairpins,
        tx_queues=queues + hairpins,
        rx_metadata=RX_METADATA,
        **held,
    )
    hairpin, hairpin_said = set_up_hairpin(port, peer) if hairpins else (None, why_no_hairpin(port))
    if hairpins and hairpin is None:
        # A port does not start with queues that were not set up. What it delivers was settled the first time.
        port.configure(rx_queues=queues, tx_queues=queues, **held)
    for queue in range(queues):
        port.setup_rx_queue(queue, mempool, descriptors=descriptors)
        port.setup_tx_queue(queue, descriptors=descriptors)
    sizes, sizes_said, notes = set_aside(port, sizes_of(settings))
    return Prepared(
        sizes=sizes,
        sizes_said=sizes_said,
        queues=max(1, sizes.queues - PROBE_QUEUES) if sizes else 0,
        hairpin_queue=hairpin,
        hairpin_peer=peer,
        hairpin_said=hairpin_said,
        rx_mark=RxMetadata.USER_MARK in delivered,
        notes=notes,
    )


def sizes_of(settings: Settings) -> FlowSizes:
    """What the settings want set aside for rules."""
    return FlowSizes(
        queues=settings.ct_offload_flow_queues + PROBE_QUEUES,
        queue_size=settings.ct_offload_flow_queue_size,
        counters=settings.ct_offload_counters,
        ages=settings.ct_offload_ages,
        conntracks=settings.ct_offload_contexts,
    )


def why_no_hairpin(port: Port) -> str:
    try:
        port.hairpin_capability()
    except PortError as error:
        return said(error)
    return "the driver says it has no hairpin queue"


def set_up_hairpin(port: Port, peer: int) -> tuple[int | None, str]:
    """Joins the port's last receive queue with the last transmit queue of its peer. Returns its number, and the words.

    Between two ports it is bound by hand, and what is sent needs no rule: the only way mlx5 has.
    """
    rx, tx, apart = port.n_rx_queues - 1, port.n_tx_queues - 1, peer != port.id
    try:
        port.setup_hairpin_rx(rx, [(peer, tx)], manual_bind=apart, tx_explicit=apart)
        port.setup_hairpin_tx(tx, [(peer, rx)], manual_bind=apart, tx_explicit=apart)
    except PortError as error:
        return None, said(error)
    return rx, f"receive queue {rx} is joined with transmit queue {tx}{f' of port {peer}' if apart else ''}"


def set_aside(port: Port, wanted: FlowSizes) -> tuple[FlowSizes | None, str, tuple[str, ...]]:
    """rte_flow_configure with the sizes wanted, else halved until the driver takes them. What was set aside, the
    driver's words, and what is to be said of it.
    """
    first = ""
    most = within(port, wanted)
    for sizes in halved(most):
        try:
            port.configure_flow(sizes)
        except FlowError as error:
            first = first or said(error)
            if error.errno in NO_SUCH_CALL:
                return None, said(error), ()
            continue
        limit = f"; the driver says it has no more than {in_words(most, wanted)}" if most != wanted else ""
        notes = (f"{port.name}: {in_words(sizes, most)} set aside, not {in_words(most, sizes)}: {first}",)
        return sizes, f"rte_flow_configure took {in_words(sizes)}{limit}", notes if sizes != most else ()
    return None, first, (f"{port.name}: rules go without queues, no size was taken: {first}",)


def within(port: Port, wanted: FlowSizes) -> FlowSizes:
    """The sizes wanted, within what the driver says it has; a 0 of it means unknown as often as none."""
    try:
        info = port.flow_info()
    except FlowError:
        return wanted
    return replace(
        wanted,
        queues=min(wanted.queues, info.max_queues or wanted.queues),
        queue_size=min(wanted.queue_size, info.max_queue_size or wanted.queue_size),
        counters=min(wanted.counters, info.max_counters or wanted.counters),
        ages=min(wanted.ages, info.max_ages or wanted.ages),
        conntracks=min(wanted.conntracks, info.max_conntracks or wanted.conntracks),
    )


def halved(sizes: FlowSizes) -> Iterator[FlowSizes]:
    """These sizes, then half of each object, and so on; the queues stay."""
    yield sizes
    while max(sizes.counters, sizes.ages, sizes.conntracks) > FEWEST:
        sizes = replace(
            sizes,
            counters=half(sizes.counters),
            ages=half(sizes.ages),
            conntracks=half(sizes.conntracks),
        )
        yield sizes


def half(n: int) -> int:
    return max(n // 2, min(n, FEWEST))


def in_words(sizes: FlowSizes, other: FlowSizes | None = None) -> str:
    """Sizes as people say them; only those that differ from the other ones."""
    names = {"counters": "counters", "ages": "ages", "conntracks": "contexts", "queues": "queues"}
    names["queue_size"] = "operations in a queue"
    differ = [name for name in names if other is None or getattr(sizes, name) != getattr(other, name)]
    return ", ".join(f"{getattr(sizes, name)} {names[name]}" for name in differ)
