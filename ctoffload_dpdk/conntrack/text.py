"""The words of connections, as OVS prints them."""

from __future__ import annotations

PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
# As ct-stats-show tells connections apart, in its order; the last are all others.
PROTOCOL_GROUPS = ("tcp", "udp", "udplite", "sctp", "icmp", "icmpv6", "dccp", "igmp", "other")
TCP_STATES = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)
