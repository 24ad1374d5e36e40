"""The conformance kit on the rte_flow provider, by each plan that has packets pass software by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from search_path import python_path

KIT = ["-p", "ctoffload_dpdk.testing.plugin", "--pyargs", "ctoffload_dpdk.testing.conformance"]


@pytest.mark.parametrize("plan", ["age", "age-alone", "count", "ct"])
def test_the_provider_conforms(tmp_path: Path, plan: str) -> None:
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - its headers may be missing

    try:
        driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *KIT]
    done = subprocess.run(
        [*command, "--provider", "rte_flow_under_test:provider", "--clock", "rte_flow_under_test:clock"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": python_path(Path(__file__).parent), "CTOFFLOAD_TEST_PLAN": plan},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
