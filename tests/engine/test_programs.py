"""Real programs of two kernels talk through the engine: translated or not, in the NIC or not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from kernel_lab import run_apart, unshare_or_skip

HERE = Path(__file__).parent
SITUATIONS = ("plain", "plain6", "source", "source6", "destination", "both", "software")
FETCHES = (
    "http",
    "ftp passive",
    "ftp active",
    "ftp extended passive",
    "ftp extended active",
    "ftp upload",
    "tftp",
)  # fmt: skip


@pytest.fixture(scope="module", params=SITUATIONS)
def situation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def said(situation: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each program said, and what was counted meanwhile, in one run."""
    unshare = unshare_or_skip("curl", "dnsmasq", "traceroute")
    if importlib.util.find_spec("pyftpdlib") is None:
        pytest.skip("pyftpdlib is not installed")
    report = tmp_path_factory.mktemp(situation) / "said.json"
    return dict(run_apart(unshare, HERE / "kernel_programs.py", report, situation))


@pytest.mark.parametrize("program", FETCHES)
def test_a_file_arrives_whole(said: dict[str, Any], situation: str, program: str) -> None:
    if situation.endswith("6") and program in {"ftp passive", "ftp active"}:
        assert program not in said, "PORT and PASV are of IPv4"
        return
    done = said[program]
    assert (done["status"], done["whole"]) == (0, True), done["said"]
    assert done["expected"] == (0 if program == "http" else 1), "what was announced is related"
    if situation == "software":
        assert done["nic_forwarded"] == 0
    else:
        assert done["nic_forwarded"] > done["host_rx"], "most of it went through the NIC alone"


def test_pings_in_fragments_are_answered(said: dict[str, Any]) -> None:
    assert "3 received, 0% packet loss" in said["ping"]["said"]
    assert said["ping"]["completed"] == 3 * 2 * 3, "three of three fragments each, there and back"


def test_errors_of_routers_reach_who_caused_them(said: dict[str, Any], situation: str) -> None:
    if situation.endswith("6"):
        assert "traceroute" not in said, "the host behind the server has no IPv6 address"
        return
    hops = [line.split()[1] for line in said["traceroute"]["said"].splitlines()[1:]]
    # Where the destination is translated, the server itself stands for every other host.
    translated = situation in {"destination", "both"}
    assert hops == (["10.78.0.2"] if translated else ["10.77.0.2", "10.78.0.2"])


def test_the_server_saw_the_addresses_of_the_translation(said: dict[str, Any], situation: str) -> None:
    lines = [line for line in said["http"]["connections"] if "dport=8000" in line.split("reply=")[0]]
    assert len(lines) == 1
    reply = lines[0].split("reply=")[1]
    client = {"plain": "10.77.0.1", "plain6": "fc77::1", "source6": "fc77::100", "destination": "10.77.0.1"}
    server = "fc77::2" if situation.endswith("6") else "10.77.0.2"
    assert reply.startswith(f"(src={server},dst={client.get(situation, '10.77.0.100')},")


def test_the_books_close(said: dict[str, Any]) -> None:
    books = said["books"]
    assert (books["came"], books["rules_left"]) == (books["went"], 0)
