"""The conformance kit: good providers of every form pass, each bad one is found out by the test meant for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from search_path import python_path

ROOT = Path(__file__).resolve().parents[2]
KIT = ["-p", "ctoffload_dpdk.testing.plugin", "--pyargs", "ctoffload_dpdk.testing.conformance"]

FORMS = {
    "python": "ctoffload_dpdk.providers.dummy:DummyProvider",
    "recording": "ctoffload_dpdk.providers.recording:RecordingProvider",
    "native batch": "ctoffload_dpdk.offload._testprovider:CompiledProvider",
    "single members": "single:provider",
    "later": "later:Later",
    "with contexts": "contexts:Contexts",
}

CONTEXTS = """
import errno
from ctoffload_dpdk.offload.contract import ResultFlag
from ctoffload_dpdk.providers.dummy import DummyProvider
class Contexts(DummyProvider):
    '''Keeps windows as a NIC does: scaled.'''
    def init(self, host):
        self.peers = {}
    def conn_established(self, ops, contexts):
        super().conn_established(ops, contexts)
        for op, context in zip(ops, contexts):
            if op['error'] == 0 and context['proto'] == 6:
                op['flags'] |= ResultFlag.BYPASS | ResultFlag.CONTEXT
                self.peers[int(op['conn_id'])] = kept = context['peer'].copy()
                kept['max_win'] <<= kept['wscale']
    def conn_window(self, ops, peers):
        for op, answer in zip(ops, peers):
            kept = self.peers.get(int(op['conn_id']))
            if kept is None or not self.contains(int(op['conn_id'])):
                op['error'] = errno.ENODATA
                continue
            op['error'] = 0
            answer[:] = kept
            answer['max_win'] >>= kept['wscale']
    def conn_counts(self, ops, counts):
        ops['flags'] |= int(ResultFlag.COUNTED)
"""

SOURCES = {
    "single": """
from ctoffload_dpdk.offload._testprovider import CompiledProvider
def provider():
    return CompiledProvider(batch=False)
""",
    "later": """
from ctoffload_dpdk.offload.contract import OpType, ResultFlag
from ctoffload_dpdk.providers.recording import RecordingProvider
class Later(RecordingProvider):
    '''Answers everything with EINPROGRESS, and completes at the next poll.'''
    def __init__(self):
        super().__init__("later")
        self.answer_later(OpType.ADD, OpType.EST, OpType.DEL, OpType.UPD, OpType.WINDOW)
        self.flags |= ResultFlag.CONTEXT
    def submit(self, ops, contexts):
        for op, context in zip(ops, contexts):
            if op['type'] == OpType.EST and context['proto'] == 6:
                peers = context['peer']
                self.windows[int(op['conn_id'])] = tuple(
                    tuple(int(peer[name]) for name in ('seq_lo', 'seq_hi', 'max_win')) for peer in peers)
        super().submit(ops, contexts)
    def poll(self, now_ms):
        self.complete()
        super().poll(now_ms)
""",
    "contexts": CONTEXTS,
}

UPDATE = """def conn_update(self, ops):
        super().conn_update(ops)
        there = ops['error'] == errno.ENODATA
        ops['error'][there] = 0
