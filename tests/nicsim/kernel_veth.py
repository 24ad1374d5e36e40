"""A kernel that leaves checksums to its interface, a veth pair, at the far end of an emulated port's wire.

Run by test_kernel_hosts.py in a network namespace of its own. Writes what a rule for its packets counted: while the
kernel leaves checksums to the interface, and after.
"""

from __future__ import annotations

import array
import fcntl
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from ctoffload_dpdk.dpdk import Attr, Eal, actions, items
from ctoffload_dpdk.nicsim import Nic

EAL = "--no-pci --no-huge -m 128 --no-shconf --no-telemetry -l 0 --vdev net_af_packet0,iface=v0"
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
N_PACKETS, LIMIT_S = 5, 20
SET_UP = """ip link add v0 type veth peer name v1
ip link set v0 up
ip addr add 10.9.0.1/24 dev v1
ip link set v1 up
ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev v1"""


def turn_checksums_off(name: bytes) -> None:
    """As `ethtool -K name tx off` does."""
    value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", name, value.buffer_info()[0]))


def main() -> None:
    for line in SET_UP.splitlines():
        subprocess.run(line.split(), check=True)
    with Eal.start(EAL.split()) as eal, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        nic = Nic.create(eal, "net_nicsim0", wire="port:net_af_packet0")
        port, pool = eal.port(nic.port_id), eal.mempool(1023, cache_size=0)
        port.configure(rx_queues=1, tx_queues=1)
        port.setup_queues(pool, descriptors=256)
        port.start()
        pattern = [items.Eth(), items.Ipv4(), items.Udp(dst_port=99)]
        rule = port.create_rule(Attr(ingress=True), pattern, [actions.Count(), actions.Drop()])
        counted, seen = [], 0
        for off in (False, True):
            if off:
                turn_checksums_off(b"v1")
            for _ in range(N_PACKETS):
                sender.sendto(b"x" * 50, ("10.9.0.2", 99))
            end = time.monotonic() + LIMIT_S
            arrived = 0
            while arrived < N_PACKETS and time.monotonic() < end:
                # Those the rule did not take come to the host, among other packets of that kernel.
                arrived += sum(b"x" * 50 in bytes(packet) for packet in port.rx_burst(0, 64).packets)
                arrived += rule.query_count().packets - seen
                seen = rule.query_count().packets
            counted.append(seen - sum(counted))
    Path(sys.argv[1]).write_text(json.dumps(counted))


if __name__ == "__main__":
    main()
