"""Random rules and packets: the pipeline does what a short model says, packet by packet, counter by counter."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
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
from scapy.layers.inet import IP, TCP, UDP

from ctoffload_dpdk.base.errors import FlowError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.dpdk import actions, items

pytestmark = pytest.mark.eal

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1"]
NETWORKS = [None, "10.0.0.1/32", "10.0.0.0/24", "10.0.0.0/16", "10.1.0.1/32"]
PORTS = [80, 81, 443]
GROUPS = [0, 1, 2]
N_QUEUES = 3


@dataclass
class Modelled:
    """One rule as the model sees it. None: the field is not compared."""

    group: int
    priority: int
    src: str | None
    dst: str | None
    proto: int | None
    dst_port: int | None
    opens: bool  # True: TCP packets with SYN, FIN or RST pass it by
    fate: tuple[str, int]
    mark: int | None
    handle: Any = None
    packets: int = 0

    def bits(self) -> int:
        """How much it compares: of two rules of one priority the one that compares more comes first."""
        total = 0
        for network in (self.src, self.dst):
            total += ipaddress.ip_network(network).prefixlen if network else 0
        return total + (9 if self.proto else 0) + (16 if self.dst_port else 0) + (3 if self.opens else 0)

    def matches(self, packet: dict[str, Any]) -> bool:
        for network, address in ((self.src, packet["src"]), (self.dst, packet["dst"])):
            if network and ipaddress.ip_address(address) not in ipaddress.ip_network(network):
                return False
        if self.proto and packet["proto"] != self.proto:
            return False
        if self.dst_port and packet["dport"] != self.dst_port:
            return False
        return not (self.opens and set(packet["flags"]) & set("SFR"))

    def pattern(self) -> list[Any]:
        listed: list[Any] = [items.Eth(), items.Ipv4(src=self.src, dst=self.dst)]
        if self.proto == 6:
            listed.append(items.Tcp(dst_port=self.dst_port, flags=items.Masked(0, 7) if self.opens else None))
        elif self.proto == 17:
            listed.append(items.Udp(dst_port=self.dst_port))
        return listed

    def actions(self) -> list[Any]:
        kind, number = self.fate
        fates = {"drop": actions.Drop(), "queue": actions.Queue(number), "jump": actions.Jump(number)}
        marked = [actions.Mark(self.mark)] if self.mark is not None else []
        return [actions.Count(), *marked, fates[kind]]


@dataclass
class Model:
    rules: list[Modelled] = field(default_factory=list)

    def send(self, packet: dict[str, Any]) -> tuple[int | None, int | None]:
        """(queue or None where dropped, mark). Ambiguous packets are not asked about."""
        group, mark = 0, None
        while True:
            found = self.first(group, packet)
            if found is None:
                return 0, mark
            found.packets += 1
            mark = found.mark if found.mark is not None else mark
            kind, number = found.fate
            if kind == "jump":
                group = number
                continue
            return (None if kind == "drop" else number), mark

    def first(self, group: int, packet: dict[str, Any]) -> Modelled | None:
        fitting = [r for r in self.rules if r.group == group and r.matches(packet)]
        return min(fitting, key=lambda r: (r.priority, -r.bits()), default=None)

    def is_ambiguous(self, packet: dict[str, Any]) -> bool:
        """True where in some group two rules of one rank fit: then either may come first."""
        for group in GROUPS:
            fitting = [(r.priority, r.bits()) for r in self.rules if r.group == group and r.matches(packet)]
            best = min(((p, -b) for p, b in fitting), default=None)
            if best and sum((p, -b) == best for p, b in fitting) > 1:
                return True
        return False


PACKETS = st.fixed_dictionaries(
    {
        "src": st.sampled_from(ADDRESSES),
        "dst": st.sampled_from(ADDRESSES),
        "proto": st.sampled_from([6, 17]),
        "dport": st.sampled_from(PORTS),
        "flags": st.sampled_from(["A", "S", "FA", "R", "PA"]),
    }
).map(lambda p: p if p["proto"] == 6 else {**p, "flags": ""})


def wire(packet: dict[str, Any]) -> bytes:
    l4 = TCP(dport=packet["dport"], flags=packet["flags"]) if packet["proto"] == 6 else UDP(dport=packet["dport"])
    return bytes(eth() / IP(src=packet["src"], dst=packet["dst"]) / l4)


FATES = st.one_of(
    st.just(("drop", 0)),
    st.tuples(st.just("queue"), st.integers(0, N_QUEUES - 1)),
    st.tuples(st.just("jump"), st.integers(1, 2)),
)


def machine_for(host: Any) -> type[RuleBasedStateMachine]:
    """The machine, bound to a host: one EAL, one port for all examples."""

    class Pipeline(RuleBasedStateMachine):
        @initialize()
        def empty(self) -> None:
            host.port.flush_rules()
            # Unmatched packets go to queue 0, so that the model need not know the hash.
            host.port.set_reta([0] * 128)
            self.model = Model()

        @rule(
            group=st.sampled_from(GROUPS), priority=st.integers(0, 2), src=st.sampled_from(NETWORKS),
            dst=st.sampled_from(NETWORKS), proto=st.sampled_from([None, 6, 17]),
            dst_port=st.sampled_from([None, *PORTS]), opens=st.booleans(), fate=FATES,
            mark=st.one_of(st.none(), st.integers(0, 0xFFFFEF)),
        )  # fmt: skip
        def create(self, **wanted: Any) -> None:
            wanted["dst_port"] = wanted["dst_port"] if wanted["proto"] else None
            wanted["opens"] = wanted["opens"] and wanted["proto"] == 6
            if wanted["fate"][0] == "jump" and wanted["fate"][1] <= wanted["group"]:
                wanted["fate"] = ("drop", 0)
            new = Modelled(**wanted)
            attr = {"ingress": True, "group": new.group, "priority": new.priority}
            same = [r for r in self.model.rules if self.identity(r) == self.identity(new)]
            try:
                new.handle = host.rule(new.pattern(), new.actions(), **attr)
            except FlowError as error:
                assert same
                assert "there is such a rule already" in str(error)
                return
            assert not same
            self.model.rules.append(new)

        @staticmethod
        def identity(r: Modelled) -> tuple[Any, ...]:
            return r.group, r.priority, r.src, r.dst, r.proto, r.dst_port, r.opens

        @precondition(lambda self: self.model.rules)
        @rule(data=st.data())
        def destroy(self, data: st.DataObject) -> None:
            gone = data.draw(st.sampled_from(self.model.rules))
            gone.handle.close()
            self.model.rules.remove(gone)

        @rule(packets=st.lists(PACKETS, min_size=1, max_size=20))
        def send(self, packets: list[dict[str, Any]]) -> None:
            asked = [p for p in packets if not self.model.is_ambiguous(p)]
            expected: dict[int | None, list[tuple[bytes, int | None]]] = {None: [], 0: [], 1: [], 2: []}
            for packet in asked:
                queue, mark = self.model.send(packet)
                expected[queue].append((wire(packet), mark))
            host.nic.wire_send(Packets.of([wire(p) for p in asked]))
            for queue in range(N_QUEUES):
                burst = host.burst(queue)
                marks = [int(m) if has else None for m, has in zip(burst.mark, burst.has_mark, strict=True)]
                assert list(zip(burst.packets, marks, strict=True)) == expected[queue]

        @invariant()
        def counters_agree(self) -> None:
            if hasattr(self, "model"):
                assert [r.handle.query_count().packets for r in self.model.rules] == [
                    r.packets for r in self.model.rules
                ]
                assert host.nic.audit().rules.live == len(self.model.rules)

    return Pipeline


def test_the_pipeline_does_as_the_model(lab: Any) -> None:
    host = lab.host(queues=N_QUEUES)
    run_state_machine_as_test(
        machine_for(host),
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
