"""Records ctoffload_dpdk/demo/example.pcap anew: real programs talking between two network namespaces.

    python -m build_support.record_example [OUTPUT]

Needs root, iproute2, curl, iputils-ping and the built package; takes about 45 seconds. What is said is in
example_traffic.py. The namespaces, the veth pair between them and /etc/netns/ctoffload-client exist only while it runs.
Segmentation and checksum offloads are off, so that the packets are as they would be on a wire. Addresses and names are
those reserved for documentation: client 192.0.2.1 and 2001:db8::1, server 192.0.2.2 and 2001:db8::2.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from build_support.example_traffic import SERVER_V4, SERVER_V6

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "ctoffload_dpdk" / "demo" / "example.pcap"
CLIENT, SERVER, LINK = "ctoffload-client", "ctoffload-server", "wire0"
SIDES = (
    (CLIENT, "02:00:00:00:00:0a", "192.0.2.1", "2001:db8::1"),
    (SERVER, "02:00:00:00:00:0b", SERVER_V4, SERVER_V6),
)
SIOCETHTOOL = 0x8946
OFFLOADS = {"tso": 0x1F, "gso": 0x24, "gro": 0x2C, "sg": 0x19, "tx": 0x17, "rx": 0x15}  # ETHTOOL_S*
SO_TIMESTAMPNS = 35
ETH_P_ALL = 3


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    missing = [name for name in ("ip", "curl", "ping", "getent") if not shutil.which(name)]
    if missing or os.geteuid():
        raise SystemExit(f"record_example: needs {', '.join(missing) or 'root'}")
    with two_namespaces(), ExitStack() as running:
        recording = running.enter_context(
            part(CLIENT, "build_support.record_example", "record", str(output.absolute()))
        )
        running.enter_context(part(SERVER, "build_support.example_traffic", "serve"))
        client = running.enter_context(part(CLIENT, "build_support.example_traffic", "talk"))
        if not wait_for_line(client):
            raise SystemExit("record_example: the client ended before its time")
        # The recording ends first, so that the idle connection stays open in it.
        recording.send_signal(signal.SIGINT)
        recording.wait()
    print(f"{output}: {output.stat().st_size} bytes")


def command(*words: str) -> None:
    subprocess.run(words, check=True)


def inside(namespace: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *words]


def python(namespace: str, module: str, *words: str) -> list[str]:
    return inside(namespace, sys.executable, "-m", module, *words)


@contextmanager
def part(namespace: str, module: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module running in a namespace, which has printed its first line; killed at the end."""
    process = subprocess.Popen(python(namespace, module, *words), cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if not wait_for_line(process):
            raise SystemExit(f"record_example: {module} {words[0]} ended at once")
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_line(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout
    return bool(process.stdout.readline())


@contextmanager
def two_namespaces() -> Iterator[None]:
    """Client and server, joined by a veth pair. `ip netns exec` shows the client the resolver's address."""
    resolver = Path("/etc/netns") / CLIENT
    remove_namespaces()
    try:
        resolver.mkdir(parents=True)
        (resolver / "resolv.conf").write_text(f"nameserver {SERVER_V4}\noptions timeout:2 attempts:1\n")
        for name, *_ in SIDES:
            command("ip", "netns", "add", name)
        command("ip", "link", "add", LINK, "netns", CLIENT, "type", "veth", "peer", "name", LINK, "netns", SERVER)
        for name, mac, v4, v6 in SIDES:
            command(*inside(name, "ip", "link", "set", LINK, "address", mac))
            command(*inside(name, "ip", "address", "add", f"{v4}/24", "dev", LINK))
            command(*inside(name, "ip", "address", "add", f"{v6}/64", "dev", LINK, "nodad"))
            command(*python(name, "build_support.record_example", "link"))
        yield
    finally:
        remove_namespaces()


def remove_namespaces() -> None:
    for name, *_ in SIDES:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(Path("/etc/netns") / CLIENT, ignore_errors=True)
    with suppress(OSError):
        Path("/etc/netns").rmdir()  # stays where others use it


def set_up_link() -> None:
    """In a namespace: takes the veth's offloads off, as ethtool -K does, and brings it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number in OFFLOADS.values():
            value = ctypes.create_string_buffer(struct.pack("II", number, 0))
            fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", LINK.encode(), ctypes.addressof(value)))
    command("ip", "link", "set", LINK, "up")


def record(output: Path) -> None:
    """In a namespace: takes every packet of the link, both ways, until it is interrupted; then writes the capture."""
    from ctoffload_dpdk.base.capture import write_capture  # noqa: PLC0415 - the other parts run without the package
    from ctoffload_dpdk.base.packets import Packets  # noqa: PLC0415

    packets, times = [], []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        tap.bind((LINK, ETH_P_ALL))
        print("ready", flush=True)
        try:
            while True:
                packet, notes, _, _ = tap.recvmsg(65536, 128)
                seconds, nanoseconds = struct.unpack("qq", notes[0][2])
                packets.append(packet)
                times.append(seconds * 1_000_000_000 + nanoseconds)
        except KeyboardInterrupt:
            write_capture(output, Packets.of(packets, times))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["link"]:
            set_up_link()
        case ["record", path]:
            record(Path(path))
        case _:
            main()
