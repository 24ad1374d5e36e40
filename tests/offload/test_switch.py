"""The switch: off takes out, on offers again; globally, per provider, per port, by dpif-offload class."""

from __future__ import annotations

import errno

import pytest
from offload_lab import INSTALLED, OUT, Lab

from ctoffload_dpdk.base.errors import PortError, ProviderError, SettingsError, UsageError
from ctoffload_dpdk.base.reasons import Reason
from ctoffload_dpdk.offload import DpifOffloadClass, OffloadLayer, Port
from ctoffload_dpdk.offload.contract import OpType
from ctoffload_dpdk.providers.dummy import DummyProvider
from ctoffload_dpdk.providers.recording import RecordingProvider


class Hardware(DpifOffloadClass):
    """Uses ports whose names start with its prefix."""

    def __init__(self, name: str, prefix: str = "p") -> None:
        self.name = name
        self.prefix = prefix
        self.ports: list[Port] = []
        self.config: dict[str, str] = {}
        self.held_at_del: list[int] = []
        self.provider: RecordingProvider | None = None

    def set_config(self, key: str, value: str) -> int:
        self.config[key] = value
        return errno.EINVAL if value == "impossible" else 0

    def port_add(self, port: Port, name: str) -> bool:
        if name.startswith(self.prefix):
            self.ports.append(port)
            return True
        return False

    def port_del(self, port: Port) -> None:
        self.ports.remove(port)
        self.held_at_del.append(len(self.provider.held) if self.provider else 0)


def test_off_takes_everything_out_and_on_offers_it_again(lab: Lab, provider: RecordingProvider) -> None:
    conns = [lab.connection(slot) for slot in range(10)]
    lab.settle()
    lab.layer.force_enable(False)
    notices = lab.settle()
    assert sorted(notices) == [("REFUSED", slot) for slot in range(10)]
    assert provider.held == {}
    assert {lab.table.reason(slot) for slot in range(10)} == {Reason.DISABLED}
    lab.layer.force_enable()
    lab.settle()
    assert sorted(provider.installed) == conns


def test_what_is_wanted_while_off_goes_in_when_it_is_on(lab: Lab, provider: RecordingProvider) -> None:
    lab.layer.force_enable(False)
    assert not lab.table.enabled()
    conn = lab.connection()
    assert lab.settle() == [("REFUSED", 0)]
    assert lab.table.reason(0) == Reason.DISABLED
    lab.layer.set_global_cfg({"hw-offload": "true"})
    assert lab.table.enabled()
    assert ("INSTALLED", 0) in lab.settle()
    assert provider.seen(conn) == ["ADD", "EST"]


def test_a_removal_is_never_gated(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.DEL)
    lab.table.want(conn, OUT)
    lab.step()
    lab.layer.force_enable(False)
    provider.complete()
    assert lab.settle() == [("OUT", 0)]


