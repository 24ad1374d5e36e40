"""Many packets as arrays: one buffer, and where each packet lies in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import UsageError


@dataclass(frozen=True, eq=False)
class Packets:
    """Packets in one buffer; every room takes and gives them in this form.

    data: uint8[n_bytes]; offset: uint64[n], where each starts in data; length: uint32[n], bytes captured;
    time_ns: int64[n], capture time, 0 where unknown; wire_length: uint32[n], bytes on the wire (above length if cut).
    Left out, or of another size than offset, they are 0 and length. Raises UsageError where offset and length differ in
    size, or a packet lies outside data.
    """

    data: NDArray[np.uint8]
    offset: NDArray[np.uint64]
    length: NDArray[np.uint32]
    time_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    wire_length: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    def __post_init__(self) -> None:
        n = len(self.offset)
        if len(self.length) != n:
            raise UsageError(f"Packets: {n} offsets but {len(self.length)} lengths")
        if len(self.time_ns) != n:
            object.__setattr__(self, "time_ns", np.zeros(n, np.int64))
        if len(self.wire_length) != n:
            object.__setattr__(self, "wire_length", self.length)
        # The offset is looked at by itself: a sum of 64 bits may begin anew at 0.
        if n and (int(self.offset.max()) > len(self.data) or int((self.offset + self.length).max()) > len(self.data)):
            raise UsageError("Packets: a packet lies outside its buffer")

    @classmethod
    def of(cls, packets: Iterable[bytes], time_ns: Iterable[int] = ()) -> Packets:
        """Copies byte strings into one read-only buffer; time_ns: one per packet. For tests and small numbers."""
        parts = [bytes(p) for p in packets]
        length = np.array([len(p) for p in parts], np.uint32)
        offset = np.zeros(len(parts), np.uint64)
        if len(parts) > 1:
            offset[1:] = np.cumsum(length[:-1], dtype=np.uint64)
        return cls(np.frombuffer(b"".join(parts), np.uint8), offset, length, np.array(list(time_ns), np.int64))

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
