"""Registration: three forms, checked members, errors that say what is wrong."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
from pathlib import Path

import pytest
from offload_lab import INSTALLED, Lab

import ctoffload_dpdk
from ctoffload_dpdk.base.errors import ClosedError, ProviderError, UsageError
from ctoffload_dpdk.offload import Batch, CtOffloadProvider, OffloadLayer
from ctoffload_dpdk.offload._testprovider import CompiledProvider
from ctoffload_dpdk.offload.contract import CAPSULE
from ctoffload_dpdk.providers.dummy import DummyProvider
from ctoffload_dpdk.providers.recording import RecordingProvider

C_PROVIDER = r"""
#include "ct_offload.h"
#include <errno.h>

static int held;

static bool
yes(void *user, const struct ct_offload_ctx *ctx, uint16_t *reason)
{
    (void) user;
    (void) reason;
    return ctx->proto == 6;
}

static int
add(void *user, struct ct_offload_op *op)
{
    (void) user;
    op->handle = 77;
    held++;
    return 0;
}

static int
del(void *user, struct ct_offload_op *op)
{
    (void) user;
    held--;
    return op->handle == 77 ? 0 : EINVAL;
}

int
n_held(void)
{
    return held;
}

struct ct_offload_class provider = {
    .abi_version = CT_OFFLOAD_ABI_VERSION,
    .size = sizeof(struct ct_offload_class),
    .name = "plain-c",
    .can_offload = yes,
    .conn_add = add,
    .conn_del = del,
};
"""


class Refusing(CtOffloadProvider):
    name = "refusing"

    def __init__(self, rc: int = 0, raises: BaseException | None = None) -> None:
        self.rc = rc
        self.raises = raises

    def init(self, host: object) -> int:
        if self.raises is not None:
            raise self.raises
        return self.rc

    def submit(self, ops: Batch, contexts: Batch) -> None:
        ops["error"] = 0


def capsule_of_c(tmp_path: Path) -> tuple[object, ctypes.CDLL]:
    source, library = tmp_path / "provider.c", tmp_path / "provider.so"
    source.write_text(C_PROVIDER)
    include = ctoffload_dpdk.get_include()
    subprocess.run(
        ["cc", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(library)], check=True
    )
    loaded = ctypes.CDLL(str(library))
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = ctypes.create_string_buffer(CAPSULE.encode())
    loaded.keep = name
    return make(ctypes.addressof(ctypes.c_char.in_dll(loaded, "provider")), name, None), loaded


def test_a_provider_written_in_c_works_through_its_capsule(tmp_path: Path) -> None:
    capsule, library = capsule_of_c(tmp_path)
    lab = Lab()
    assert lab.layer.register(capsule, activate=True).name == "plain-c"
    conn = lab.connection()
    lab.step(4)
    assert lab.table.reached(0) == INSTALLED
    assert lab.table.handle(0, 0) == 77
    assert library.n_held() == 1
    lab.table.want(conn, 0)
    lab.step(2)
    assert library.n_held() == 0
    lab.layer.close()


def test_three_forms_mix_in_one_layer(tmp_path: Path) -> None:
    capsule, library = capsule_of_c(tmp_path)
    recording, compiled = RecordingProvider(), CompiledProvider()
    lab = Lab(recording)
    lab.layer.register(capsule, activate=True)
    lab.layer.register(compiled, activate=True)
    conn = lab.connection()
    lab.step(6)
    assert lab.table.reached(0) == INSTALLED
    assert (list(recording.held), library.n_held(), compiled.held()) == ([conn], 1, [0])
    lab.layer.close()
    assert (recording.held, library.n_held(), compiled.held()) == ({}, 0, [])


def test_a_name_that_is_taken_is_eexist_and_init_is_not_called() -> None:
    layer = OffloadLayer()
    layer.register(RecordingProvider("one"))
    second = RecordingProvider("one")
    with pytest.raises(ProviderError, match="provider one is registered already") as raised:
        layer.register(second)
    assert raised.value.errno == errno.EEXIST
    assert not second.is_initialised
    layer.close()


def test_what_init_returns_or_raises_is_passed_on_and_nothing_stays() -> None:
    layer = OffloadLayer()
    with pytest.raises(ProviderError) as raised:
        layer.register(Refusing(rc=errno.ENOMEM))
    assert raised.value.errno == errno.ENOMEM
    with pytest.raises(ProviderError, match="init failed: no licence") as raised:
        layer.register(Refusing(raises=OSError(errno.EACCES, "x") and RuntimeError("no licence")))
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert layer.providers() == []


class Greedy(RecordingProvider):
    """Leaves no address space for the shards' lanes behind its init."""

    def init(self, host: object) -> int:
        rc = super().init(host)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 20, resource.getrlimit(resource.RLIMIT_AS)[1]))
        return rc or 0


@pytest.mark.skipif(
    os.environ.get("CTOFFLOAD_SANITIZED") == "1", reason="a sanitizer uses terabytes of address space itself"
)
def test_a_provider_without_memory_for_its_lanes_is_ended_and_not_registered() -> None:
    layer = OffloadLayer((40_000, 20_000, 5_000))
    layer.add_shard(16)
    greedy = Greedy("greedy")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with pytest.raises(MemoryError):
            layer.register(greedy, activate=True)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert not greedy.is_initialised
    assert layer.providers() == []
    layer.register(RecordingProvider("greedy"), activate=True)
    assert layer.is_active("greedy")
    layer.close()


