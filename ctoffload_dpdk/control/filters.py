"""Which connections a command is about: the filters of conntrack(8), over arrays of connections."""

from __future__ import annotations

import errno
import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.control.command import Parameter
from ctoffload_dpdk.engine import PROTOCOLS, TCP_STATES, Conditions

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]

OFFLOAD_STATES = ("no", "pending", "yes")
# What `Conditions` calls otherwise.
NAMES = {"sport": "src_port", "dport": "dst_port", "state": "tcp_state", "offloaded": "offload"}
# As the kernel's tools name them.
STATE_ALIASES = {"CLOSE": "CLOSED", "FIN_WAIT": "FIN_WAIT_1"}

FILTER_PARAMETERS = (
    Parameter("proto", str, "IP protocol, by name or number: tcp, udp, icmp, 47"),
    Parameter("src", str, "source address of the original direction, or a prefix: 10.0.0.0/8"),
    Parameter("dst", str, "destination address of the original direction, or a prefix"),
    Parameter("sport", int, "source port of the original direction", maximum=65535),
    Parameter("dport", int, "destination port of the original direction", maximum=65535),
    Parameter("reply-src", str, "source address of the replies, or a prefix"),
    Parameter("reply-dst", str, "destination address of the replies, or a prefix"),
    Parameter("zone", int, "conntrack zone", maximum=65535),
    Parameter("mark", str, "mark, or mark/mask: 0x10/0xf0"),
    Parameter("state", str, "TCP state of either peer, as a dump shows it: ESTABLISHED"),
    Parameter("offloaded", str, "whether it is in hardware", choices=OFFLOAD_STATES),
    Parameter("reason", str, "why it is not in hardware: not-established, port-pair, ..."),
)


@dataclass(frozen=True)
class Filter:
    """Conditions that all hold; None: no condition. `of` makes one of a command's arguments."""

    proto: int | None = None
    src: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    dst: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    sport: int | None = None
    dport: int | None = None
    reply_src: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    reply_dst: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    zone: int | None = None
    mark: tuple[int, int] | None = None
    state: int | None = None
    offloaded: int | None = None
    reason: int | None = None

    @staticmethod
    def of(
        *,
        proto: str | None = None,
        src: str | None = None,
        dst: str | None = None,
        mark: str | None = None,
        state: str | None = None,
        offloaded: str | None = None,
        reason: str | None = None,
        **same: Any,
    ) -> Filter:
        """A filter of FILTER_PARAMETERS. Raises UsageError EINVAL for text that is none of what is allowed."""
        return Filter(
            proto=None if proto is None else protocol(proto),
            src=network("src", src),
            dst=network("dst", dst),
            reply_src=network("reply-src", same.pop("reply_src", None)),
            reply_dst=network("reply-dst", same.pop("reply_dst", None)),
            mark=None if mark is None else masked(mark),
            state=None if state is None else tcp_state(state),
            offloaded=None if offloaded is None else OFFLOAD_STATES.index(offloaded),
            reason=None if reason is None else reason_number(reason),
            **same,
        )

    @property
    def is_empty(self) -> bool:
        """True where every connection fits."""
        return self == Filter()

    def given(self) -> dict[str, Any]:
        """The conditions there are, under the names that `Conditions` has for them."""
        found = {NAMES.get(name, name): getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def conditions(self) -> Conditions:
        """The same, to be tested where the connections are."""
        return Conditions(**self.given())

    def fits(self, rows: Rows) -> Mask:
        """bool[n]: which of these CONNECTION rows fit."""
        return self.conditions.fits(rows)


def wrong(name: str, value: str, hint: str) -> UsageError:
    shown = repr(value) if len(value) <= 60 else f"{value[:56]!r} ..."
    return UsageError(f"{name} cannot be {shown}", errno=errno.EINVAL, hint=hint)


def network(name: str, text: str | None) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if text is None:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise wrong(name, text, "an address or a prefix: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32") from None


def protocol(text: str) -> int:
    """The number of a protocol, by its name or number. Raises UsageError EINVAL."""
    numbers = {word: number for number, word in PROTOCOLS.items()}
    if text.lower() in numbers:
        return numbers[text.lower()]
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    raise wrong("proto", text, f"{', '.join(sorted(numbers))}, or a number from 0 to 255")


def masked(text: str) -> tuple[int, int]:
    """The mark and its mask; what lies outside the mask does not count."""
    first, slash, last = text.partition("/")
    value, mask = number(first), number(last) if slash else 2**32 - 1
    if value is None or mask is None or max(value, mask) >= 2**32:
        raise wrong("mark", text, "a number, or number/mask, 32 bits each: 16, 0x10/0xf0")
    return value & mask, mask


def number(text: str) -> int | None:
    """A number of at most 20 characters, hexadecimal with 0x, else decimal; None for other text."""
    found = re.fullmatch(r"0x([0-9a-fA-F]{1,18})|([0-9]{1,20})", text)
    if found is None:
        return None
    return int(found[1], 16) if found[1] else int(found[2])


def tcp_state(text: str) -> int:
    """The number of a TCP state, its index in TCP_STATES. Raises UsageError EINVAL."""
    word = STATE_ALIASES.get(text.upper(), text.upper())
    if word not in TCP_STATES:
        raise wrong("state", text, f"one of {', '.join(TCP_STATES)}")
    return TCP_STATES.index(word)


def reason_number(text: str) -> int:
    found = {reason.text: int(reason) for reason in Reason}
    if text not in found:
        raise wrong("reason", text, f"one of {', '.join(list(found)[1:])}")
    return found[text]
