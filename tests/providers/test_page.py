"""The page about this provider: what it names is there."""

from __future__ import annotations

from pathlib import Path

from ctoffload_dpdk.providers.plan import Fate, Plan
from ctoffload_dpdk.settings import TABLE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "provider-dpdk.md").read_text()
PLANS = (ROOT / "docs" / "explanation" / "plans.md").read_text()


def test_every_defect_has_a_row_and_one_without_a_test_says_so() -> None:
    for number in range(1, 29):
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {number} |")]
        assert "tests/" in row or "No test" in row


def test_every_plan_fate_and_setting_is_explained() -> None:
    assert all(f"| `{plan}` |" in PLANS for plan in Plan)
    assert all(str(fate) in PAGE for fate in Fate)
    for name in ("plan", "flow-engine", "counters", "ages", "contexts", "flow-queues", "flow-queue-size"):
        assert f"ct-offload-{name}" in TABLE
        assert f"-{name}`" in PAGE
