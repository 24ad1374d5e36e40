"""Hours in a lab, seconds here: connections of every kind come, speak, close, reset or fall silent, at random."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hwlab.frames import CLIENT, SERVER

SEED = 20261128
MOST = 40


def step(system: Any, live: list[Any], chance: random.Random) -> None:
    """One thing happens to one connection."""
    if len(live) < MOST and chance.random() < 0.4:
        make = chance.choice((system.tcp, system.udp))
        live.append(make(ipv6=chance.random() < 0.5))
        return
    if not live:
        return
    conn = chance.choice(live)
    what = chance.random()
    if conn.name == "udp":
        conn.send(chance.choice((CLIENT, SERVER)))
    elif what < 0.6:
        conn.send(chance.choice((CLIENT, SERVER)), "PA", b"soak")
    elif what < 0.8:
        conn.close()
        live.remove(conn)
    else:
        conn.send(chance.choice((CLIENT, SERVER)), "RA")
        live.remove(conn)
    if what > 0.95 and conn in live:
        live.remove(conn)  # falls silent


@pytest.mark.timeout(0)
def test_the_books_stay_right(lab: Any, make_system: Any, record: Any) -> None:
    """--soak-s says how long, by the device's clock; at the end everything ends, and nothing is left."""
    system = make_system(
        ct_offload_timeout_udp_multiple=5,
        ct_offload_timeout_udp_single=5,
        ct_offload_timeout_udp_first=5,
        ct_offload_timeout_tcp_established=10,
        ct_offload_unconfirmed_rst_timeout=5,
    )
    chance, live, steps = random.Random(SEED), [], 0
    began, left_s = time.monotonic(), float(lab.inventory.soak_s)
    while left_s > 0:
        for _ in range(5):
            step(system, live, chance)
            steps += 1
        system.wait(0.5)
        left_s = left_s - 0.5 if lab.inventory.is_emulated else lab.inventory.soak_s - (time.monotonic() - began)
        assert system.bench.call("account") == []
    record("steps of the soak", steps, "steps", rules=system.stats()["rules_created"])
    system.wait_until_empty(200)
    assert system.rules == 0
    assert system.bench.call("account") == []
