"""Every shape of rule that the plans of the provider could make: what the verdict table asks the driver about.

A shape's name is domain/group/pattern/actions. Groups are the pipeline's: 0 where packets enter, 1 the gate, 2 the
connections, 3 the check after CONNTRACK. Values are examples; the verdicts do not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

from ctoffload_dpdk.dpdk.actions import (
    Action,
    Age,
    Attr,
    Conntrack,
    Count,
    DecTtl,
    Drop,
    Field,
    FieldAt,
    Jump,
    Mark,
    ModifyField,
    OfPopVlan,
    Passthru,
    PortRepresentor,
    Queue,
    RepresentedPort,
    Rss,
    SetIpv4Dst,
    SetIpv4Src,
    SetIpv6Dst,
    SetIpv6Src,
    SetMacDst,
    SetMacSrc,
    SetTag,
    SetTpDst,
    SetTpSrc,
    SetTtl,
)
from ctoffload_dpdk.dpdk.actions import Indirect as IndirectAction
from ctoffload_dpdk.dpdk.items import (
    Conntrack as ConntrackItem,
)
from ctoffload_dpdk.dpdk.items import (
    Eth,
    Icmp,
    Icmp6,
    Ipv4,
    Ipv6,
    Ipv6FragExt,
    Item,
    Masked,
    Meta,
    Tag,
    Tcp,
    Udp,
    Vlan,
)
from ctoffload_dpdk.dpdk.items import (
    Mark as MarkItem,
)
from ctoffload_dpdk.dpdk.items import (
    RepresentedPort as RepresentedPortItem,
)

ENTRY, GATE, CONNECTIONS, CHECK, BEYOND = range(5)


@dataclass(frozen=True)
class Shape:
    """One rule. needs_switch: it can only be asked where the device has an E-Switch."""

    name: str
    attr: Attr
    pattern: list[Item]
    actions: list[Action]

    @property
    def needs_switch(self) -> bool:
        return self.attr.transfer


# --- what rules match ---------------------------------------------------------------------------------------------

V4 = Ipv4(src="10.0.0.1", dst="10.0.0.2")
V6 = Ipv6(src="2001:db8::1", dst="2001:db8::2")
TCP = Tcp(src_port=1000, dst_port=80)
UDP = Udp(src_port=1000, dst_port=53)

FIVE_TUPLES: dict[str, list[Item]] = {
    "v4-tcp": [Eth(), V4, TCP],
    "v4-udp": [Eth(), V4, UDP],
    "v6-tcp": [Eth(), V6, TCP],
    "v6-udp": [Eth(), V6, UDP],
    "vlan-v4-tcp": [Eth(), Vlan(vid=5), V4, TCP],
    "vlan-v4-udp": [Eth(), Vlan(vid=5), V4, UDP],
    "vlan-v6-tcp": [Eth(), Vlan(vid=5), V6, TCP],
    "vlan-v6-udp": [Eth(), Vlan(vid=5), V6, UDP],
}

# A connection's packets that neither open nor close it.
LIVE: dict[str, list[Item]] = {
    "v4-tcp-live": [Eth(), V4, Tcp(src_port=1000, dst_port=80, flags=Masked(0, 7))],
    "v6-tcp-live": [Eth(), V6, Tcp(src_port=1000, dst_port=80, flags=Masked(0, 7))],
    "vlan-v4-tcp-live": [Eth(), Vlan(vid=5), V4, Tcp(src_port=1000, dst_port=80, flags=Masked(0, 7))],
    "vlan-v6-tcp-live": [Eth(), Vlan(vid=5), V6, Tcp(src_port=1000, dst_port=80, flags=Masked(0, 7))],
    "v4-udp": FIVE_TUPLES["v4-udp"],
    "v6-udp": FIVE_TUPLES["v6-udp"],
}

GATES: dict[str, list[Item]] = {
    "any": [Eth()],
    "arp": [Eth(ether_type=0x0806)],
    "vlan": [Eth(), Vlan(vid=5)],
    "v4": [Eth(), Ipv4()],
    "v6": [Eth(), Ipv6()],
    "v4-fragment": [Eth(), Ipv4(fragment_offset=Masked(0x3FFF, 0x3FFF))],
    "v4-first-fragment": [Eth(), Ipv4(fragment_offset=Masked(0x2000, 0x2000))],
    "v4-no-fragment": [Eth(), Ipv4(fragment_offset=Masked(0, 0x3FFF))],
    "v6-fragment": [Eth(), Ipv6(has_frag_ext=True)],
    "v6-no-fragment": [Eth(), Ipv6(has_frag_ext=False)],
    "v6-fragment-header": [Eth(), Ipv6(), Ipv6FragExt()],
    "v4-tcp-syn": [Eth(), Ipv4(), Tcp(flags=Masked(2, 2))],
    "v4-tcp-fin": [Eth(), Ipv4(), Tcp(flags=Masked(1, 1))],
    "v4-tcp-rst": [Eth(), Ipv4(), Tcp(flags=Masked(4, 4))],
    "v4-tcp-open": [Eth(), Ipv4(), Tcp(flags=Masked(0, 7))],
    "v6-tcp-syn": [Eth(), Ipv6(), Tcp(flags=Masked(2, 2))],
    "v6-tcp-open": [Eth(), Ipv6(), Tcp(flags=Masked(0, 7))],
    "v4-udp": [Eth(), Ipv4(), Udp()],
    "v4-icmp-echo": [Eth(), Ipv4(), Icmp(type=8, ident=1)],
    "v6-icmp-echo": [Eth(), Ipv6(), Icmp6(type=128)],
}

CHECKS: dict[str, list[Item]] = {
    "valid": [Eth(), Ipv4(), Tcp(), ConntrackItem(flags=Masked(1, 1))],
    "invalid": [Eth(), Ipv4(), Tcp(), ConntrackItem(flags=Masked(4, 4))],
    "changed": [Eth(), Ipv4(), Tcp(), ConntrackItem(flags=Masked(2, 2))],
    "valid-v6": [Eth(), Ipv6(), Tcp(), ConntrackItem(flags=Masked(1, 1))],
    "valid-any": [Eth(), ConntrackItem(flags=Masked(1, 1))],
    "valid-5-tuple": [Eth(), V4, TCP, ConntrackItem(flags=Masked(1, 1))],
    "mark": [MarkItem(id=7), Eth(), Ipv4(), Tcp()],
    "meta": [Meta(data=7), Eth(), Ipv4(), Tcp()],
    "tag": [Tag(index=0, data=7), Eth(), Ipv4(), Tcp()],
}

# --- what rules do ------------------------------------------------------------------------------------------------


def modify(to: Field, value: bytes, width_bits: int) -> ModifyField:
    return ModifyField(FieldAt(to), value, width_bits)


MODIFY_V4 = modify(Field.IPV4_SRC, bytes((192, 0, 2, 1)), 32)
MODIFY_V4_DST = modify(Field.IPV4_DST, bytes((192, 0, 2, 2)), 32)
MODIFY_TCP = modify(Field.TCP_PORT_SRC, b"\x04\xd2", 16)
MODIFY_UDP = modify(Field.UDP_PORT_DST, b"\x04\xd2", 16)
MODIFY_TTL = modify(Field.IPV4_TTL, b"\x3f", 8)
MODIFY_V6 = modify(Field.IPV6_SRC, bytes.fromhex("20010db8000000000000000000000009"), 128)
MODIFY_V6_DST = modify(Field.IPV6_DST, bytes.fromhex("20010db800000000000000000000000a"), 128)
MODIFY_MAC = modify(Field.MAC_DST, bytes.fromhex("020000000002"), 48)
MODIFY_TAG = ModifyField(FieldAt(Field.TAG, tag_index=0), b"\0\0\0\x07", 32)
MODIFY_META = modify(Field.META, b"\0\0\0\x07", 32)

REWRITES: dict[str, tuple[str, list[Action]]] = {
    "set-v4-src": ("v4-tcp", [SetIpv4Src("192.0.2.1")]),
    "set-v4-dst": ("v4-tcp", [SetIpv4Dst("192.0.2.2")]),
    "set-tp-src": ("v4-tcp", [SetTpSrc(1234)]),
    "set-tp-dst": ("v4-udp", [SetTpDst(1234)]),
    "set-v4-nat": ("v4-tcp", [SetIpv4Src("192.0.2.1"), SetTpSrc(1234)]),
    "set-v4-twice-nat": (
        "v4-tcp",
        [SetIpv4Src("192.0.2.1"), SetIpv4Dst("192.0.2.2"), SetTpSrc(1234), SetTpDst(80)],
    ),
    "set-v6-src": ("v6-tcp", [SetIpv6Src("2001:db8::9")]),
    "set-v6-nat": ("v6-udp", [SetIpv6Dst("2001:db8::a"), SetTpDst(1234)]),
    "set-ttl": ("v4-tcp", [SetTtl(63)]),
    "dec-ttl": ("v4-tcp", [DecTtl()]),
    "dec-ttl-v6": ("v6-tcp", [DecTtl()]),
    "set-mac": ("v4-tcp", [SetMacSrc("02:00:00:00:00:01"), SetMacDst("02:00:00:00:00:02")]),
    "set-tag": ("v4-tcp", [SetTag(index=0, data=7)]),
    "modify-v4-src": ("v4-tcp", [MODIFY_V4]),
    "modify-v4-nat": ("v4-tcp", [MODIFY_V4, MODIFY_TCP]),
    "modify-v4-udp-nat": ("v4-udp", [MODIFY_V4_DST, MODIFY_UDP]),
    "modify-v6-src": ("v6-tcp", [MODIFY_V6]),
    "modify-v6-nat": ("v6-udp", [MODIFY_V6_DST, MODIFY_UDP]),
    "modify-ttl": ("v4-tcp", [MODIFY_TTL]),
    "modify-mac": ("v4-tcp", [MODIFY_MAC]),
    "modify-tag": ("v4-tcp", [MODIFY_TAG]),
    "modify-meta": ("v4-tcp", [MODIFY_META]),
}

QUEUE, RSS, DROP, PORT = Queue(0), Rss((0, 1)), Drop(), RepresentedPort(1)
MARK, COUNT, AGE, CT = Mark(7), Count(), Age(30), Conntrack()
LETTERS: dict[str, Action] = {
    "mark": MARK,
    "count": COUNT,
    "age": AGE,
    "ct": CT,
    "rewrite": MODIFY_V4,
    "queue": QUEUE,
    "rss": RSS,
    "drop": DROP,
    "port": PORT,
}


def act(words: str, group: int) -> list[Action]:
    """ "mark count jump" as actions; a jump goes to the next group."""
    return [Jump(group + 1) if w == "jump" else LETTERS[w] for w in words.split()]


# Their value is the template's, not the rule's.
IN_TEMPLATE = (Jump, Queue, Rss, Drop, RepresentedPort, ModifyField)


def fixed(actions: list[Action]) -> list[bool]:
    """Which actions of a template have their value fixed; the others get it from each rule."""
    return [isinstance(a, IN_TEMPLATE) and not isinstance(a, IndirectAction) for a in actions]


# --- the shapes ---------------------------------------------------------------------------------------------------

DOMAINS = {"in": Attr(ingress=True), "out": Attr(egress=True), "fdb": Attr(transfer=True)}


def shape(where: tuple[str, int, str], items: list[Item], words: str, actions: list[Action]) -> Shape:
    """where: domain, group, the pattern's name."""
    domain, group, pattern = where
    base = DOMAINS[domain]
    attr = Attr(group=group, ingress=base.ingress, egress=base.egress, transfer=base.transfer)
    return Shape(f"{domain}/{group}/{pattern}/{words.replace(' ', '+')}", attr, items, actions)


