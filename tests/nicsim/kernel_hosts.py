"""Two kernel hosts in namespaces of their own, joined by two emulated ports whose wires are TAP interfaces.

Run by test_kernel_hosts.py in a network namespace of its own. Prints one JSON object: what the hosts and the NIC saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernel_host import Host

from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import Attr, Eal, actions, items
from ctoffload_dpdk.nicsim import Nic

EAL = "--no-pci --no-huge -m 256 --no-shconf --no-telemetry -l 0"
LIMIT_S = 60
LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
SHOWN_PORT, TRUE_PORT = 8080, 7  # the NIC translates one into the other
N_BYTES = 200_000

# The server echoes one connection after the other. The client sends, reads back, and says what it got.
SERVER = f"""
import socket
server = socket.create_server(("0.0.0.0", {TRUE_PORT}))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    while piece := connection.recv(65536):
        connection.sendall(piece)
    connection.close()
"""
CLIENT = """
import socket, sys, threading
port, n = int(sys.argv[1]), int(sys.argv[2])
data = bytes(i * 7 % 251 for i in range(n))
with socket.create_connection(("10.77.0.2", port), timeout=20) as connection:
    threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR))).start()
    got = b"".join(iter(lambda: connection.recv(65536), b""))
print(len(got) if got == data else -1)
"""


class Bench:
    """The two ports; whatever no rule forwards, software does."""

    def __init__(self, eal: Any) -> None:
        self.pool = eal.mempool(4095, cache_size=0)
        self.nics = [Nic.create(eal, f"net_nicsim{n}", wire=f"port:net_tap{n}", switch=1) for n in (0, 1)]
        self.ports = [eal.port(nic.port_id) for nic in self.nics]
        for port in self.ports:
            port.configure(rx_queues=1, tx_queues=1)
            port.setup_queues(self.pool, descriptors=1024)
            port.start()

    def forward(self) -> None:
        for port, other in zip(self.ports, self.ports[::-1], strict=True):
            burst = port.rx_burst(0, 64)
            if len(burst):
                other.tx_burst(Packets.of(list(burst.packets)), self.pool)

    def until_ends(self, process: subprocess.Popen[str]) -> str:
        """Forwards until that process ends; what it said."""
        end = time.monotonic() + LIMIT_S
        while process.poll() is None:
            assert time.monotonic() < end, "the client did not end"
            self.forward()
        assert process.stdout is not None
        return process.stdout.read().strip()

    def counters(self) -> list[dict[str, Any]]:
        return [asdict(nic.counters()) for nic in self.nics]

    def offload(self) -> list[Any]:
        """The connection to SHOWN_PORT goes through the NIC alone, its port translated, except SYN, FIN and RST."""
        left, right = self.ports
        data = items.Masked(0, 7)
        there = [items.RepresentedPort(left.id), items.Eth(), items.Ipv4(), items.Tcp(dst_port=SHOWN_PORT, flags=data)]
        back = [items.RepresentedPort(right.id), items.Eth(), items.Ipv4(), items.Tcp(src_port=TRUE_PORT, flags=data)]
        to_right = [actions.SetTpDst(TRUE_PORT), actions.Count(), actions.RepresentedPort(right.id)]
        to_left = [actions.SetTpSrc(SHOWN_PORT), actions.Count(), actions.RepresentedPort(left.id)]
        rules = [
            left.create_rule(Attr(transfer=True), there, to_right),
            right.create_rule(Attr(transfer=True), back, to_left),
        ]
        # The rest of that connection is translated too, and sent on by software.
        syn = [items.RepresentedPort(left.id), items.Eth(), items.Ipv4(), items.Tcp(dst_port=SHOWN_PORT)]
        ack = [items.RepresentedPort(right.id), items.Eth(), items.Ipv4(), items.Tcp(src_port=TRUE_PORT)]
        late = Attr(transfer=True, priority=1)
        rules.append(left.create_rule(late, syn, [actions.SetTpDst(TRUE_PORT), actions.PortRepresentor(left.id)]))
        rules.append(right.create_rule(late, ack, [actions.SetTpSrc(SHOWN_PORT), actions.PortRepresentor(right.id)]))
        return rules


def main() -> None:
    with Eal.start([*EAL.split(), "--vdev", "net_tap0,iface=left", "--vdev", "net_tap1,iface=right"]) as eal:
        bench = Bench(eal)
        hosts = [Host("left", [f"{LEFT}/24"]), Host("right", [f"{RIGHT}/24"])]
        server = hosts[1].start(sys.executable, "-c", SERVER)
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        said: dict[str, Any] = {}
        said["ping"] = bench.until_ends(hosts[0].start("ping", "-c", "3", "-i", "0.2", "-s", "1400", RIGHT))
        said["software"] = bench.until_ends(hosts[0].start(sys.executable, "-c", CLIENT, str(TRUE_PORT), str(N_BYTES)))
        said["before"] = bench.counters()
        rules = bench.offload()
        said["nic"] = bench.until_ends(hosts[0].start(sys.executable, "-c", CLIENT, str(SHOWN_PORT), str(N_BYTES)))
        said["after"] = bench.counters()
        said["bytes"] = [rule.query_count().bytes for rule in rules[:2]]
        server.kill()
        server.communicate()
        for host in hosts:
            host.close()
    Path(sys.argv[1]).write_text(json.dumps(said, default=str))


if __name__ == "__main__":
    main()
