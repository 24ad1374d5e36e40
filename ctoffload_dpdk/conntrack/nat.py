"""What a ct() action translates new connections to: addresses and ports, read from the text OVS uses."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from ctoffload_dpdk.base.errors import UsageError

Address = IPv4Address | IPv6Address

CHOICES = ("hash", "random", "persistent")
HINT = "write src=ADDRESS[-ADDRESS][:PORT[-PORT]] or dst=..., IPv6 addresses in brackets, then random or persistent"


@dataclass(frozen=True)
class NatRange:
    """Addresses from low to high (None: the packet's own stays) and ports from ports[0] to ports[1] (None: any).

    Raises UsageError EINVAL where an end is missing, of the other family or above the other, and for the address 0 and
    ports outside 1 to 65535.
    """

    low: Address | None = None
    high: Address | None = None
    ports: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise _wrong("a range of addresses has two ends")
        if not all(isinstance(end, IPv4Address | IPv6Address | None) for end in (self.low, self.high)):
            raise _wrong(f"{self.low!r} to {self.high!r} are no addresses of ipaddress")
        if self.low is not None and self.high is not None:
            if self.low.version != self.high.version:
                raise _wrong(f"{self.low} and {self.high} are of different families")
            if int(self.low) > int(self.high):
                raise _wrong(f"{self.low} is above {self.high}")
            if int(self.low) == 0:
                raise _wrong(f"{self.low} is no address to translate to", hint="leave it out to keep the packet's own")
        if self.ports is not None:
            if (
                not isinstance(self.ports, tuple)
                or len(self.ports) != 2
                or not all(isinstance(p, int) for p in self.ports)
            ):
                raise _wrong(f"{self.ports!r} is no pair of ports")
            if not 1 <= self.ports[0] <= self.ports[1] <= 65535:
                raise _wrong(f"{self.ports[0]}-{self.ports[1]} is no range of ports")

    @classmethod
    def parse(cls, text: str) -> NatRange:
        """Reads "10.1.1.1-10.1.1.9:1024-2047" or "[2001:db8::1]:80". Raises UsageError EINVAL for other text."""
        if text.startswith("["):
            found = re.fullmatch(r"\[([^\]]+)\](?:-\[([^\]]+)\])?(?::(\d{1,5})(?:-(\d{1,5}))?)?", text)
        elif text.count(":") > 1:
            found = re.fullmatch(r"([^-]+)(?:-([^-]+))?()()", text)
        else:
            found = re.fullmatch(r"([^:-]*)(?:-([^:]+))?(?::(\d{1,5})(?:-(\d{1,5}))?)?", text)
        if not found:
            raise _wrong(f"{text!r} is no range")
        low = _address(found[1]) if found[1] else None
        ports = (int(found[3]), int(found[4] or found[3])) if found[3] else None
        return cls(low, _address(found[2]) if found[2] else low, ports)


@dataclass(frozen=True)
class Nat:
    """src, dst: where the source and the destination of new connections go; None: they stay. Both may be given.

    Neither: new connections are not translated, but packets of translated ones are. choice: by hash, random, or
    persistent (a client keeps its address). family: 4 or 6, 0 where no address is given; those of the other family
    are not translated. Raises UsageError EINVAL for another choice, and for ranges of two families.
    """

    src: NatRange | None = None
    dst: NatRange | None = None
    choice: str = "hash"

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise _wrong(f"{self.choice!r} is no way to choose", hint=f"one of {', '.join(CHOICES)}")
        families = {end.low.version for end in (self.src, self.dst) if end is not None and end.low is not None}
        if len(families) > 1:
            raise _wrong("source and destination are of different families")

    @property
    def family(self) -> int:
        """4 or 6, of the addresses it gives; 0 where it gives none."""
        known = [end.low.version for end in (self.src, self.dst) if end is not None and end.low is not None]
        return known[0] if known else 0

    @classmethod
    def parse(cls, text: str) -> Nat:
        """Reads OVS's text: "src=10.1.1.1-10.1.1.9:1024-2047,random". Raises UsageError EINVAL for other text."""
        ends: dict[str, NatRange] = {}
        choice = ""
        for part in filter(None, text.split(",")):
            name, has_value, value = part.partition("=")
            if name in ("src", "dst") and name not in ends:
                ends[name] = NatRange.parse(value) if has_value else NatRange()
            elif part in CHOICES and not choice:
                choice = part
            else:
                raise _wrong(f"{part!r} is not understood")
        if choice and not ends:
            raise _wrong(f"{choice} says how to choose, but not from what")
        return cls(ends.get("src"), ends.get("dst"), choice or "hash")


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise _wrong(f"{text!r} is no address") from None


def _wrong(what: str, hint: str = HINT) -> UsageError:
    return UsageError(f"nat: {what}", errno=errno.EINVAL, hint=hint)