def test_an_unknown_name_lists_those_that_are_there() -> None:
    layer = OffloadLayer()
    layer.register(RecordingProvider("one"))
    with pytest.raises(ProviderError, match="provider two is not registered") as raised:
        layer.unregister("two")
    assert raised.value.errno == errno.ENOENT
    assert raised.value.hint == "registered: one"
    layer.close()


@pytest.mark.parametrize("member", ["can_offload", "conn_add", "conn_del"])
def test_a_class_without_batch_needs_its_members(member: str) -> None:
    provider = CompiledProvider(batch=False)
    provider.spoil(member)
    with pytest.raises(ProviderError, match=f"{member} missing"):
        OffloadLayer().register(provider)


@pytest.mark.parametrize(
    ("member", "number"), [("abi_version", errno.EPROTO), ("size", errno.EPROTO), ("name", errno.EINVAL)]
)
def test_a_class_of_another_abi_or_without_name_is_refused(member: str, number: int) -> None:
    provider = CompiledProvider()
    provider.spoil(member)
    with pytest.raises(ProviderError) as raised:
        OffloadLayer().register(provider)
    assert raised.value.errno == number
    assert raised.value.hint


def test_a_python_provider_without_work_is_refused() -> None:
    class Empty(CtOffloadProvider):
        name = "empty"

    class Nameless(DummyProvider):
        name = ""

    with pytest.raises(ProviderError, match="conn_add, conn_del missing"):
        OffloadLayer().register(Empty)
    with pytest.raises(ProviderError, match="Nameless has no name"):
        OffloadLayer().register(Nameless)


@pytest.mark.parametrize("nonsense", [None, 5, "dummy", object(), dict])
def test_what_is_no_provider_is_refused_with_what_would_be_one(nonsense: object) -> None:
    with pytest.raises(ProviderError, match="is no provider") as raised:
        OffloadLayer().register(nonsense)
    assert "CtOffloadProvider" in raised.value.hint


def test_providers_are_asked_by_priority_then_by_registration() -> None:
    layer = OffloadLayer()
    for name, priority in (("c", 5), ("a", -1), ("d", 5), ("b", 0)):
        layer.register(RecordingProvider(name, priority))
    assert [p.name for p in layer.providers()] == ["a", "b", "c", "d"]
    layer.close()


def test_the_ninth_provider_is_refused_and_a_place_that_was_left_is_used_again() -> None:
    layer = OffloadLayer()
    for i in range(8):
        layer.register(RecordingProvider(f"p{i}"))
    with pytest.raises(ProviderError, match="8 providers are the most"):
        layer.register(RecordingProvider("p8"))
    layer.unregister("p3")
    assert layer.register(RecordingProvider("p8")).index == 3
    layer.close()


def test_unregistering_drains_then_ends_it() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    lab.installed()
    lab.layer.unregister("recording")
    assert provider.held == {}
    assert not provider.is_initialised
    assert not lab.table.holds(0)
    assert lab.table.take() == [("REFUSED", 0)]


def test_unregistering_one_that_gives_nothing_back_says_so_and_may_be_tried_again() -> None:
    provider = RecordingProvider()
    lab = Lab(provider)
    lab.installed()
    provider.answer(1, errno.EBUSY, times=10000)
    with pytest.raises(ProviderError, match="still holds connections") as raised:
        lab.layer.unregister("recording", timeout_s=0.2)
    assert raised.value.errno == errno.ETIMEDOUT
    provider._script[1].clear()
    lab.layer.unregister("recording")
    assert provider.held == {}


def test_none_is_neither_a_batch_nor_a_provider() -> None:
    layer = OffloadLayer()
    for call in (layer.submit, layer.is_drained, layer.is_stalled, layer.abandon):
        with pytest.raises(TypeError):
            call(None)


@pytest.mark.parametrize("priority", ["high", 1 << 31, -(1 << 31) - 1])
def test_a_priority_that_is_no_number_of_32_bits_is_refused(priority: object) -> None:
    provider = RecordingProvider("one")
    provider.priority = priority
    with pytest.raises(UsageError, match="provider one: priority"):
        OffloadLayer().register(provider)


@pytest.mark.parametrize("limit_ms", [-1, 1 << 32])
def test_a_limit_of_a_call_that_cannot_be_is_refused(limit_ms: int) -> None:
    with pytest.raises(UsageError, match="call_limit_ms"):
        OffloadLayer(call_limit_ms=limit_ms)


def test_a_closed_layer_refuses() -> None:
    layer = OffloadLayer()
    layer.register(DummyProvider)
    layer.close()
    layer.close()
    with pytest.raises(ClosedError):
        layer.register(DummyProvider)


@pytest.mark.parametrize("budgets", [(0, 1, 1), (1, 2), (40000, 40000, 1)])
def test_budgets_that_cannot_be_are_refused(budgets: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        OffloadLayer(budgets)


@pytest.mark.parametrize("slots", [0, -1, 1 << 40])
def test_a_shard_needs_a_sensible_size(slots: int) -> None:
    with pytest.raises(UsageError):
        OffloadLayer().add_shard(slots)