def of_words(domain: str, group: int, pattern: str, items: list[Item], words: str) -> Shape:
    return shape((domain, group, pattern), items, words, act(words, group))


def on_switch(items: list[Item]) -> list[Item]:
    """In the E-Switch the port a packet came from is an item."""
    return [RepresentedPortItem(0), *items]


def gate_rules() -> Iterator[Shape]:
    """What is sent to software or on to a zone's group, in the gate and where packets enter."""
    for name, items in GATES.items():
        for group in (ENTRY, GATE):
            for words in ("jump", "queue", "rss", "drop", "mark queue", "count jump"):
                yield of_words("in", group, name, items, words)
            for words in ("jump", "port", "drop"):
                yield of_words("fdb", group, name, on_switch(items), words)


def connection_rules() -> Iterator[Shape]:
    """A connection's direction, by each plan and each fate."""
    plans = ("count", "age", "age count", "ct", "count ct", "mark", "mark count", "")
    for name, items in FIVE_TUPLES.items():
        for plan in plans:
            for fate in ("jump", "queue", "rss", "drop"):
                yield of_words("in", CONNECTIONS, name, items, f"{plan} {fate}".strip())
            for fate in ("jump", "port", "drop", "queue"):
                yield of_words("fdb", CONNECTIONS, name, on_switch(items), f"{plan} {fate}".strip())
    for name in ("v4-tcp", "v6-udp"):
        for plan in plans:
            for fate in ("jump", "drop"):
                yield of_words("out", CONNECTIONS, name, FIVE_TUPLES[name], f"{plan} {fate}".strip())
        for plan in ("count", "age", "ct", "mark", ""):
            yield of_words("in", ENTRY, name, FIVE_TUPLES[name], f"{plan} queue".strip())
            yield of_words("fdb", ENTRY, name, on_switch(FIVE_TUPLES[name]), f"{plan} port".strip())


