"""dpif-offload classes that are C: registered from a capsule, asked about ports and settings, let go."""

from __future__ import annotations

import errno

import pytest

from ctoffload_dpdk.base.errors import ProviderError
from ctoffload_dpdk.offload import OffloadLayer
from ctoffload_dpdk.offload._testprovider import CompiledDpifClass
from ctoffload_dpdk.providers.recording import RecordingProvider


def test_a_port_it_uses_makes_the_provider_of_its_name_active() -> None:
    layer, cls = OffloadLayer(), CompiledDpifClass("recording")
    layer.register(RecordingProvider())
    before = layer.port_add("n0", 7)
    layer.class_register(cls)
    assert layer.class_is_registered("recording")
    assert (cls.last, cls.counts["ports"], layer.is_active("recording")) == ((7, before.generation), 1, True)
    layer.port_add("other")
    after = layer.port_add("n1")
    assert cls.counts == {"ports": 2, "offered": 3, "settings": 0}
    layer.port_del(before)
    assert cls.last == (7, before.generation)
    assert layer.is_active("recording")
    layer.port_del(after)
    assert cls.counts["ports"] == 0
    assert not layer.is_active("recording")
    layer.close()


def test_the_capsule_itself_may_be_handed_over() -> None:
    layer, cls = OffloadLayer(), CompiledDpifClass()
    layer.class_register(cls.__dpif_offload_class__())
    layer.port_add("n0")
    layer.class_unregister("compiled")
    assert cls.counts["ports"] == 0
    assert not layer.class_is_registered("compiled")


def test_settings_reach_it_and_its_refusal_is_raised() -> None:
    layer, cls = OffloadLayer(), CompiledDpifClass()
    layer.class_register(cls)
    layer.set_global_cfg({"hw-offload": "true", "colour": "blue"})
    assert cls.counts["settings"] == 2
    with pytest.raises(ProviderError, match="dpif-offload class compiled refused colour=!red") as raised:
        layer.set_global_cfg({"colour": "!red"})
    assert raised.value.errno == errno.EINVAL


def test_only_port_add_is_mandatory() -> None:
    layer, cls = OffloadLayer(), CompiledDpifClass(spoil="optional")
    layer.class_register(cls)
    layer.set_global_cfg({"hw-offload": "false"})
    layer.port_del(layer.port_add("n0"))
    assert cls.counts == {"ports": 1, "offered": 1, "settings": 0}


@pytest.mark.parametrize(
    ("spoil", "number", "said"),
    [
        ("name", errno.EINVAL, "has no name"),
        ("port_add", errno.EINVAL, "port_add missing"),
        ("abi_version", errno.EPROTO, "built for ABI 1"),
        ("size", errno.EPROTO, "this layer has ABI 0"),
    ],
)
def test_a_class_that_cannot_serve_is_refused_with_what_is_wrong(spoil: str, number: int, said: str) -> None:
    layer = OffloadLayer()
    with pytest.raises(ProviderError, match=said) as raised:
        layer.class_register(CompiledDpifClass(spoil=spoil))
    assert raised.value.errno == number
    assert raised.value.hint
    assert list(layer.classes) == []


def test_a_name_that_is_taken_is_eexist() -> None:
    layer = OffloadLayer()
    layer.class_register(CompiledDpifClass())
    with pytest.raises(ProviderError, match="compiled is registered already") as raised:
        layer.class_register(CompiledDpifClass())
    assert raised.value.errno == errno.EEXIST


@pytest.mark.parametrize("nonsense", [None, 5, "dpdk", RecordingProvider()])
def test_what_is_no_class_is_refused_with_what_would_be_one(nonsense: object) -> None:
    with pytest.raises(ProviderError, match="is no dpif-offload class") as raised:
        OffloadLayer().class_register(nonsense)
    assert "DpifOffloadClass" in raised.value.hint