"""

BAD = {
    "raises in EST": (
        "def conn_established(self, ops, contexts): raise RuntimeError('no')",
        "test_an_accepted_connection_is_installed_and_removed",
    ),
    "claims a use it has not seen": (
        UPDATE + "        ops['last_used_ms'][there] = self._now_ms\n",
        "test_an_unused_connection_is_not_said_to_be_used",
    ),
    "answers for the future": (
        UPDATE + "        ops['sampled_ms'][there] = self._now_ms + 5000\n",
        "test_last_used_is_a_time_that_can_be",
    ),
    "keeps what it removes": (
        "def conn_del(self, ops): ops['error'] = 0",
        "test_an_accepted_connection_may_be_removed_before_it_is_established",
    ),
    "establishes anything": (
        "def conn_established(self, ops, contexts): ops['error'] = 0",
        "test_what_was_never_added_is_not_there",
    ),
    "forgets to flush": ("def flush(self): pass", "test_a_flush_takes_everything_out"),
    "says yes and refuses": (
        "def conn_add(self, ops, contexts): ops['error'] = errno.EIO",
        "test_what_it_would_accept_it_accepts",
    ),
    "answers the first of a batch only": (
        "def conn_add(self, ops, contexts): super().conn_add(ops[:1], contexts[:1])",
        "test_the_size_of_a_batch_makes_no_difference",
    ),
    "knows no generations": (
        "def submit(self, ops, contexts):\n        ops['conn_id'] &= 0xffffffff\n        super().submit(ops, contexts)",
        "test_a_new_generation_is_another_connection",
    ),
    "raises in poll": (
        "def poll(self, now_ms): raise ValueError(now_ms)",
        "test_polling_is_harmless_whatever_the_clock_does",
    ),
    "reads windows back in other units": (
        "pass\n" + CONTEXTS.replace("Contexts", "Bad").replace("        answer['max_win'] >>= kept['wscale']\n", ""),
        "test_a_window_is_read_back_as_it_was_given",
    ),
    "counts what never was": (
        "def conn_counts(self, ops, counts):\n        ops['flags'] |= 4\n        counts['bytes'] = 60",
        "test_an_unused_connection_has_forwarded_nothing",
    ),
    "negative errno": (
        "def conn_add(self, ops, contexts): ops['error'] = -errno.ENOSPC",
        "test_a_refusal_has_an_errno_and_a_reason",
    ),
}  # fmt: skip


def run(tmp_path: Path, provider: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *KIT, "--provider", provider, *more]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    sanitizers = {name: os.environ[name] for name in ("LD_PRELOAD", "ASAN_OPTIONS") if name in os.environ}
    environ = {"PYTHONPATH": python_path(tmp_path), "PATH": "/usr/bin:/bin", **sanitizers}
    return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("form", FORMS)
def test_a_good_provider_passes(tmp_path: Path, form: str) -> None:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    done = run(tmp_path, FORMS[form])
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_provider_is_found_out(tmp_path: Path, kind: str) -> None:
    method, found_by = BAD[kind]
    (tmp_path / "bad.py").write_text(
        "import errno\nfrom ctoffload_dpdk.providers.dummy import DummyProvider\n\n\n"
        f"class Bad(DummyProvider):\n    {method}\n"
    )
    done = run(tmp_path, "bad:Bad", "-k", found_by)
    assert done.returncode == 1, done.stdout[-3000:]
    assert f"::{found_by}" in done.stdout


def test_a_provider_that_refuses_all_is_skipped_not_passed(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text(
        "from ctoffload_dpdk.base.reasons import Reason\nfrom ctoffload_dpdk.providers.dummy import DummyProvider\n\n\n"
        "class Never(DummyProvider):\n    def can_offload(self, contexts): return Reason.PROTO\n"
    )
    done = run(tmp_path, "none:Never", "-rs")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "accepts none of the" in done.stdout


@pytest.mark.parametrize(
    ("provider", "said"),
    [("nowhere:X", "No module named 'nowhere'"), ("errno:nothing", "has no attribute"), ("errno", "write MODULE:NAME")],
)
def test_a_wrong_name_is_said_to_be_wrong(tmp_path: Path, provider: str, said: str) -> None:
    done = run(tmp_path, provider, "-x")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_without_a_provider_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *KIT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "--provider MODULE:NAME is missing" in done.stdout + done.stderr


def test_the_example_of_the_page_for_authors_passes(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "provider-python.md").read_text()
    (tmp_path / "shelf.py").write_text(page.split("```python\n")[1].split("```")[0])
    done = run(tmp_path, "shelf:Shelf")
    assert done.returncode == 0, done.stdout[-3000:]