def gateless_rules() -> Iterator[Shape]:
    """A connection's direction where there is no gate: the rule itself leaves out what opens and closes."""
    for name, items in LIVE.items():
        for group in (ENTRY, CONNECTIONS):
            for words in ("count age port", "age port", "count port"):
                yield of_words("fdb", group, name, on_switch(items), words)
            for words in ("count age queue", "age queue", "count queue", "mark queue"):
                yield of_words("in", group, name, items, words)


def order_rules() -> Iterator[Shape]:
    """The same actions in every order."""
    for group_of_words in (("mark", "rewrite", "count", "ct"), ("mark", "rewrite", "age"), ("age", "count", "ct")):
        for order in permutations(group_of_words):
            for domain in ("in", "fdb"):
                items = FIVE_TUPLES["v4-tcp"] if domain == "in" else on_switch(FIVE_TUPLES["v4-tcp"])
                yield of_words(domain, CONNECTIONS, "order", items, " ".join((*order, "jump")))
    for order in permutations(("rewrite", "count", "ct")):
        yield of_words("out", CONNECTIONS, "order", FIVE_TUPLES["v4-tcp"], " ".join((*order, "jump")))


def rewrite_rules() -> Iterator[Shape]:
    """Each rewrite before what counts, as software steering wants it, and after it, as hardware steering does."""
    for name, (pattern, rewrites) in REWRITES.items():
        for domain in ("in", "out", "fdb"):
            items = FIVE_TUPLES[pattern] if domain != "fdb" else on_switch(FIVE_TUPLES[pattern])
            for words in ("rewrite count jump", "count rewrite jump", "rewrite count ct jump", "count ct rewrite jump"):
                if "ct" in words and (domain == "out" or "tcp" not in pattern):
                    continue
                actions = [a for w in words.split() for a in (rewrites if w == "rewrite" else act(w, CONNECTIONS))]
                yield shape((domain, CONNECTIONS, pattern), items, words.replace("rewrite", name), actions)