def test_off_while_the_answer_to_add_is_under_way(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer_later(OpType.ADD)
    lab.connection()
    lab.step(2)
    lab.layer.force_enable(False)
    lab.step(2)
    provider.complete()
    assert lab.settle() == [("REFUSED", 0)]
    assert (provider.held, lab.table.reason(0)) == ({}, Reason.DISABLED)


def test_off_while_the_answer_to_est_is_under_way(lab: Lab, provider: RecordingProvider) -> None:
    provider.answer_later(OpType.EST)
    lab.connection()
    lab.step(3)
    lab.layer.force_enable(False)
    lab.step(2)
    provider.complete()
    assert ("REFUSED", 0) in lab.settle()
    assert provider.held == {}


def test_off_and_on_again_before_anything_came_out(lab: Lab, provider: RecordingProvider) -> None:
    conn = lab.installed()
    provider.answer_later(OpType.DEL)
    lab.layer.force_enable(False)
    lab.step(2)
    lab.layer.force_enable()
    lab.step(2)
    provider.answer_later()
    provider.complete()
    assert ("INSTALLED", 0) in lab.settle()
    assert provider.installed == {conn}


def test_each_switching_has_its_epoch_and_the_walk_reports_its_progress() -> None:
    provider = RecordingProvider()
    lab = Lab(provider, slots=10000, budgets=(16384, 16384, 16))
    for slot in range(10000):
        lab.connection(slot)
    lab.settle()
    epoch = lab.table.epoch()
    lab.layer.force_enable(False)
    assert lab.table.epoch() == epoch + 1
    assert lab.layer.walk_left() == 10000
    lab.turn()
    assert 0 < lab.layer.walk_left() < 10000
    lab.settle()
    assert lab.layer.walk_left() == 0
    assert provider.held == {}


def test_off_for_one_provider_leaves_the_other() -> None:
    a, b = RecordingProvider("a"), RecordingProvider("b")
    lab = Lab(a, b)
    conn = lab.installed()
    lab.layer.set_provider_enabled("a", False)
    lab.settle()
    assert (a.held, list(b.held)) == ({}, [conn])
    lab.layer.set_provider_enabled("a", True)
    assert lab.layer.is_active("a")
    with pytest.raises(ProviderError, match="provider c is not registered"):
        lab.layer.set_provider_enabled("c", True)


def test_a_wish_without_provider_waits_for_one() -> None:
    lab = Lab()
    lab.connection()
    assert lab.step(2) == [("REFUSED", 0)]
    assert lab.table.reason(0) == Reason.NO_PROVIDER
    lab.layer.register(RecordingProvider(), activate=True)
    lab.step(5)
    assert lab.table.reached(0) == INSTALLED
    lab.layer.close()


@pytest.mark.parametrize(
    ("text", "on"), [("true", True), ("false", False), ("ON", True), ("0", False), (" yes ", True)]
)
def test_hw_offload_is_a_truth_value(text: str, on: bool) -> None:
    layer = OffloadLayer()
    layer.set_global_cfg({"hw-offload": text})
    assert layer.enabled() is on


def test_hw_offload_absent_is_off_and_nonsense_is_refused() -> None:
    layer = OffloadLayer()
    layer.set_global_cfg({"hw-offload": "true"})
    layer.set_global_cfg({})
    assert not layer.enabled()
    with pytest.raises(SettingsError, match="'maybe' is neither true nor false"):
        layer.set_global_cfg({"hw-offload": "maybe"})


def test_settings_reach_the_classes_and_a_refusal_has_its_name() -> None:
    layer, hardware = OffloadLayer(), Hardware("hw")
    layer.class_register(hardware)
    layer.set_global_cfg({"hw-offload": "true", "n-rxq": "4"})
    assert hardware.config == {"hw-offload": "true", "n-rxq": "4"}
    with pytest.raises(ProviderError, match="hw refused n-rxq=impossible") as raised:
        layer.set_global_cfg({"n-rxq": "impossible"})
    assert raised.value.errno == errno.EINVAL


def test_a_refusal_keeps_neither_the_switch_nor_other_classes_from_what_was_asked(
    lab: Lab, provider: RecordingProvider
) -> None:
    lab.layer.force_enable(False)
    refusing, other = Hardware("hw"), Hardware("other")
    for cls in (refusing, other):
        lab.layer.class_register(cls)
    conn = lab.connection()
    lab.settle()
    asked = {"n-rxq": "impossible", "hw-offload": "true"}
    for _ in range(2):
        with pytest.raises(ProviderError, match="hw refused n-rxq=impossible"):
            lab.layer.set_global_cfg(asked)
        assert refusing.config == other.config == asked
        assert lab.layer.enabled() and lab.table.enabled()
        lab.settle()
        assert provider.installed == {conn}
    with pytest.raises(ProviderError, match="hw refused"):
        lab.layer.set_global_cfg({"n-rxq": "impossible"})
    assert not lab.layer.enabled() and not lab.table.enabled()
    lab.settle()
    assert provider.held == {}


def test_a_class_that_raises_is_as_good_as_one_that_refuses() -> None:
    class Raising(Hardware):
        def set_config(self, key: str, value: str) -> int:
            raise ValueError("no idea")

    lab, other = Lab(), Hardware("other")
    lab.layer.force_enable(False)
    lab.layer.class_register(Raising("raising"))
    lab.layer.class_register(other)
    epoch = lab.table.epoch()
    with pytest.raises(ValueError, match="no idea"):
        lab.layer.set_global_cfg({"hw-offload": "true"})
    assert other.config == {"hw-offload": "true"}
    assert (lab.layer.enabled(), lab.table.epoch()) == (True, epoch + 1)


class WithoutLicence(RecordingProvider):
    """Its init refuses until there is a licence."""

    def __init__(self) -> None:
        super().__init__("hw")
        self.has_licence = False

    def init(self, host: object) -> int:
        return super().init(host) or 0 if self.has_licence else errno.EACCES


def test_on_holds_where_a_built_in_provider_refuses_and_asking_again_brings_it() -> None:
    lab, provider = Lab(), WithoutLicence()
    lab.layer.force_enable(False)
    lab.layer.add_builtin("hw", lambda: provider)
    lab.layer.class_register(Hardware("hw"))
    epoch = lab.table.epoch()
    with pytest.raises(ProviderError, match="provider hw: init failed"):
        lab.layer.set_global_cfg({"hw-offload": "true"})
    assert (lab.layer.enabled(), lab.table.epoch()) == (True, epoch + 1)
    assert lab.layer.providers() == []
    provider.has_licence = True
    lab.layer.set_global_cfg({"hw-offload": "true"})
    assert [p.name for p in lab.layer.providers()] == ["hw"]
    lab.layer.close()


def test_a_class_whose_built_in_provider_refuses_is_not_registered_and_may_be_again() -> None:
    layer, provider = OffloadLayer(), WithoutLicence()
    layer.add_builtin("hw", lambda: provider)
    layer.set_global_cfg({"hw-offload": "true"})
    with pytest.raises(ProviderError, match="provider hw: init failed"):
        layer.class_register(Hardware("hw"))
    assert not layer.class_is_registered("hw")
    provider.has_licence = True
    layer.class_register(Hardware("hw"))
    assert [p.name for p in layer.providers()] == ["hw"]
    layer.close()


# --- activation by name ---


def test_a_provider_is_active_from_its_class_s_first_port_to_its_last() -> None:
    provider, hardware = RecordingProvider("hw"), Hardware("hw")
    hardware.provider = provider
    lab = Lab()
    lab.layer.register(provider)
    lab.layer.class_register(hardware)
    assert not lab.layer.is_active("hw")
    lab.layer.port_add("lo")
    assert not lab.layer.is_active("hw")
    first = lab.layer.port_add("p0")
    second = lab.layer.port_add("p1")
    assert lab.layer.is_active("hw")
    lab.connection()
    lab.step(5)
    assert len(provider.installed) == 1
    lab.layer.port_del(first)
    assert lab.layer.is_active("hw")
    lab.layer.port_del(second)
    assert not lab.layer.is_active("hw")
    assert provider.held == {}
    assert hardware.held_at_del == [1, 0]
    assert lab.table.take()[-1] == ("REFUSED", 0)
    lab.step()
    assert (lab.table.reason(0), lab.table.take()) == (Reason.NO_PROVIDER, [])
    lab.layer.close()


def test_built_in_providers_are_available_where_their_class_is_registered() -> None:
    layer = OffloadLayer()
    layer.add_builtin("dummy", DummyProvider)
    layer.set_global_cfg({"hw-offload": "true"})
    assert layer.providers() == []
    layer.class_register(Hardware("dummy"))
    assert [p.name for p in layer.providers()] == ["dummy"]
    assert layer.class_is_registered("dummy")
    layer.module_init()
    assert len(layer.providers()) == 1
    assert not layer.is_active("dummy")
    layer.port_add("p0")
    assert layer.is_active("dummy")
    layer.close()


def test_hw_offload_alone_brings_no_provider_least_of_all_the_dummy() -> None:
    layer = OffloadLayer()
    layer.class_register(Hardware("dummy"))
    layer.set_global_cfg({"hw-offload": "true"})
    assert layer.providers() == []


def test_classes_have_unique_names() -> None:
    layer = OffloadLayer()
    layer.class_register(Hardware("hw"))
    with pytest.raises(ProviderError, match="registered already") as raised:
        layer.class_register(Hardware("hw"))
    assert raised.value.errno == errno.EEXIST
    with pytest.raises(ProviderError, match="class none is not registered"):
        layer.class_unregister("none")


def test_a_class_that_goes_gives_its_ports_back() -> None:
    layer, hardware = OffloadLayer(), Hardware("hw")
    layer.class_register(hardware)
    port = layer.port_add("p0")
    layer.class_unregister("hw")
    assert hardware.ports == []
    other = Hardware("other")
    layer.class_register(other)
    assert other.ports == [port]


# --- ports ---


def on_ports(lab: Lab, slot: int, orig: Port, reply: Port) -> int:
    conn = lab.table.put(slot, 1)
    lab.table.set_ports(slot, orig.id, orig.generation, reply.id, reply.generation)
    lab.table.want(conn, INSTALLED)
    return conn


def test_connections_leave_with_the_port_and_come_back_with_another(lab: Lab, provider: RecordingProvider) -> None:
    ports = [lab.layer.port_add(f"p{i}") for i in range(3)]
    on_ports(lab, 0, ports[0], ports[1])
    stays = on_ports(lab, 1, ports[1], ports[2])
    lab.settle()
    lab.layer.port_del(ports[0])
    assert lab.table.take() == [("REFUSED", 0)]
    assert (provider.installed, lab.table.reason(0)) == ({stays}, Reason.PORT_DOWN)
    back = lab.layer.port_add("p0", ports[0].id)
    assert back.generation == ports[0].generation + 1
    lab.settle()
    assert provider.installed == {stays}
    lab.table.set_ports(0, back.id, back.generation, ports[1].id, ports[1].generation)
    lab.layer.set_port_enabled(back, True)
    assert ("INSTALLED", 0) in lab.settle()


def test_off_for_one_port(lab: Lab, provider: RecordingProvider) -> None:
    ports = [lab.layer.port_add(f"p{i}") for i in range(3)]
    conns = [on_ports(lab, 0, ports[0], ports[1]), on_ports(lab, 1, ports[1], ports[2])]
    lab.settle()
    lab.layer.set_port_enabled(ports[0], False)
    lab.settle()
    assert (provider.installed, lab.table.reason(0)) == ({conns[1]}, Reason.DISABLED)
    lab.layer.set_port_enabled(ports[0], True)
    lab.settle()
    assert provider.installed == set(conns)


def test_a_port_that_vanished_is_told_to_its_class_at_once() -> None:
    provider, hardware = RecordingProvider("hw"), Hardware("hw")
    hardware.provider = provider
    lab = Lab()
    lab.layer.register(provider)
    lab.layer.class_register(hardware)
    ports = [lab.layer.port_add(f"p{i}") for i in range(2)]
    on_ports(lab, 0, *ports)
    lab.step(5)
    lab.layer.port_del(ports[0], vanished=True)
    assert hardware.held_at_del == [1]
    assert provider.held == {}
    lab.layer.close()


def test_ports_that_are_not_there_or_there_already() -> None:
    layer = OffloadLayer()
    port = layer.port_add("p0", 7)
    with pytest.raises(PortError, match="port 7 is there already"):
        layer.port_add("p0", 7)
    layer.port_del(port)
    with pytest.raises(PortError, match="port 7 is not there") as raised:
        layer.port_del(port)
    assert raised.value.errno == errno.ENODEV


@pytest.mark.parametrize("port_id", [-1, 0xFFFFFFFF, 1 << 40])
def test_an_id_that_no_port_can_have_is_refused_and_spoils_nothing(port_id: int) -> None:
    layer = OffloadLayer()
    with pytest.raises(UsageError, match="port_add: port_id"):
        layer.port_add("p0", port_id)
    assert layer.port_add("p0", 0xFFFFFFFE).generation == 1


def test_a_port_that_a_class_raises_for_is_not_added() -> None:
    class Raising(Hardware):
        def port_add(self, port: Port, name: str) -> bool:
            if name == "bad":
                raise PortError("broken", errno=errno.EIO)
            return super().port_add(port, name)

    layer = OffloadLayer()
    layer.class_register(Raising("hw"))
    with pytest.raises(PortError, match="broken"):
        layer.port_add("bad", 7)
    assert len(layer.ports) == 0
    assert layer.port_add("p0", 7).generation == 2
    layer.close()


# --- flush ---


def test_after_a_flush_nothing_counts_as_offloaded(lab: Lab, provider: RecordingProvider) -> None:
    lab.installed(slot=0)
    lab.installed(slot=1)
    lab.layer.flush()
    assert sorted(lab.table.take()) == [("LOST", 0), ("LOST", 1)]
    assert provider.held == {}
    assert {lab.table.reached(slot) for slot in (0, 1)} == {OUT}
    assert OpType.FLUSH in [op_type for op_type, _ in provider.log]
    assert lab.layer.statistics().connections == 0
