"""The traffic of the example capture: what runs in the server's and in the client's namespace.

Time runs from the start of the client:
    0 s     a name is resolved, pages are fetched over IPv4 and IPv6, two pings of six echoes start
    2 s     a connection that says hello once and then idles to the end without being closed
    3 s     a chat, one line every 2 s until 13 s, over IPv6; UDP both ways; UDP one way; UDP that nobody listens to
    6 s     a connection that its client resets, and one that is refused
    14 s    more pages, then nothing but the idle connection for ten seconds
    28 s    the last pages
"""

from __future__ import annotations

import functools
import http.server
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SERVER_V4, SERVER_V6 = "192.0.2.2", "2001:db8::2"
NAME = "web.example.com"
HTTP, DNS, ECHO, UDP_ECHO, UDP_SINK, CLOSED = 80, 53, 7, 4000, 514, 9999
PAGES = {"index.html": 700, "logo.png": 18_000, "app.js": 34_000}
END_S = 38

# ---- the server


def serve() -> None:
    """Answers until it is killed; prints a line when it is ready."""
    with tempfile.TemporaryDirectory() as pages:
        for name, size in PAGES.items():
            (Path(pages) / name).write_bytes(bytes(i * 7 % 251 for i in range(size)))
        handler = functools.partial(Pages, directory=pages)
        web = WebServer(("::", HTTP), handler)
        for part in (
            web.serve_forever,
            functools.partial(
                echo_connections, socket.create_server(("::", ECHO), family=socket.AF_INET6, dualstack_ipv6=True)
            ),
            functools.partial(answer, udp(DNS), dns_answer),
            functools.partial(answer, udp(UDP_ECHO), bytes),
            functools.partial(answer, udp(UDP_SINK), lambda datagram: b""),
        ):
            threading.Thread(target=part, daemon=True).start()
        print("ready", flush=True)
        threading.Event().wait()


class WebServer(http.server.ThreadingHTTPServer):
    """Listens to IPv4 and IPv6 at once."""

    address_family = socket.AF_INET6
    daemon_threads = True


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def udp(port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    return server


def answer(server: socket.socket, reply: Callable[[bytes], bytes]) -> None:
    while True:
        datagram, client = server.recvfrom(4096)
        if said := reply(datagram):
            server.sendto(said, client)


def dns_answer(query: bytes) -> bytes:
    """The address of whatever name is asked for: type A or AAAA; no answer section for other types."""
    end = query.index(b"\0", 12) + 1
    kind = struct.unpack_from("!H", query, end)[0]
    address = {1: socket.inet_aton(SERVER_V4), 28: socket.inet_pton(socket.AF_INET6, SERVER_V6)}.get(kind, b"")
    record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(address)) + address if address else b""
    header = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if record else 0, 0, 0)
    return header + query[12 : end + 4] + record


def echo_connections(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=echo, args=[connection], daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection:
        try:
            while said := connection.recv(4096):
                connection.sendall(said)
        except ConnectionResetError:
            return


# ---- the client


def talk() -> None:
    """Runs the whole plan, then waits to be killed with its idle connection still open."""
    idle: list[socket.socket] = []
    plan: list[tuple[float, Callable[[], object]]] = [
        (0.0, lambda: program("getent", "ahosts", NAME)),
        (0.3, lambda: program("ping", "-q", "-c", "6", "-i", "1", SERVER_V4)),
        (0.4, lambda: program("ping", "-q", "-c", "6", "-i", "1", SERVER_V6)),
        (0.5, lambda: fetch("-4", "index.html", "logo.png", "app.js")),
        (1.2, lambda: fetch("-6", "index.html", "app.js")),
        (2.0, lambda: idle.append(hello())),
        (3.0, chat),
        (3.3, lambda: datagrams(SERVER_V6, UDP_ECHO, 40, 0.05, 160, replies=True)),
        (3.5, lambda: datagrams(SERVER_V4, UDP_SINK, 12, 0.7, 120)),
        (4.1, lambda: datagrams(SERVER_V4, CLOSED, 1, 0, 30)),
        (6.0, reset),
        (6.5, refused),
        (14.0, lambda: fetch("-4", "index.html", "app.js")),
        (14.6, lambda: fetch("-6", "logo.png")),
        (28.0, lambda: program("getent", "ahosts", NAME)),
        (28.2, lambda: fetch("-4", "logo.png", "index.html")),
    ]
    print("ready", flush=True)
    start = time.monotonic()
    with ThreadPoolExecutor(len(plan)) as parts:
        for done in [parts.submit(at, start + when, part) for when, part in plan]:
            done.result()
    time.sleep(max(0, start + END_S - time.monotonic()))
    print("done", flush=True)
    threading.Event().wait()


def at(when: float, part: Callable[[], object]) -> None:
    time.sleep(max(0, when - time.monotonic()))
    part()


def program(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def fetch(family: str, *pages: str) -> None:
    """A connection per page: Python's server closes each after its answer."""
    for page in pages:
        program("curl", family, "--silent", "--fail", "--output", "/dev/null", f"http://{NAME}/{page}")


def hello() -> socket.socket:
    connection = socket.create_connection((SERVER_V4, ECHO))
    connection.sendall(b"hello\n")
    connection.recv(100)
    return connection


def chat() -> None:
    with socket.create_connection((SERVER_V6, ECHO)) as connection:
        for i in range(6):
            connection.sendall(f"line {i} of a chat that goes on\n".encode())
            connection.recv(100)
            time.sleep(2)


def datagrams(host: str, port: int, n: int, pause_s: float, size: int, *, replies: bool = False) -> None:
    with socket.socket(family(host), socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.connect((host, port))
        for i in range(n):
            client.send(bytes([i]) * size)
            if replies:
                client.recv(4096)
            time.sleep(pause_s)


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def reset() -> None:
    """Closing with a linger time of zero sends an RST."""
    connection = socket.create_connection((SERVER_V4, ECHO))
    connection.sendall(b"about to be reset\n")
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def refused() -> None:
    try:
        socket.create_connection((SERVER_V6, CLOSED), timeout=2).close()
    except ConnectionRefusedError:
        return
    raise SystemExit("example_traffic: a connection to a closed port was taken")


if __name__ == "__main__":
    {"serve": serve, "talk": talk}[sys.argv[1]]()