def check_rules() -> Iterator[Shape]:
    """After CONNTRACK, and by what an earlier rule left."""
    for name, items in CHECKS.items():
        for words in ("queue", "rss", "jump", "drop", "mark queue", "count queue", "age queue", "rewrite queue"):
            yield of_words("in", CHECK, name, items, words)
        for words in ("port", "jump", "rewrite port"):
            yield of_words("fdb", CHECK, name, on_switch(items), words)
        yield of_words("out", CHECK, name, items, "jump")


LIMIT_ACTIONS: dict[str, list[Action]] = {
    "mark-largest+queue": [Mark(0xFFFFEF), QUEUE],
    "mark-too-large+queue": [Mark(0xFFFFF0), QUEUE],
    "mark+mark+queue": [MARK, MARK, QUEUE],
    "age-largest+queue": [Age(0xFFFFFF), QUEUE],
    "age-0+queue": [Age(0), QUEUE],
    "age+age+queue": [AGE, AGE, QUEUE],
    "count+count+queue": [COUNT, COUNT, QUEUE],
    "count": [COUNT],
    "queue+count": [QUEUE, COUNT],
    "queue+mark": [QUEUE, MARK],
    "queue-none": [Queue(9)],
    "jump+queue": [Jump(3), QUEUE],
    "jump-back": [Jump(1)],
    "passthru": [Passthru()],
    "port-out": [PORT],
    "host-out": [PortRepresentor(1)],
    "ct+age+queue": [CT, AGE, QUEUE],
    "queue+ct": [QUEUE, CT],
    "pop-vlan+queue": [OfPopVlan(), QUEUE],
}

LIMIT_PATTERNS: dict[str, list[Item]] = {
    "tcp-without-ip": [Eth(), TCP],
    "icmp-of-v6": [Eth(), V6, Icmp(type=8)],
    "icmp6-of-v4": [Eth(), V4, Icmp6(type=128)],
    "tcp-and-udp": [Eth(), V4, TCP, UDP],
    "two-conntracks": [Eth(), ConntrackItem(flags=Masked(1, 1)), ConntrackItem(flags=Masked(1, 1))],
    "valid-and-invalid": [Eth(), ConntrackItem(flags=Masked(5, 5))],
    "from-port": [RepresentedPortItem(0), Eth()],
}


def limit_rules() -> Iterator[Shape]:
    """Values at their limits and beyond, actions too many or too few, items where they mean nothing."""
    for words, actions in LIMIT_ACTIONS.items():
        yield shape(("in", CONNECTIONS, "limits"), FIVE_TUPLES["v4-tcp"], words, actions)
        yield shape(("fdb", CONNECTIONS, "limits"), on_switch(FIVE_TUPLES["v4-tcp"]), words, actions)
    for name, items in LIMIT_PATTERNS.items():
        yield of_words("in", CHECK, name, items, "queue")
        yield of_words("fdb", CHECK, name, on_switch(items), "port")


def all_shapes() -> list[Shape]:
    rules = (gate_rules, connection_rules, gateless_rules, order_rules, rewrite_rules, check_rules, limit_rules)
    # Some belong to two families.
    return list({made.name: made for family in rules for made in family()}.values())


SHAPES = all_shapes()
BY_NAME = {s.name: s for s in SHAPES}


def names(needs_switch: bool) -> list[str]:
    return [s.name for s in SHAPES if s.needs_switch == needs_switch]
