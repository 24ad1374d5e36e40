"""dpctl/flush-conntrack: its grammar, and which connections that means."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctoffload_dpdk.control.dpctl import DATAPATH, Arguments, DpctlCommand, DpctlError, Steps, number_of, zone_of
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import Conditions

Rows = NDArray[np.void]
Mask = NDArray[np.bool_]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

ICMP, ICMPV6 = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
WITH_PORTS = {socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_SCTP}
ADDRESSES = {"ct_nw_src": ("src", 4), "ct_nw_dst": ("dst", 4), "ct_ipv6_src": ("src", 6), "ct_ipv6_dst": ("dst", 6)}
PORTS = {"ct_tp_src": "sport", "ct_tp_dst": "dport"}
ICMP_FIELDS = {"icmp_type": ("type", 256), "icmp_code": ("code", 256), "icmp_id": ("id", 65536)}


@dataclass
class Shared:
    """What both tuples of a match have in common."""

    proto: int | None = None
    family: int | None = None


@dataclass
class Tuple:
    """What is given of one direction."""

    addresses: dict[str, Address] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass
class Match:
    """Which connections: conditions that all hold; none: every connection."""

    zone: int | None = None
    mark: tuple[int, int] | None = None
    labels: tuple[int, int] | None = None
    shared: Shared = field(default_factory=Shared)
    orig: Tuple | None = None
    reply: Tuple | None = None

    def fits(self, rows: Rows) -> Mask:
        """bool[n]: which of these connections."""
        found = np.ones(len(rows), np.bool_)
        if self.zone is not None:
            found &= rows["zone"] == self.zone
        if self.mark is not None:
            found &= (rows["mark"] & np.uint32(self.mark[1])) == np.uint32(self.mark[0] & self.mark[1])
        if self.labels is not None:
            for word in (0, 1):
                value, mask = (np.uint64(part >> 64 * word & (1 << 64) - 1) for part in self.labels)
                found &= (rows["label"][:, word] & mask) == (value & mask)
        if self.shared.proto is not None:
            found &= rows["proto"] == self.shared.proto
        if self.shared.family is not None:
            found &= rows["family"] == self.shared.family
        for prefix, one in (("", self.orig), ("reply_", self.reply)):
            if one is not None:
                found &= tuple_fits(rows, prefix, one)
        return found

    def coarse(self) -> Conditions:
        """What of it is tested in the table, so that a walk is short where few fit; `fits` judges the rest."""
        found: dict[str, Any] = {"zone": self.zone, "proto": self.shared.proto}
        for name, masked_value in (("mark", self.mark), ("label", self.labels)):
            if masked_value is not None:
                value, mask = masked_value
                found[name] = (value & mask, mask)
        for prefix, one in (("", self.orig or Tuple()), ("reply_", self.reply or Tuple())):
            found |= {prefix + end: ipaddress.ip_network(address) for end, address in one.addresses.items()}
        if self.orig is not None:
            found |= {name: self.orig.numbers.get(key) for key, name in (("sport", "src_port"), ("dport", "dst_port"))}
        return Conditions(**{name: value for name, value in found.items() if value is not None})

    def exact(self) -> dict[str, int | str] | None:
        """The one connection that is meant, as System.find takes it; None where it may be many."""
        one, proto = self.orig, self.shared.proto
        if one is None or self.reply is not None or self.mark or self.labels or proto is None:
            return None
        if len(one.addresses) < 2:
            return None
        ends = {"src": str(one.addresses["src"]), "dst": str(one.addresses["dst"])}
        needed = {"sport", "dport"} if proto in WITH_PORTS else {"id", "type"}
        if (proto not in WITH_PORTS and proto not in {ICMP, ICMPV6}) or not needed <= one.numbers.keys():
            return None
        if proto in WITH_PORTS:
            ports = {"sport": one.numbers["sport"], "dport": one.numbers["dport"]}
        else:
            ports = {"sport": one.numbers["id"], "dport": one.numbers["type"] << 8 | one.numbers.get("code", 0)}
        return {**ends, "proto": proto, **ports, "zone": self.zone or 0}


def tuple_fits(rows: Rows, prefix: str, wanted: Tuple) -> Mask:
    found = np.ones(len(rows), np.bool_)
    for end, address in wanted.addresses.items():
        packed = np.frombuffer(address.packed, np.uint8)
        found &= (rows[prefix + end][:, : len(packed)] == packed).all(axis=1)
    first, second = rows[f"{prefix}src_port"], rows[f"{prefix}dst_port"]
    places = {"sport": first, "dport": second, "id": first, "type": second >> 8, "code": second & 255}
    for name, value in wanted.numbers.items():
        found &= places[name] == value
    return found


def flush(system: System, given: Arguments) -> Steps:
    """Ends the connections that fit. One that is named whole must be there, else DpctlError ENOENT."""
    match = match_of(given)
    exact = match.exact()
    if exact is not None:
        rows = system.find(**exact)  # type: ignore[arg-type]
        if not system.end(rows):
            raise DpctlError("failed to flush conntrack", errno.ENOENT)
        return ""
    for rows in system.slices(match.coarse()):
        system.end(rows[match.fits(rows)])
        yield
    return ""


def match_of(given: Arguments) -> Match:
    """[dp] [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]], in this order, else DpctlError."""
    words, match = given.words, Match()
    if words and words[0] == DATAPATH:
        words.pop(0)
    if words and words[0].startswith("zone="):
        match.zone = zone_of(words.pop(0))
    for name, bits in (("mark", 32), ("labels", 128)):
        if words and words[0].startswith(f"{name}="):
            setattr(match, name, masked(name, words.pop(0).partition("=")[2], bits))
    for name in ("orig", "reply"):
        if words:
            word = words.pop(0)
            setattr(match, name, tuple_of(word, match.shared) if word else None)
    given.nothing_more()
    return match


def masked(name: str, text: str, bits: int) -> tuple[int, int]:
    """A value and its mask; without a mask all of it counts. Raises DpctlError for what is no number of `bits`."""
    value_text, slash, mask_text = text.partition("/")
    value = number_of(value_text, 1 << bits)
    mask = number_of(mask_text, 1 << bits) if slash else (1 << bits) - 1
    if value is None or mask is None:
        raise DpctlError(f"failed to parse {name}")
    return value, mask


def tuple_of(text: str, shared: Shared) -> Tuple:
    """The fields of one tuple, separated by commas or blanks. shared: gets its protocol and family.

    Raises DpctlError for a field that is none, or has no value that can be, and for ports without a protocol.
    """
    made = Tuple()
    for part in filter(None, re.split(r"[, \t\r\n]+", text)):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise DpctlError(f"field {key} missing value")
        take_field(made, shared, key, value)
    if made.numbers.keys() & PORTS.values() and shared.proto is None:
        raise DpctlError("port is set without protocol")
    return made


def take_field(made: Tuple, shared: Shared, key: str, value: str) -> None:
    if key in ADDRESSES:
        end, family = ADDRESSES[key]
        if shared.family not in {None, family}:
            raise DpctlError(f"the L3 protocol does not match {value}")
        if end in made.addresses:
            raise DpctlError(f"{key} is set multiple times")
        try:
            made.addresses[end] = ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value)
        except ValueError:
            raise DpctlError(f"failed to parse field {key}") from None
        shared.family = family
    elif key == "ct_nw_proto":
        shared.proto = field_number(key, value, 256)
    elif key in PORTS:
        made.numbers[PORTS[key]] = field_number(key, value, 65536)
    elif key in ICMP_FIELDS:
        if shared.proto not in {ICMP, ICMPV6}:
            raise DpctlError("invalid L4 fields")
        name, limit = ICMP_FIELDS[key]
        made.numbers[name] = field_number(key, value, limit)
    else:
        raise DpctlError(f"invalid conntrack tuple field: {key}")


def field_number(key: str, value: str, limit: int) -> int:
    found = number_of(value, limit)
    if found is None:
        raise DpctlError(f"failed to parse field {key}")
    return found


FLUSH_USAGE = "[dp] [zone=N] [mark=X[/M]] [labels=Y[/N]] [ct-orig-tuple [ct-reply-tuple]]"
FLUSH_COMMANDS = (DpctlCommand("flush-conntrack", FLUSH_USAGE, 0, 6, flush),)
