"""EAL starts once, says clearly why it does not, and leaves the thread and the terminal as they were."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
from dpdk_lab import in_a_process

from ctoffload_dpdk.dpdk.args import IN_MEMORY_WITHOUT_HUGEPAGES

sys.path.append(str(Path(__file__).resolve().parents[2]))

from build_support import dpdk

RUNNING = tuple(int(n) for n in dpdk.version().split(".")[:2])
PLAIN = ["--no-pci", "--no-huge", "-m", "64", "--no-shconf", "--no-telemetry"]


def start_and_say(args: list[str]) -> dict[str, object]:
    """What starting with these arguments raises, as its facts; empty where it starts."""
    from ctoffload_dpdk.base.errors import CtoffloadError  # noqa: PLC0415 - only the child loads DPDK
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    try:
        Eal.start(args)
    except CtoffloadError as error:
        return {**error.as_dict(), "text": str(error)}
    return {}


def start_twice(args: list[str], close: bool) -> dict[str, object]:
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    eal = Eal.start(args)
    if close:
        eal.close()
    return start_and_say(args)


@pytest.mark.parametrize("close", [False, True], ids=["while-it-runs", "after-close"])
def test_a_second_start_says_that_there_is_none(close):
    said = in_a_process(start_twice, PLAIN, close).answer
    assert said["error"] == "EalError"
    assert "was started" in said["message"]
    assert "once per process" in said["hint"]


def fail_then_start(wrong: list[str], right: list[str]) -> list[dict[str, object]]:
    return [start_and_say(wrong), start_and_say(right)]


def test_a_start_that_failed_is_final():
    first, second = in_a_process(fail_then_start, ["--no-such-option"], PLAIN).answer
    assert first["error"] == "EalError"
    assert "failed to start before" in second["message"]


def test_arguments_known_to_fail_do_not_use_the_start_up():
    first, second = in_a_process(fail_then_start, ["a\0b"], PLAIN).answer
    assert first["error"] == "UsageError"
    assert "NUL" in first["message"]
    assert second == {}


def test_no_huge_with_in_memory_is_left_to_a_dpdk_that_takes_it():
    first, second = in_a_process(fail_then_start, ["--no-huge", "--in-memory", *PLAIN[:1]], PLAIN).answer
    if RUNNING < IN_MEMORY_WITHOUT_HUGEPAGES:
        assert first["error"] == "UsageError"
        assert second == {}
    else:
        assert first == {}
        assert "was started" in second["message"]


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["--no-such-option"], "--no-such-option", "dpdk-testpmd --help"),
        (["-m", "99999999", "--no-huge", "--no-pci", "--no-shconf"], "memory", "less memory"),
        ([*PLAIN, "--vdev", "net_nothing0"], "net_nothing0", "driver that is installed"),
        ([*PLAIN, "-d", "/nonexistent/librte_net_x.so"], "cannot open shared object", "path of a driver"),
    ],
    ids=["unknown-option", "too-much-memory", "unknown-vdev", "missing-driver"],
)
def test_dpdks_own_words_are_the_message_and_nothing_else_is_printed(args, message, hint):
    ended = in_a_process(start_and_say, args)
    assert ended.answer["error"] == "EalError"
    assert message in ended.answer["message"]
    assert hint in ended.answer["hint"]
    assert ended.stdout == ended.stderr == ""


def test_missing_hugepages_are_named_with_what_to_do():
    if int(Path("/proc/sys/vm/nr_hugepages").read_text()) > 0:
        pytest.skip("this machine has hugepages reserved")
    said = in_a_process(start_and_say, ["--no-pci", "--no-shconf"]).answer
    assert "huge" in said["message"].lower()
    assert "--no-huge" in said["hint"]


def start_as_nobody() -> dict[str, object]:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    return start_and_say(["--no-pci", "--no-shconf"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_missing_rights_are_named_with_what_to_do():
    if not Path(__file__).resolve().parents[2].parent.stat().st_mode & 0o001:
        pytest.skip("other users may not look into the directory that this checkout lies in")
    said = in_a_process(start_as_nobody).answer
    assert said["error"] == "EalError"
    assert "as root" in said["hint"] and "--no-huge" in said["hint"]


def take_too_many_buffers() -> dict[str, object]:
    from ctoffload_dpdk.base.errors import PortError  # noqa: PLC0415
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    with Eal.start([*PLAIN[:2], "-m", "8", *PLAIN[4:]]) as eal:
        try:
            eal.mempool(1_000_000)
        except PortError as error:
            return error.as_dict()
    return {}


def test_too_little_memory_is_named_with_what_to_do():
    said = in_a_process(take_too_many_buffers).answer
    assert said["errno_name"] == "ENOMEM"
    assert "-m MiB" in said["hint"]


def affinity_around_a_start(args: list[str]) -> list[list[int]]:
    import threading  # noqa: PLC0415

    before = sorted(os.sched_getaffinity(0))
    assert not start_and_say(args)
    inherited: list[int] = []
    thread = threading.Thread(target=lambda: inherited.extend(sorted(os.sched_getaffinity(0))))
    thread.start()
    thread.join()
    return [before, sorted(os.sched_getaffinity(0)), inherited]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU leaves nothing to restore")
def test_the_calling_thread_keeps_its_cpus():
    before, after, inherited = in_a_process(affinity_around_a_start, ["-l", "0", *PLAIN]).answer
    assert before == after == inherited


def log_of_a_start(args: list[str]) -> dict[str, list[str]]:
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
    logging.getLogger("ctoffload.dpdk").addHandler(handler)
    logging.getLogger("ctoffload.dpdk").setLevel(logging.DEBUG)
    with Eal.start(args) as eal:
        mark = eal.log.n_lines
        eal.add_vdev("net_null0")
        kept = [line.text for line in eal.log.lines]
        return {"kept": kept, "heard": list(heard), "after": [eal.log.errors_since(mark)]}


def test_dpdks_log_is_kept_and_handed_to_pythons_logging():
    ended = in_a_process(log_of_a_start, [*PLAIN, "--log-level=lib.eal:debug"])
    assert any(line.startswith("EAL: Detected") for line in ended.answer["kept"])
    assert [line.split(" ", 1)[1] for line in ended.answer["heard"]] == ended.answer["kept"]
    assert any(line.startswith("DEBUG EAL") for line in ended.answer["heard"])
    assert ended.answer["after"] == [""]
    assert ended.stdout == ended.stderr == ""


def close_with_everything_open() -> list[str]:
    from ctoffload_dpdk.base.errors import ClosedError  # noqa: PLC0415
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    eal = Eal.start([*PLAIN, "--vdev", "net_ring0"])
    port = eal.port("net_ring0")
    pool = eal.mempool(1023)
    port.configure()
    port.setup_queues(pool)
    port.start()
    eal.close()
    raised = []
    for use in (eal.ports, port.stats, lambda: pool.n_available, lambda: eal.port(0), lambda: eal.mempool(1)):
        try:
            use()
        except ClosedError as error:
            raised.append(str(error))
    return raised


def test_closing_eal_closes_ports_before_the_pools_they_use():
    raised = in_a_process(close_with_everything_open, flags=("-W", "error")).answer
    assert len(raised) == 5
    assert raised[0] == "EAL is closed"
    assert raised[1] == "port 0 (net_ring) is closed"


def use_after_a_fork() -> str:
    from ctoffload_dpdk.base.errors import EalError  # noqa: PLC0415
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    eal = Eal.start(PLAIN)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            eal.ports()
        except EalError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    said = os.read(reading, 1000).decode()
    eal.close()
    return said


def test_a_forked_child_is_told_that_eal_did_not_come_along():
    assert "fork" in in_a_process(use_after_a_fork).answer


def threads_of_eal() -> bool:
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    with Eal.start(PLAIN) as eal:
        with eal.thread():
            pass
        eal.register_thread()
        eal.unregister_thread()
    return True


def test_a_thread_can_be_registered_and_unregistered_again():
    assert in_a_process(threads_of_eal).answer
