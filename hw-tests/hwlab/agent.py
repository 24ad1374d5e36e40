"""Frames through a network interface, by a packet socket. Runs at the far end, with nothing but Python's own library.

One request a line, as JSON, on standard input; one answer a line on standard output.
"""

import base64
import json
import select
import socket
import sys
import time

ETH_P_ALL, PACKET_OUTGOING, SOL_PACKET, PACKET_IGNORE_OUTGOING = 3, 4, 263, 23
BUFFER = 4 << 20


def opened(interface):
    """A raw socket on the interface, promiscuous through its own membership."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    link.bind((interface, 0))
    link.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    index = socket.if_nametoindex(interface)
    link.setsockopt(SOL_PACKET, 1, index.to_bytes(4, sys.byteorder) + (1).to_bytes(2, sys.byteorder) + bytes(10))
    return link


def receive(link, timeout_s):
    found = []
    while select.select([link], [], [], 0 if found else timeout_s)[0]:
        frame, (_, _, kind, _, _) = link.recvfrom(65535)
        if kind != PACKET_OUTGOING:
            found.append(base64.b64encode(frame).decode())
    return found


def send(link, frames):
    for frame in frames:
        link.send(base64.b64decode(frame))


def rate(link, frames, seconds):
    """Over and over for so many seconds; what the interface has no room for now is sent again."""
    frames = [base64.b64decode(frame) for frame in frames]
    began, sent = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        for frame in frames:
            try:
                link.send(frame)
                sent += 1
            except OSError:
                time.sleep(0.0001)
    return {"packets": sent, "seconds": time.monotonic() - began}


def answer(link, request):
    if request["op"] == "send":
        return send(link, request["frames"])
    if request["op"] == "receive":
        return receive(link, request["timeout_s"])
    if request["op"] == "rate":
        return rate(link, request["frames"], request["seconds"])
    return "here"


def main():
    try:
        link = opened(sys.argv[1])
    except PermissionError:
        reply = {"error": "no rights to open a packet socket", "hint": "run as root, or with CAP_NET_RAW"}
    except OSError as error:
        hint = "`ip link` at that end lists the interfaces"
        reply = {"error": f"interface {sys.argv[1]} cannot be opened: {error.strerror}", "hint": hint}
    else:
        reply = None
    for line in sys.stdin:
        result = reply or {"answer": answer(link, json.loads(line))}
        print(json.dumps(result), flush=True)


main()
