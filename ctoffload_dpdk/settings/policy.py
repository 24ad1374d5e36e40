"""The policy as settings hold it: zones of ports and VLANs, rules for new connections, translations. Text to types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ctoffload_dpdk.base.errors import SettingsError

Network = IPv4Network | IPv6Network
Ports = tuple[int, int]

PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}
CHOICES = ("random", "persistent")
MAX_STATEMENTS = 1024
MAX_TEXT = 64 * 1024

ZONES_FORM = "PORT [vlan OUTER[.INNER]] = ZONE; ..., for example: net_nicsim0 vlan 100 = 7"
RULES_FORM = (
    "allow|deny [PROTO] [from NET [port N[-M]]] [to NET [port N[-M]]] [on PORT]; ..., for example: "
    "deny tcp from 10.0.0.0/8 to any port 22 on net_nicsim0"
)
NAT_FORM = (
    "snat|dnat RANGE [random|persistent] [PROTO] [from NET [port N[-M]]] [to NET [port N[-M]]] [on PORT]; ..., "
    "for example: snat 192.0.2.1-192.0.2.9:1024-65535 from 10.0.0.0/8 on net_nicsim0"
)


@dataclass(frozen=True)
class ZoneOf:
    """Packets of a port with these VLAN ids, outer first, are in a zone; no ids: those without a tag."""

    port: str
    vlans: tuple[int, ...]
    zone: int


@dataclass(frozen=True)
class PolicyRule:
    """What becomes of a new connection: the first rule that fits decides.

    action: allow, deny, snat or dnat; translation: OVS's text of the range, choice: how one of it is chosen.
    None: whatever the connection has.
    """

    action: str
    translation: str = ""
    choice: str = ""
    proto: int | None = None
    src: Network | None = None
    src_ports: Ports | None = None
    dst: Network | None = None
    dst_ports: Ports | None = None
    port: str | None = None


def statements(text: str) -> Iterator[str]:
    """Statements end with a semicolon or a line; what follows # is a comment.

    Raises SettingsError for more than 1024 of them, and for more than 65536 characters.
    """
    found = [one.strip() for line in text.splitlines() for one in line.partition("#")[0].split(";")]
    found = [one for one in found if one]
    if len(text) > MAX_TEXT or len(found) > MAX_STATEMENTS:
        raise SettingsError(f"more than {MAX_STATEMENTS} statements, or {MAX_TEXT} characters")
    yield from found


def zones(text: str) -> tuple[ZoneOf, ...]:
    """Reads ZONES_FORM. Raises SettingsError."""
    made: dict[tuple[str, tuple[int, ...]], ZoneOf] = {}
    for one in statements(text):
        found = re.fullmatch(r"(\S+?)(?:\s+vlan\s+(\d{1,5})(?:\.(\d{1,5}))?)?\s*=\s*(\d{1,6})", one)
        if found is None:
            raise SettingsError(f"{one!r} is no zone of a port", hint=ZONES_FORM)
        vlans = tuple(int(tag) for tag in (found[2], found[3]) if tag is not None)
        if any(tag > 4095 for tag in vlans) or int(found[4]) > 65535:
            raise SettingsError(f"{one!r}: a VLAN id is 0 to 4095, a zone 0 to 65535")
        if (found[1], vlans) in made:
            raise SettingsError(f"{one!r}: that port and VLAN have a zone already")
        made[found[1], vlans] = ZoneOf(found[1], vlans, int(found[4]))
    return tuple(made.values())


def rules(text: str) -> tuple[PolicyRule, ...]:
    """Reads RULES_FORM. Raises SettingsError."""
    return tuple(_rule(one, ("allow", "deny"), RULES_FORM) for one in statements(text))


def translations(text: str) -> tuple[PolicyRule, ...]:
    """Reads NAT_FORM. Raises SettingsError."""
    return tuple(_rule(one, ("snat", "dnat"), NAT_FORM) for one in statements(text))


def _rule(text: str, actions: tuple[str, ...], grammar: str) -> PolicyRule:
    words = text.split()
    facts: dict[str, object] = {}
    try:
        facts["action"] = words.pop(0)
        if facts["action"] not in actions:
            raise ValueError(f"{facts['action']} is none of {', '.join(actions)}")
        if actions[0] == "snat":
            facts["translation"] = _range(words.pop(0))
            if words and words[0] in CHOICES:
                facts["choice"] = words.pop(0)
        if words and words[0] not in {"from", "to", "on"}:
            facts["proto"] = _proto(words.pop(0))
        for key, end in (("from", "src"), ("to", "dst")):
            if words and words[0] == key:
                words.pop(0)
                facts[end], facts[f"{end}_ports"] = _end(words)
        if words and words[0] == "on":
            words.pop(0)
            facts["port"] = words.pop(0)
        if words:
            raise ValueError(f"{words[0]!r} is not understood there")
    except IndexError:
        raise SettingsError(f"{text!r} ends too early", hint=grammar) from None
    except ValueError as error:
        raise SettingsError(f"{text!r}: {error}", hint=grammar) from None
    rule = PolicyRule(**facts)  # type: ignore[arg-type]
    if (rule.src_ports or rule.dst_ports) and rule.proto not in {6, 17, 33, 132}:
        raise SettingsError(f"{text!r}: ports need a protocol that has them: tcp, udp, sctp, dccp", hint=grammar)
    if rule.src is not None and rule.dst is not None and rule.src.version != rule.dst.version:
        raise SettingsError(f"{text!r}: {rule.src} and {rule.dst} are of different families")
    return rule


def _proto(word: str) -> int:
    if word in PROTOCOLS:
        return PROTOCOLS[word]
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 255:
        return int(word)
    raise ValueError(f"{word!r} is no protocol")


def _range(word: str) -> str:
    """A range to translate to, as it stands: LOW[-HIGH][:PORT[-PORT]], IPv6 in brackets."""
    found = re.fullmatch(
        r"(?:\[([^\]]+)\](?:-\[([^\]]+)\])?|([^:\[\]-]+)(?:-([^:\[\]-]+))?)?(?::(\d{1,5})(?:-(\d{1,5}))?)?", word
    )
    if found is None or not word:
        raise ValueError(f"{word!r} is no range of addresses and ports")
    ends = [ip_address(text) for text in found.groups()[:4] if text is not None]
    if len(ends) == 2 and (ends[0].version != ends[1].version or int(ends[0]) > int(ends[1])):
        raise ValueError(f"{word!r} is no range: {ends[0]} is not below {ends[1]}")
    if found[5] and not 0 < int(found[5]) <= int(found[6] or found[5]) <= 65535:
        raise ValueError(f"{word!r} has no range of ports")
    return word


def _end(words: list[str]) -> tuple[Network | None, Ports | None]:
    """An address or network, and ports."""
    word = words.pop(0)
    network = None if word == "any" else ip_network(word, strict=False)
    ports = None
    if words and words[0] == "port":
        words.pop(0)
        word = words.pop(0)
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", word)
        if found is None or not 0 < int(found[1]) <= int(found[2] or found[1]) <= 65535:
            raise ValueError(f"{word!r} is no port or range of ports")
        ports = int(found[1]), int(found[2] or found[1])
    return network, ports
