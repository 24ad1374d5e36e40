"""Random rules over two ports: where each packet went, its bytes, marks and counts, as a model says."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from nicsim_packets import eth
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Dot1Q

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
NETWORKS = [None, None, "10.0.0.1/32", "10.0.0.0/24", "10.0.0.0/16"]
L4 = {6: (TCP, items.Tcp), 17: (UDP, items.Udp)}
HAIRPIN = 2  # a receive queue of the left port
META_MASK = 0x0F


@dataclass(frozen=True)
class Packet:
    """What a packet is, and what rules noted of it."""

    src: str
    dst: str
    proto: int
    port: int  # destination; ICMP: the identifier
    vlans: tuple[int, ...] = ()  # outermost first
    ttl: int = 64
    mark: int | None = None
    meta: int = 0
    tag: int = 0

    def wire(self) -> bytes:
        head = eth()
        for vid in self.vlans:
            head /= Dot1Q(vlan=vid)
        tail = ICMP(type=8, id=self.port) if self.proto == 1 else L4[self.proto][0](sport=1000, dport=self.port)
        return bytes(head / IP(src=self.src, dst=self.dst, ttl=self.ttl) / tail)


@dataclass(frozen=True)
class Pattern:
    """None: not compared."""

    vlans: tuple[int | None, ...] = ()  # as many tags as the packet has
    src: str | None = None
    dst: str | None = None
    proto: int | None = None
    port: int | None = None
    mark: int | None = None
    meta: int | None = None
    tag: int | None = None
    wire: int | None = None  # number of the port whose wire it came by

    def fits(self, packet: Packet, came_by: int) -> bool:
        if len(packet.vlans) != len(self.vlans):
            return False
        pairs = [
            *zip(self.vlans, packet.vlans, strict=True),
            (self.proto, packet.proto), (self.port, packet.port), (self.mark, packet.mark),
            (self.tag, packet.tag), (self.wire, came_by),
            (self.meta, packet.meta & META_MASK),
        ]  # fmt: skip
        networks = [(self.src, packet.src), (self.dst, packet.dst)]
        return all(wanted is None or wanted == found for wanted, found in pairs) and all(
            network is None or ipaddress.ip_address(found) in ipaddress.ip_network(network)
            for network, found in networks
        )

    def n_bits(self) -> int:
        """How much it compares."""
        prefixes = sum(ipaddress.ip_network(n).prefixlen for n in (self.src, self.dst) if n)
        tags = min(len(self.vlans) + 1, 2) + 12 * sum(vid is not None for vid in self.vlans)
        l4 = (9 if self.proto else 0) + (16 if self.port is not None else 0)
        noted = (33 if self.mark is not None else 0) + (4 if self.meta is not None else 0)
        return prefixes + tags + l4 + noted + (32 if self.tag is not None else 0) + (16 if self.wire is not None else 0)

    def items(self, ports: list[int]) -> list[Any]:
        listed: list[Any] = [] if self.wire is None else [items.RepresentedPort(ports[self.wire])]
        listed += [items.Eth(), *(items.Vlan(vid=vid) for vid in self.vlans), items.Ipv4(src=self.src, dst=self.dst)]
        if self.proto == 1:
            listed.append(items.Icmp(ident=self.port))
        elif self.proto:
            listed.append(L4[self.proto][1](dst_port=self.port))
        if self.mark is not None:
            listed.append(items.Mark(self.mark))
        if self.meta is not None:
            listed.append(items.Meta(items.Masked(self.meta, META_MASK)))
        if self.tag is not None:
            listed.append(items.Tag(1, self.tag))
        return listed


@dataclass(frozen=True)
class Deeds:
    """What a rule does before its fate."""

    mark: int | None = None
    meta: int | None = None
    tag: int | None = None
    src: str | None = None
    port: int | None = None
    ttl: bool = False
    pop: bool = False
    push: int | None = None

    def apply(self, p: Packet) -> Packet:
        p = replace(
            p,
            mark=p.mark if self.mark is None else self.mark,
            meta=p.meta if self.meta is None else self.meta,
            tag=p.tag if self.tag is None else self.tag,
            src=self.src or p.src,
            port=p.port if self.port is None else self.port,
            ttl=p.ttl - self.ttl,
        )
        vlans = p.vlans[1:] if self.pop else p.vlans
        return replace(p, vlans=vlans if self.push is None else (self.push, *vlans))

    def actions(self) -> list[Any]:
        wanted = [
            (self.mark, actions.Mark), (self.meta, actions.SetMeta), (self.src, actions.SetIpv4Src),
            (self.port, actions.SetTpDst),
        ]  # fmt: skip
        listed: list[Any] = [make(value) for value, make in wanted if value is not None]
        listed += [actions.SetTag(1, self.tag)] if self.tag is not None else []
        listed += [actions.DecTtl()] if self.ttl else []
        listed += [actions.OfPopVlan()] if self.pop else []
        return listed + ([actions.OfPushVlan(), actions.OfSetVlanVid(self.push)] if self.push is not None else [])


@dataclass
class Modelled:
    domain: int | str  # number of the port whose packets it is for, or "transfer"
    group: int
    priority: int
    pattern: Pattern
    deeds: Deeds
    fate: tuple[str, int]
    handle: Any = None
    packets: int = 0
    n_bytes: int = 0

    def rank(self) -> tuple[int, int]:
        return self.priority, -self.pattern.n_bits()


class AmbiguousError(Exception):
    """Two rules of one rank fit: either may come first."""


Place = tuple[str, int, int]  # ("host", port, queue), ("wire", port, 0) or ("nowhere", 0, 0)


@dataclass
class Model:
    rules: list[Modelled] = field(default_factory=list)

    def send(self, packet: Packet, came_by: int) -> tuple[Place, Packet, list[tuple[Modelled, int]]]:
        """Where it ends, as what, and the rules it met with its bytes there."""
        met: list[tuple[Modelled, int]] = []
        place, packet = self.walk("transfer", packet, came_by, met)
        if place is None:
            place, packet = self.walk(came_by, replace(packet, tag=0), came_by, met)
        return place or ("host", came_by, 0), packet, met

    def walk(
        self, domain: int | str, packet: Packet, came_by: int, met: list[tuple[Modelled, int]]
    ) -> tuple[Place | None, Packet]:
        group, after = 0, (-1, 0)
        while True:
            found = self.first(domain, group, packet, came_by, after)
            if found is None:
                return None, packet
            met.append((found, len(packet.wire())))
            packet = found.deeds.apply(packet)
            kind, number = found.fate
            if kind == "jump":
                group, after = number, (-1, 0)
            elif kind == "passthru":
                after = found.rank()
            else:
                return self.place(kind, number, came_by), packet

    @staticmethod
    def place(kind: str, number: int, came_by: int) -> Place:
        if kind == "queue":
            return ("wire", came_by, 0) if (came_by, number) == (0, HAIRPIN) else ("host", came_by, number)
        return {"drop": ("nowhere", 0, 0), "wire": ("wire", number, 0), "host": ("host", number, 0)}[kind]

    def first(
        self, domain: int | str, group: int, packet: Packet, came_by: int, after: tuple[int, int]
    ) -> Modelled | None:
        here = [r for r in self.rules if (r.domain, r.group) == (domain, group)]
        fitting = [r for r in here if r.rank() >= after and r.pattern.fits(packet, came_by)]
        fitting = [r for r in fitting if r.rank() > after]
        best = min(fitting, key=Modelled.rank, default=None)
        if best and sum(r.rank() == best.rank() for r in fitting) > 1:
            raise AmbiguousError
        return best


PACKETS = st.builds(
    Packet,
    src=st.sampled_from(ADDRESSES), dst=st.sampled_from(ADDRESSES), proto=st.sampled_from([1, 6, 17]),
    port=st.sampled_from([80, 81]), vlans=st.sampled_from([(), (), (5,), (6,), (5, 6)]),
)  # fmt: skip

maybe = st.one_of(st.none(), st.none(), st.integers(0, 3))


@st.composite
def wishes(draw: st.DrawFn) -> Modelled:
    domain = draw(st.sampled_from([0, 1, "transfer"]))
    is_transfer = domain == "transfer"
    group = draw(st.integers(0, 2))
    proto = draw(st.sampled_from([None, 1, 6, 17]))
    vlans = draw(st.sampled_from([(), (), (5,), (None,), (5, 6), (None, 6)]))
    pattern = Pattern(
        vlans, draw(st.sampled_from(NETWORKS)), draw(st.sampled_from(NETWORKS)), proto,
        draw(st.sampled_from([None, 80, 81])) if proto else None, None if is_transfer else draw(maybe),
        draw(maybe), draw(maybe), draw(st.sampled_from([None, 0, 1])) if is_transfer else None,
    )  # fmt: skip
    deeds = Deeds(
        None if is_transfer else draw(maybe), draw(maybe), draw(maybe), draw(st.sampled_from([None, None, *ADDRESSES])),
        draw(st.sampled_from([None, 80, 81])) if proto in L4 else None, draw(st.booleans()),
        draw(st.booleans()) and bool(vlans), draw(st.sampled_from([None, None, 5, 6])),
    )  # fmt: skip
    fates = [("drop", 0), ("passthru", 0), *([("jump", n) for n in range(group + 1, 3)])]
    fates += [(kind, n) for kind in ("wire", "host") for n in (0, 1)] if is_transfer else []
    fates += [] if is_transfer else [("queue", n) for n in range(3 if domain == 0 else 2)]
    return Modelled(domain, group, draw(st.integers(0, 2)), pattern, deeds, draw(st.sampled_from(fates)))


def fate_of(wish: Modelled, ports: list[int]) -> Any:
    kind, number = wish.fate
    makers: dict[str, Any] = {
        "drop": actions.Drop, "passthru": actions.Passthru, "jump": lambda: actions.Jump(number),
        "queue": lambda: actions.Queue(number), "wire": lambda: actions.RepresentedPort(ports[number]),
        "host": lambda: actions.PortRepresentor(ports[number]),
    }  # fmt: skip
    return makers[kind]()


def machine_for(hosts: list[Any]) -> type[RuleBasedStateMachine]:
    """The machine, bound to two hosts of one switch: one EAL, the same ports for all examples."""
    ports = [host.port.id for host in hosts]

    class Switch(RuleBasedStateMachine):
        @initialize()
        def empty(self) -> None:
            for host in hosts:
                host.port.flush_rules()
            self.model = Model()

        @rule(wish=wishes())
        def create(self, wish: Modelled) -> None:
            owner = hosts[0] if wish.domain == "transfer" else hosts[wish.domain]
            attr = {"group": wish.group, "priority": wish.priority}
            attr["transfer" if wish.domain == "transfer" else "ingress"] = True
            same = [r for r in self.model.rules if self.identity(r) == self.identity(wish)]
            listed = [actions.Count(), *wish.deeds.actions(), fate_of(wish, ports)]
            try:
                wish.handle = owner.rule(wish.pattern.items(ports), listed, **attr)
            except FlowError as error:
                assert same, error
                assert "there is such a rule already" in str(error)
                return
            assert not same
            self.model.rules.append(wish)

        @staticmethod
        def identity(r: Modelled) -> tuple[Any, ...]:
            return r.domain, r.group, r.priority, r.pattern

        @precondition(lambda self: self.model.rules)
        @rule(data=st.data())
        def destroy(self, data: st.DataObject) -> None:
            gone = data.draw(st.sampled_from(self.model.rules))
            gone.handle.close()
            self.model.rules.remove(gone)

        @rule(packets=st.lists(PACKETS, min_size=1, max_size=20), came_by=st.integers(0, 1))
        def send(self, packets: list[Packet], came_by: int) -> None:
            expected: dict[Place, list[Any]] = defaultdict(list)
            sent = []
            for packet in packets:
                try:
                    place, end, met = self.model.send(packet, came_by)
                except AmbiguousError:
                    continue
                sent.append(packet.wire())
                noted = (end.mark, end.meta) if place[0] == "host" else ()
                expected[place].append((end.wire(), *noted))
                for r, n_bytes in met:
                    r.packets += 1
                    r.n_bytes += n_bytes
            hosts[came_by].nic.wire_send(Packets.of(sent))
            for port, host in enumerate(hosts):
                assert [(p,) for p in host.left()] == expected[("wire", port, 0)]
                for queue in range(2):
                    burst = host.burst(queue)
                    marks = [int(m) if has else None for m, has in zip(burst.mark, burst.has_mark, strict=True)]
                    found = list(zip(burst.packets, marks, burst.meta.tolist(), strict=True))
                    assert found == expected[("host", port, queue)]

        @invariant()
        def counts_agree(self) -> None:
            if not hasattr(self, "model"):
                return
            counts = [r.handle.query_count() for r in self.model.rules]
            assert [(c.packets, c.bytes) for c in counts] == [(r.packets, r.n_bytes) for r in self.model.rules]
            assert sum(host.nic.audit().rules.live for host in hosts) == len(self.model.rules)

        @invariant()
        def the_account_closes(self) -> None:
            counters = [host.nic.counters() for host in hosts]
            for c in counters:
                assert c.wire_in + c.nic_received == c.nic_forwarded + sum(c.nic_dropped.values()) + c.host_rx
            assert sum(c.nic_forwarded for c in counters) == sum(c.wire_out + c.nic_received for c in counters)

    return Switch


@pytest.mark.timeout(300)
def test_two_ports_do_as_the_model(lab: Any) -> None:
    lab.eal.register_meta()
    left, right = lab.pair(queues=2, rss=False, start=False)
    left.port.configure(rx_queues=3, tx_queues=3)
    for queue in range(2):
        left.port.setup_rx_queue(queue, left.pool, descriptors=128)
        left.port.setup_tx_queue(queue)
    left.port.setup_hairpin_rx(HAIRPIN, [(left.port.id, 2)])
    left.port.setup_hairpin_tx(2, [(left.port.id, HAIRPIN)])
    for host in (left, right):
        host.port.start()
    run_state_machine_as_test(
        machine_for([left, right]),
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
