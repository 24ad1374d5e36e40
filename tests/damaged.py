"""Captures damaged at random: the file's structure, or the packets in it."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import strategies as st

import ctoffload_dpdk
from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.base.packets import Packets

DATA = Path(__file__).parent / "data"
EXAMPLE = Path(ctoffload_dpdk.__file__).parent / "demo" / "example.pcap"
LENGTHS = [0, 1, 3, 4, 11, 12, 15, 16, 27, 28, 32, 0x7FFF, 0xFFFF, 0x40000, 0x40001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
# Bytes that mean something in one header or another: lengths, versions, protocols, EtherTypes.
TELLING = [0, 1, 2, 4, 5, 6, 8, 17, 20, 28, 40, 43, 44, 0x45, 0x46, 0x4F, 51, 58, 60, 0x60, 0x81, 0x86, 0xDD, 132, 255]

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
# By IP protocol: where its checksum stands. ICMP's covers no pseudo-header.
CHECKSUM_AT = {1: 2, 6: 16, 17: 6, 58: 2}


def as_pcapng(packets: Packets, link_type: int) -> bytes:
    """The same packets as pcapng, so that both formats are damaged."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    options = struct.pack("<HHBxxxHHqHH", 9, 1, 9, 14, 8, 1, 0, 0)
    parts = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    parts += [block(1, struct.pack("<HHI", link_type, 0, 0) + options)] * 2
    for i, packet in enumerate(packets):
        head = struct.pack("<IIIII", i % 2, 0x17979CFE, i, len(packet), len(packet))
        parts.append(block(3, struct.pack("<I", len(packet)) + packet) if i % 5 == 4 else block(6, head + packet))
    return b"".join(parts)


def _seeds() -> list[bytes]:
    found = []
    for path in sorted(DATA.rglob("*.pcap")):
        data = path.read_bytes()[:8000]
        packets = read_capture(path).packets.slice(0, 20)
        found.append(data)
        for link_type in (0, 1, 101, 113, 276):
            found.append(data[:20] + struct.pack("<I", link_type) + data[24:])
            found.append(as_pcapng(packets, link_type))
    return found


SEEDS = _seeds()
PACKETS = [packet for path in [*sorted(DATA.rglob("*.pcap")), EXAMPLE] for packet in read_capture(path).packets]


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A capture file with a few bytes or lengths changed, cut, or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(data) - 4)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.sampled_from(LENGTHS)))
            case 1:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.binary(min_size=1, max_size=40))
            case 4:
                del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


@st.composite
def damaged_packets(draw: st.DrawFn) -> bytes:
    """A sound capture file of damaged packets; most have right checksums, or all would end at that check."""
    records = [PCAP_HEADER]
    for i in range(draw(st.integers(1, 12))):
        packet = bytearray(draw(st.sampled_from(PACKETS)))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, min(90, len(packet))))
            match draw(st.integers(0, 3)):
                case 0:
                    packet[at : at + 1] = bytes([draw(st.sampled_from(TELLING) | st.integers(0, 255))])
                case 1:
                    del packet[at : at + draw(st.integers(1, 8))]
                case 2:
                    packet[at:at] = draw(st.binary(min_size=1, max_size=20))
                case 3:
                    del packet[draw(st.integers(0, len(packet))) :]
        if draw(st.integers(0, 4)):
            set_checksums(packet)
        records.append(struct.pack("<IIII", 1_700_000_000 + i * draw(st.integers(0, 90)), 0, len(packet), len(packet)))
        records.append(bytes(packet))
    return b"".join(records)


def checksum(data: bytes) -> bytes:
    words = struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)


def set_checksums(packet: bytearray) -> None:
    """Puts right the checksums of an Ethernet frame, as far as its headers can be read."""
    if len(packet) >= 34 and packet[12:14] == b"\x08\x00":
        start = 14 + (packet[14] & 15) * 4
        end = min(14 + int.from_bytes(packet[16:18], "big"), len(packet))
        packet[24:26] = bytes(2)
        packet[24:26] = checksum(bytes(packet[14:start]))
        proto, addresses = packet[23], bytes(packet[26:34])
    elif len(packet) >= 54 and packet[12:14] == b"\x86\xdd":
        start, end = 54, min(54 + int.from_bytes(packet[18:20], "big"), len(packet))
        proto, addresses = packet[20], bytes(packet[22:54])
    else:
        return
    at = start + CHECKSUM_AT.get(proto, 1 << 16)
    if at + 2 <= end:
        packet[at : at + 2] = bytes(2)
        segment = bytes(packet[start:end])
        pseudo = b"" if proto == 1 else addresses + struct.pack(">II", len(segment), proto)
        packet[at : at + 2] = checksum(pseudo + segment)
