"""Many packets as arrays: one buffer, and where each packet lies in it."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.numbers import wholes


@dataclass(frozen=True, eq=False)
class Packets:
    """Packets in one buffer; every room takes and gives them in this form.

    data: uint8[n_bytes] in one piece; offset: uint64[n], where each starts in data; length: uint32[n], bytes captured;
    time_ns: int64[n], capture time, 0 where unknown; wire_length: uint32[n], bytes on the wire (above length if cut).
    Left out, or of another size than offset, they are 0 and length. Numbers of another type are converted. Raises
    UsageError EINVAL for data of another form, for numbers that do not fit, where offset and length differ in size, and
    where a packet lies outside data.
    """

    data: NDArray[np.uint8]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    time_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    wire_length: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __post_init__(self) -> None:
        data = self.data
        if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 1 and data.flags.c_contiguous):
            raise UsageError(
                "Packets: data is no uint8[n] in one piece",
                errno=errno.EINVAL,
                hint="np.ascontiguousarray(data, np.uint8).reshape(-1), or Packets.of() for byte strings",
            )
        offset, length = column("offset", self.offset, np.uint64), column("length", self.length, np.uint32)
        time_ns, wire_length = self.time_ns, self.wire_length
        n = len(offset)
        if len(length) != n:
            raise UsageError(f"Packets: {n} offsets but {len(length)} lengths", errno=errno.EINVAL)
        if reach_outside(offset, length, len(data)):
            raise UsageError("Packets: a packet lies outside its buffer", errno=errno.EINVAL)
        set_field = object.__setattr__  # the fields are frozen
        set_field(self, "offset", offset)
        set_field(self, "length", length)
        set_field(self, "time_ns", np.zeros(n, np.int64) if len(time_ns) != n else column("time_ns", time_ns, np.int64))
        as_length = len(wire_length) != n
        set_field(self, "wire_length", length if as_length else column("wire_length", wire_length, np.uint32))

    @classmethod
    def of(cls, packets: Iterable[bytes], time_ns: Iterable[int] = ()) -> Packets:
        """Copies byte strings into one read-only buffer; time_ns: one per packet. For tests and small numbers.

        Raises UsageError EINVAL for numbers in their place, as the bytes of a single packet are, and for wrong times.
        """
        given = list(packets)
        if any(isinstance(p, int) for p in given):
            raise UsageError(
                "Packets.of: a number is no packet", errno=errno.EINVAL, hint="Packets.of([frame]) holds a single one"
            )
        parts = [bytes(p) for p in given]
        length = np.array([len(p) for p in parts], np.uint32)
        offset = np.zeros(len(parts), np.uint64)
        if len(parts) > 1:
            offset[1:] = np.cumsum(length[:-1], dtype=np.uint64)
        return cls(
            np.frombuffer(b"".join(parts), np.uint8),
            offset,
            length,
            wholes(list(time_ns), np.int64, "Packets: time_ns"),
        )

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.offset[index])
        return self.data[start : start + int(self.length[index])].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[i] for i in range(len(self)))

    def copy(self) -> Packets:
        """The same packets in a buffer of their own, which can be written to."""
        return Packets(self.data.copy(), self.offset, self.length, self.time_ns, self.wire_length)

    def slice(self, start: int, stop: int) -> Packets:
        """Packets start to stop - 1; shares the buffer."""
        part = slice(start, stop)
        return Packets(self.data, self.offset[part], self.length[part], self.time_ns[part], self.wire_length[part])


def column(name: str, values: object, dtype: type[np.integer[Any]]) -> NDArray[Any]:
    """One number per packet. Raises UsageError EINVAL for what is none."""
    array = wholes(values, dtype, f"Packets: {name}")
    if array.ndim != 1:
        raise UsageError(f"Packets: {name} has {array.ndim} dimensions, not one", errno=errno.EINVAL)
    return np.ascontiguousarray(array)


def reach_outside(offset: NDArray[np.uint64], size: NDArray[np.uint32], n_bytes: int) -> bool:
    """True where one of these ranges does not lie within n_bytes."""
    # the sum wraps at 64 bits, but not where every offset is within
    return len(offset) > 0 and (int(offset.max()) > n_bytes or int((offset + size).max()) > n_bytes)
