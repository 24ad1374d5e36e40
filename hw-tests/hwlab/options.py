"""The options of the suite, and the inventory that they and a file make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwlab.errors import LabError
from hwlab.inventory import FORMS, Inventory, checked, read
from hwlab.place import Places


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("lab", "tests on a NIC")
    group.addoption("--dut", action="append", metavar="DEVICE", help=f"device under test, may be repeated: {FORMS}")
    group.addoption(
        "--peer", action="append", metavar="PEER",
        help="what is cabled to a port, in their order: interface:ens5f0, ssh:HOST:ens5f0, dpdk:0000:81:00.0, "
        "python:MODULE:CLASS:ARGUMENT",
    )  # fmt: skip
    group.addoption(
        "--forward", action="append", metavar="PORT", help="the two ports that are joined; default: the last two"
    )
    group.addoption("--lab", type=Path, metavar="FILE", help="the inventory of the lab, in TOML; options outrank it")
    group.addoption("--hugepages", action="store_true", default=None, help="use hugepages; default: ordinary memory")
    group.addoption("--memory-mb", type=int, metavar="MIB", help="memory for DPDK (default: 512)")
    group.addoption("--firmware", metavar="VERSION", help="the oldest firmware that the tests are meant for")
    group.addoption("--host", metavar="HOST", help="the machine that has the device, reached by ssh")
    group.addoption("--directory", metavar="DIR", help="where this repository is on that machine")
    group.addoption("--scale", type=int, metavar="N", help="connections in the tests of scale (default: 1000)")
    group.addoption("--most-rules", type=int, metavar="N", help="rules after which a table counts as endless")
    group.addoption(
        "--soak-s", type=int, metavar="S", help="how long the soak lasts, by the device's clock (default: 10)"
    )
    group.addoption(
        "--lab-report", type=Path, metavar="DIR", help="writes report.html, report.json and junit.xml there"
    )
    group.addoption("--acquire", action="store_true", help="reserve and take labgrid's places of --lg-env for the run")
    group.addoption("--compare", type=Path, metavar="FILE", help="report.json of an earlier run to compare with")


def places_of(config: pytest.Config) -> Places | None:
    """The places of labgrid's, held for this run where that was asked for; None without --lg-env. Raises LabError."""
    environment = getattr(config.option, "lg_env", None)
    if environment is None:
        if config.option.acquire:
            raise LabError("--acquire has no place to take", "name labgrid's environment file with --lg-env")
        return None
    places = Places(Path(environment), getattr(config.option, "lg_coordinator", None))
    if config.option.acquire:
        config.add_cleanup(places.release)
        places.acquire()
    return places


def inventory_of(config: pytest.Config) -> Inventory:
    """What the options, the file and labgrid name. Raises LabError."""
    places = places_of(config)
    found: dict[str, Any] = places.fields() if places else {}
    found |= read(config.option.lab) if config.option.lab else {}
    for name in ("firmware", "hugepages", "memory_mb", "host", "directory", "scale", "most_rules", "soak_s"):
        value = getattr(config.option, name)
        if value is not None:
            found[name] = value
    for name, option in (("dut", "dut"), ("peers", "peer"), ("forward", "forward")):
        value = getattr(config.option, option)
        if value:
            found[name] = tuple(value)
    return checked(Inventory(**found))
