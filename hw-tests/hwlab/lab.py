"""The lab as the tests use it: looked at once, then a process under test for each test."""

from __future__ import annotations

from typing import Any

from ctoffload_dpdk.base.errors import CtoffloadError
from hwlab.client import Bench
from hwlab.errors import BenchError, LabError
from hwlab.inventory import STANDIN, Inventory
from hwlab.preflight import check, check_firmware
from hwlab.traffic import Generator, generators

EAL_MEMORY_MB = 256


class Lab:
    """An inventory, and what `look` found of it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.facts: dict[str, Any] = {}
        self._generators: list[Generator] = []

    def look(self) -> None:
        """Starts the device once, and reaches every peer. Raises CtoffloadError, in words."""
        check(self.inventory)
        bench = self.bench(self.inventory)
        try:
            bench.call("rules_start")
            self.facts = bench.call("facts")
            self.generators(bench)
            if self.inventory.peers and len(self.inventory.peers) < len(set(self.facts["sides"])):
                raise LabError(
                    f"{len(self.facts['sides'])} ports are joined, but only {len(self.inventory.peers)} peer is named",
                    "name what is cabled to each of them, in their order, with --peer",
                )
            check_firmware(self.inventory, self.facts["ports"])
        except BenchError as error:
            raise in_two_lines(error) from None
        finally:
            self.close_generators()
            bench.close()

    def bench(self, inventory: Inventory) -> Bench:
        """A process under test with DPDK started. Raises CtoffloadError."""
        bench = Bench(inventory)
        spec = {
            "dut": inventory.dut,
            "peers": inventory.peers,
            "forward": inventory.forward,
            "hugepages": inventory.hugepages,
            "memory_mb": inventory.memory_mb,
            "eal_args": bench.nic.eal_args(EAL_MEMORY_MB) if bench.nic is not None else [],
        }
        try:
            bench.call("start", spec)
        except CtoffloadError as error:
            bench.close()
            raise (in_two_lines(error) if isinstance(error, BenchError) else error) from None
        return bench

    def generators(self, bench: Bench) -> list[Generator]:
        """What is at the far ends, for this process."""
        self.close_generators()
        self._generators = generators(bench)
        return self._generators

    def close_generators(self) -> None:
        for generator in self._generators:
            generator.close()
        self._generators = []

    def why_no_traffic(self) -> str:
        if self.inventory.dut[0].startswith(STANDIN):
            return "the stand-in moves no packet"
        if not self.inventory.is_emulated and not self.inventory.peers:
            return "no peer is named that could send packets (--peer)"
        return ""

    def words(self) -> list[str]:
        """The header of a run."""
        lines = [f"device under test: {self.inventory.name}"]
        for port in self.facts.get("ports", ()):
            firmware = f", firmware {port['firmware']}" if port["firmware"] else ""
            lines.append(f"  {port['name']}: {port['driver']}{firmware}")
        return lines


def in_two_lines(error: BenchError) -> LabError:
    """What the process under test said, as the user of a lab is told."""
    first = error.message.splitlines()[0]
    return LabError(first, error.hint or "ctoffload capabilities DEVICE asks the device alone, and says more")
