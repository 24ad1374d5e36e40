"""Reading and writing capture files: pcap and pcapng in, pcap out."""

from __future__ import annotations

import mmap
import os
import stat
import struct
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base import _capture
from ctoffload_dpdk.base.errors import CaptureError, UsageError
from ctoffload_dpdk.base.packets import Packets

ETHERNET = 1
LINK_TYPES = {
    0: "NULL",
    1: "EN10MB",
    12: "RAW",
    14: "RAW",
    101: "RAW",
    105: "IEEE802_11",
    108: "LOOP",
    113: "LINUX_SLL",
    127: "IEEE802_11_RADIO",
    220: "USB_LINUX_MMAPPED",
    228: "IPV4",
    229: "IPV6",
    249: "USBPCAP",
    276: "LINUX_SLL2",
}
READABLE = "Ethernet, Linux cooked (SLL, SLL2), raw IP, NULL and LOOP"

# A mapped file that somebody truncates kills the process that touches it: small files are copied. Larger ones are
# mapped: 64-byte packets then take 17 ns each, where copying takes 40 to 100 ns (bench/capture.py).
READ_WHOLE_BYTES = 8 << 20
# A pipe has no size of its own.
MAX_PIPE_BYTES = 1 << 30
ROWS_AT_ONCE = 1 << 20

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}


@dataclass(frozen=True, eq=False)
class Capture:
    """The packets of a capture file, all with an Ethernet header, and how far it could be read.

    path; format: "pcap" or "pcapng"; packets; link_types: of each interface, as the file says, before conversion;
    interface: uint32[n], index into link_types; error: None, or why reading stopped before the end of the file.
    """

    path: str
    format: str
    packets: Packets
    link_types: tuple[int, ...]
    interface: NDArray[np.uint32]
    error: CaptureError | None


def read_capture(path: str | os.PathLike[str]) -> Capture:
    """Reads a pcap (us or ns, either byte order) or pcapng file.

    Packets of other link types (Linux cooked, raw IP, NULL, LOOP) get an Ethernet header in place of their own.
    A file that breaks off or is damaged half-way gives what lies ahead of that place, and `Capture.error`.
    Raises CaptureError where nothing can be read: no such file, not a capture, a link type without IP packets.
    """
    name = os.fspath(path)
    try:
        data = _load(name)
        walker = _capture.Walker(data)
        if walker.status != _capture.END:
            raise _why(name, walker, data, 0)
        rows = _rows(walker, len(data))
        link_types = tuple(walker.link_types)
        error = _why(name, walker, data, len(rows.offset)) if walker.status != _capture.END else None
        if any(link_types[i] != ETHERNET for i in _used(rows.interface, len(link_types))):
            data = _converted(data, rows, np.array(link_types, np.uint16)[rows.interface])
    except MemoryError:
        raise CaptureError(f"{name}: too little memory for this capture", hint="split it with editcap") from None
    packets = Packets(data, rows.offset, rows.length, rows.time_ns, rows.wire_length)
    return Capture(name, walker.format, packets, link_types, rows.interface, error)


def write_capture(path: str | os.PathLike[str], packets: Packets) -> None:
    """Writes packets as a pcap file with nanosecond time stamps and link type Ethernet.

    Raises UsageError for times a pcap cannot hold (before 1970, after 2106), CaptureError where writing fails.
    """
    if len(packets) and (int(packets.time_ns.min()) < 0 or int(packets.time_ns.max()) >= (1 << 32) * 1_000_000_000):
        raise UsageError(f"{os.fspath(path)}: a pcap holds times from 1970 to 2106 only")
    out = np.empty(16 * len(packets) + int(packets.length.sum(dtype=np.uint64)), np.uint8)
    _capture.put_records(
        np.ascontiguousarray(packets.data), packets.offset, packets.length, packets.time_ns, packets.wire_length, out
    )
    try:
        with Path(path).open("wb") as file:
            file.write(struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, ETHERNET))
            file.write(out.data)
    except OSError as error:
        raise _os_error(os.fspath(path), "write", error) from None


def link_name(link_type: int) -> str:
    """The name of a link type as tcpdump has it, "unknown" where this reader does not know it."""
    return LINK_TYPES.get(link_type, "unknown")


def _load(name: str) -> NDArray[np.uint8]:
    """The bytes of a file: copied where it is small or no regular file, else mapped."""
    try:
        with Path(name).open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return np.frombuffer(_read_stream(name, file), np.uint8)
            if status.st_size > READ_WHOLE_BYTES:
                return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
            data = np.empty(status.st_size, np.uint8)
            return data[: file.readinto(data.data)]
    except OSError as error:
        raise _os_error(name, "read", error) from None


