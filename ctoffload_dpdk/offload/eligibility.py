"""Which connections may go to hardware, and how fast."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ctoffload_dpdk.base.errors import SettingsError

MAX_PAIRS = 64


@dataclass(frozen=True)
class Eligibility:
    """A connection goes in when it is established and every condition holds; None means: any.

    `min_packets`: software has seen so many. `rate_per_s`, `burst`: installations per second over all shards, and at
    once; 0: no limit. `needs_handshake`: TCP waits for both peers to be ESTABLISHED; otherwise the layer installs when
    it is asked. `denied` holds (zone, protocol) pairs, 64 at most. Raises SettingsError EINVAL for wrong values.
    """

    protocols: frozenset[int] | None = None
    zones: frozenset[int] | None = None
    denied: frozenset[tuple[int, int]] = frozenset()
    min_packets: int = 0
    rate_per_s: float = 0.0
    burst: int = 1000
    needs_handshake: bool = True

    def __post_init__(self) -> None:
        if self.rate_per_s < 0 or self.burst < 1 or not 0 <= self.min_packets < 1 << 31:
            raise self.wrong("rate_per_s and min_packets are not negative, burst is at least 1")
        if len(self.denied) > MAX_PAIRS:
            raise self.wrong(f"denied has {len(self.denied)} pairs, {MAX_PAIRS} are the most")
        pairs = self.denied | {(0, p) for p in self.protocols or ()} | {(z, 0) for z in self.zones or ()}
        if not all(0 <= zone <= 0xFFFF and 0 <= proto <= 0xFF for zone, proto in pairs):
            raise self.wrong("a zone is 0 to 65535, a protocol 0 to 255")

    @staticmethod
    def wrong(what: str) -> SettingsError:
        return SettingsError(f"eligibility: {what}", errno=errno.EINVAL, op="set_eligibility")
