"""Labs with many hosts: the device and its peers are places of labgrid's coordinator, reserved for the run.

A target `dut`, and `peer` or `peer1`, `peer2` ..., of labgrid's environment file; each a RemotePlace, or resources of
its own. A NetworkService says where it is; one at this machine's own address is reached without ssh. Options of a
target: `ports` and `directory` of the device, `interfaces` of a peer.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hwlab.errors import LabError

HERE = ("localhost", "127.0.0.1", "::1")
# The one who has the place may need hours.
LIMIT_S = 24 * 3600


class Places:
    """The places of an environment file, held until `release`. Raises LabError."""

    def __init__(self, environment: Path, coordinator: str | None) -> None:
        self.coordinator = coordinator
        self.held: list[tuple[str, str]] = []
        try:
            from labgrid import Environment  # noqa: PLC0415 - a lab without labgrid does without
        except ImportError:
            raise LabError("labgrid is not installed", "make lab installs it") from None
        try:
            self.env = Environment(str(environment))
        except Exception as error:
            raise LabError(
                f"{environment} is no environment of labgrid's: {error}", "hw-tests/README.md shows one"
            ) from None
        if coordinator:
            self.env.config.set_option("coordinator_address", coordinator)
        self.targets: dict[str, Any] = self.env.config.data.get("targets", {})
        if "dut" not in self.targets:
            raise LabError(
                f"{environment} has no target dut", "the device is the target dut, what is cabled to it peer"
            )

    def acquire(self) -> None:
        """Reserves every place, waits until it is free, and takes it."""
        for target in self.targets.values():
            for name in places_of(target):
                said = self._client("reserve", "--wait", "--shell", f"name={name}")
                token = said.strip().rpartition("=")[2]
                self._client("-p", f"+{token}", "acquire")
                self.held.append((name, token))

    def release(self) -> None:
        """Gives back what `acquire` took."""
        while self.held:
            name, token = self.held.pop()
            self._client("-p", name, "release")
            self._client("cancel-reservation", token)

    def _client(self, *words: str) -> str:
        client = str(Path(sys.executable).with_name("labgrid-client"))
        where = ["-x", self.coordinator] if self.coordinator else []
        done = subprocess.run(
            [client, *where, *words], capture_output=True, text=True, check=False, timeout=LIMIT_S
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()[-1]
            raise LabError(
                f"labgrid-client {words[0]} failed: {last}",
                "does --lg-coordinator lead to the coordinator, and has it such a place (labgrid-client places)?",
            )
        return done.stdout

    def fields(self) -> dict[str, Any]:
        """The fields of an Inventory. Raises LabError."""
        found: dict[str, Any] = {"dut": tuple(self._option("dut", "ports", []))}
        host = self._address("dut")
        if host:
            found["host"] = host
            found["directory"] = str(self._option("dut", "directory", ""))
        peers = []
        for name in sorted(name for name in self.targets if name.startswith("peer")):
            where = self._address(name)
            peers += [f"ssh:{where}:{i}" if where else f"interface:{i}" for i in self._option(name, "interfaces", [])]
        return found | ({"peers": tuple(peers)} if peers else {})

    def _option(self, target: str, name: str, otherwise: Any) -> Any:
        return self.env.config.get_target_option(target, name, otherwise)

    def _address(self, name: str) -> str:
        """Where a target is, as ssh takes it; empty for this machine."""
        try:
            service = self.env.get_target(name).get_resource("NetworkService")
        except Exception as error:
            raise LabError(
                f"labgrid does not say where {name} is: {str(error).splitlines()[0]}",
                "its place needs a NetworkService, and has to be acquired: by labgrid-client, or with --acquire",
            ) from None
        if service.address in HERE:
            return ""
        return f"ssh://{service.username}@{service.address}:{service.port}"


def places_of(target: dict[str, Any]) -> list[str]:
    """The names of the remote places of a target in an environment file."""
    resources = target.get("resources", {})
    entries = resources if isinstance(resources, list) else [{kind: args} for kind, args in resources.items()]
    named = [entry["RemotePlace"] for entry in entries if "RemotePlace" in entry]
    flat = [one for args in named for one in (args if isinstance(args, list) else [args])]
    return [str(one["name"]) for one in flat]
