"""Real hosts, each a kernel in a namespace, joined by `ctoffload run`: connections go through the emulated NIC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernel_lab import run_apart, unshare_or_skip

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What hosts and daemon said in a story; each is run once."""
    unshare = unshare_or_skip("iperf3", "curl")
    told: dict[str, dict[str, Any]] = {}

    def tell(name: str) -> dict[str, Any]:
        if name not in told:
            told[name] = run_apart(unshare, HERE / "hosts.py", tmp_path_factory.mktemp(name) / "said.json", name)
        return told[name]

    return tell


def test_tcp_udp_ping_and_http_go_through(story: Any) -> None:
    said = story("traffic")
    assert "3 received, 0% packet loss" in said["ping"]
    assert said["tcp_bytes"] > 1_000_000
    assert said["udp_lost_percent"] < 5
    assert said["page_is_whole"], said["curl"]


def test_the_nic_carries_nearly_all_of_it_and_the_dump_counts_it(story: Any) -> None:
    said = story("traffic")
    packets = said["account"]["packets"]
    assert packets["nic_forwarded"] > 20 * packets["host_rx"]
    told = sum(sum(tracker["nic_packets"]) for tracker in said["stats"]["trackers"])
    assert told > packets["nic_forwarded"] / 2


@pytest.mark.parametrize("name", ["traffic", "policy", "killed"])
def test_the_account_closes_and_nothing_is_left_in_the_nic(story: Any, name: str) -> None:
    account = story(name)["account"]
    assert account["problems"] == []
    assert account["closed"]
    assert account["rules"]["created"] > 0
    assert account["audit"] == {"rules": 0, "objects": 0}


def test_what_the_policy_denies_does_not_come_through_and_the_rest_does(story: Any) -> None:
    said = story("policy")
    assert said["allowed"] > 0
    assert "unable to connect" in said["denied"]
    assert "2 received" in said["ping_there"]
    assert " 0 received" in said["ping_back"]
    assert said["dropped"] >= 3


def test_what_the_policy_translates_is_translated_in_the_nic_too(story: Any) -> None:
    said = story("policy")
    assert said["translated"] > 0
    for row in said["rows"]:
        assert row["nat"] == ["snat"]
        assert row["reply"]["dst"] == "10.77.0.100"
        assert 20000 <= row["reply"]["dport"] <= 20099
    assert max(row["orig"]["packets"] for row in said["rows"]) > 100


def test_a_file_that_is_read_again_holds_for_connections_from_then_on(story: Any) -> None:
    assert story("policy")["after_reload"] > 0


def test_a_connection_goes_on_through_the_switch_a_reload_and_a_daemon_that_was_killed(story: Any) -> None:
    said = story("killed")
    assert said["reloaded"] == {"state": "yes"}
    assert said["off"] == {"state": "no", "reason": "disabled"}
    assert said["picked_up"]
    assert said["through"] > 100_000
    assert said["after"] > 0


def test_ctoffload_events_tells_how_a_connection_goes_in_comes_out_for_a_reason_and_goes_in_again(story: Any) -> None:
    said = story("killed")
    told = [(event["event"], event["offload"].get("reason")) for event in said["events"]]
    assert told[0] == ("new", "not-established")
    moves = [one for one in told if one[0] in {"offloaded", "returned"}]
    assert moves == [("offloaded", None), ("returned", "disabled"), ("offloaded", None)]
    assert "daemon" in said["events_end"]
