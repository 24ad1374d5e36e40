"""The device starts, says what it is, and what it can do."""

from __future__ import annotations

from typing import Any

import pytest


def test_every_port_says_who_drives_it(lab: Any) -> None:
    for port in lab.facts["ports"]:
        assert port["driver"]
        assert port["max_rx_queues"] >= 1
        assert port["max_tx_queues"] >= 1


def test_the_firmware_is_told(lab: Any) -> None:
    told = [port["firmware"] for port in lab.facts["ports"] if not port["is_representor"]]
    if not any(told):
        pytest.skip(f"the driver of {lab.inventory.name} does not tell a firmware version")
    assert all(told)


def test_every_question_is_answered_and_nothing_is_left(lab: Any, bench: Any, record: Any) -> None:
    """Each capability with its evidence; the rules made to find out are gone."""
    bench.call("rules_start")
    for port, findings in zip(lab.facts["ports"], bench.call("findings"), strict=True):
        assert findings
        assert all(found["evidence"] for found in findings)
        open_questions = [f"{f['cap']} {f['domain']}" for f in findings if f["has"] is None]
        assert not open_questions, f"{port['name']} was too busy to answer: {open_questions}"
        can = sum(bool(found["has"]) for found in findings)
        record(f"{port['name']}: capabilities", can, f"of {len(findings)}", table=findings)
    if bench.inventory.is_emulated:
        assert bench.call("indirect_counts") == {"rules": 0, "objects": 0}


def test_a_port_counts_from_its_start(bench: Any) -> None:
    bench.call("rules_start")
    stats = bench.call("port_stats", 0)
    assert stats["rx_errors"] == stats["tx_errors"] == 0
