"""How packets come to the loops: a queue of each port for each loop, where the port can spread packets as we do."""

from __future__ import annotations

import logging

from ctoffload_dpdk.base.errors import PortError
from ctoffload_dpdk.dpdk import Port
from ctoffload_dpdk.providers.rte_flow_prepare import Spread, hairpin_queues

LOGGER = logging.getLogger("ctoffload.engine")

# rte_ethdev.h: RTE_ETH_RSS_{IPV4,FRAG_IPV4,NONFRAG_IPV4_OTHER} and IPv6's; those with TCP, those with UDP.
RSS_IP = 0x1 << 2 | 0x1 << 3 | 0x1 << 7 | 0x1 << 8 | 0x1 << 9 | 0x1 << 13
RSS_TCP = 0x1 << 4 | 0x1 << 10
RSS_UDP = 0x1 << 5 | 0x1 << 11
# With a period of 16 bits both directions of a connection have one hash.
SYMMETRIC = b"\x6d\x5a"
KEY_BYTES = 40
# _group.pxd: so many different hashes lead to the loops in turn.
HASHES = 128


def queues_of(port: Port, loops: int) -> tuple[int, Spread | None]:
    """How many queues of software a port is to have for so many loops, and how it spreads packets over them.

    One per loop; or one in all, where the port has too few or no RSS: the first loop hands its packets to the others.
    """
    info = port.info()
    most = min(info.max_rx_queues, info.max_tx_queues) - hairpin_queues(port)
    wanted = RSS_IP | RSS_TCP | RSS_UDP
    if loops == 1 or most < loops or not info.rss_types & wanted:
        return 1, None
    return loops, Spread(info.rss_types & wanted, SYMMETRIC * ((info.hash_key_bytes or KEY_BYTES) // 2))


def spread_evenly(port: Port, queues: int) -> None:
    """Has each hash lead to the queue of the loop that software thinks of; a refusal costs hand-overs only."""
    size = port.info().reta_size
    if not size:
        return
    try:
        port.set_reta([i % HASHES % queues for i in range(size)])
    except PortError as error:
        LOGGER.warning("port %s spreads packets its own way, loops hand more over: %s", port.name, error.message)