def _read_stream(name: str, file: FileIO) -> bytearray:
    """All that comes, if it starts like a capture: /dev/zero has no end."""
    data = bytearray()
    while part := file.read(1 << 20):
        data += part
        if len(data) >= 4 and _capture.Walker(np.frombuffer(bytes(data[:24]), np.uint8)).format == "":
            break
        if len(data) > MAX_PIPE_BYTES:
            raise CaptureError(f"{name}: more than {MAX_PIPE_BYTES} bytes from a pipe", hint="save it to a file first")
    return data


class _Rows(NamedTuple):
    """The columns of the packets, as the walker fills them."""

    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    time_ns: NDArray[np.int64]
    wire_length: NDArray[np.uint32]
    interface: NDArray[np.uint32]

    @classmethod
    def empty(cls, n: int) -> _Rows:
        return cls(
            np.empty(n, np.uint64),
            np.empty(n, np.uint32),
            np.empty(n, np.int64),
            np.empty(n, np.uint32),
            np.empty(n, np.uint32),
        )

    def first(self, n: int) -> _Rows:
        return _Rows(self.offset[:n], self.length[:n], self.time_ns[:n], self.wire_length[:n], self.interface[:n])


def _rows(walker: _capture.Walker, size: int) -> _Rows:
    """All packets; each takes at least 16 bytes of the file."""
    at_once = min(ROWS_AT_ONCE, size // 16 + 1)
    parts = []
    while not walker.done:
        rows = _Rows.empty(at_once)
        parts.append(rows.first(walker.fill(*rows)))
    if len(parts) == 1:
        return parts[0]
    return _Rows(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else _Rows.empty(0)


def _used(interface: NDArray[np.uint32], n: int) -> list[int]:
    """The interfaces that packets came from."""
    return [0] if n == 1 else [int(i) for i in np.unique(interface)]


def _converted(data: NDArray[np.uint8], rows: _Rows, link_type: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """A copy of the packets with Ethernet headers; the columns are rewritten to fit it."""
    if not len(rows.offset):
        return data
    out = np.empty(int(rows.length.sum(dtype=np.uint64)) + 14 * len(rows.length), np.uint8)
    used = _capture.to_ethernet(data, rows.offset, rows.length, rows.wire_length, link_type, out)
    return out[:used]


def _os_error(name: str, verb: str, error: OSError) -> CaptureError:
    return CaptureError(f"{name}: cannot {verb} the capture: {error.strerror}", errno=error.errno or 0, op="open")


# Why a walk stopped, as a sentence and what to do.
AHEAD = "the packets ahead of that place are used"
REASONS = {
    _capture.CUT: ("the file breaks off at {place}: {value} bytes are due there, {limit} are left", AHEAD),
    _capture.BAD_LENGTH: ("the file is damaged at {place}: a length of {value} cannot be", AHEAD),
    _capture.BAD_INTERFACE: ("the file is damaged at {place}: a packet from interface {value} of {limit}", AHEAD),
    _capture.BAD_BYTE_ORDER: ("the file is damaged at {place}: a section without byte-order mark", AHEAD),
    _capture.BAD_VERSION: ("{format} version {value}.{limit} at {place} is not known", "convert it with editcap"),
    _capture.BAD_LINK_TYPE: ("link type {value} ({kind}) at {place} cannot be read", f"readable are {READABLE}"),
    _capture.NO_MEMORY: ("too little memory for its interfaces at {place}", "split it with editcap"),
}


def _why(name: str, walker: _capture.Walker, data: NDArray[np.uint8], n: int) -> CaptureError:
    """Why the walk stopped before the end of the file, after n packets."""
    if walker.status not in REASONS:
        return _not_a_capture(name, walker.status, data)
    text, hint = REASONS[walker.status]
    message = text.format(
        place=f"byte {walker.at} (after {n} packet{'' if n == 1 else 's'})",
        value=walker.value,
        limit=walker.limit,
        format=walker.format,
        kind=link_name(walker.value),
    )
    return CaptureError(f"{name}: {message}", hint=hint)


def _not_a_capture(name: str, status: int, data: NDArray[np.uint8]) -> CaptureError:
    if status == _capture.MODIFIED_PCAP:
        return CaptureError(
            f"{name}: a modified pcap (magic a1b2cd34), whose records differ from system to system",
            hint="convert it: editcap -F pcap IN OUT",
        )
    if not len(data):
        return CaptureError(f"{name}: the file is empty, not a capture", hint="record one with tcpdump -w FILE")
    start = data[:4].tobytes()
    packed = COMPRESSED.get(start[:2])
    if packed:
        return CaptureError(f"{name}: the file is packed with {packed}", hint="unpack it first")
    return CaptureError(
        f"{name}: neither pcap nor pcapng (it starts with {start.hex(' ')})", hint="record one with tcpdump -w FILE"
    )
