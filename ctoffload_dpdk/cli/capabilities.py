"""`ctoffload capabilities`: what ports can do, found by asking their drivers in a process that may die of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ctoffload_dpdk.base import errors
from ctoffload_dpdk.base.errors import CtoffloadError, PortError
from ctoffload_dpdk.cli.devices import VDEV, Device, find_device
from ctoffload_dpdk.cli.output import Output, output_options, pass_output, printable
from ctoffload_dpdk.settings import TABLE, settings_from

Command = TypeVar("Command", bound=Callable[..., Any])

LIMIT_S = 120
MEMORY_MB = 512
CHILD = "ctoffload_dpdk.cli.capabilities_child"
# The settings that a plan depends on.
SETTINGS = (
    *(
        "ct-offload-plan",
        "ct-offload-fate",
        "ct-offload-flow-engine",
        "ct-offload-counters",
        "ct-offload-ages",
        "ct-offload-contexts",
    ),
    *("ct-offload-flow-queues", "ct-offload-flow-queue-size"),
)


def settings_of_plans(command: Command) -> Command:
    """Adds a flag for each setting that a plan depends on."""
    for setting in reversed([TABLE[name] for name in SETTINGS]):
        words = f"{setting.doc[0].upper()}{setting.doc[1:]}."
        metavar = "|".join(setting.choices) or setting.unit.upper()
        command = click.option(setting.flag, setting.field, default=None, metavar=metavar, help=words)(command)
    return command


@click.command()
@click.argument("ports", metavar="[PORT]...", nargs=-1)
@click.option(
    "--vdev",
    "vdevs",
    type=VDEV,
    multiple=True,
    metavar="NAME[,ARGS]",
    help="Make this virtual device; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Ask every device that DPDK finds.")
@click.option("--hugepages", is_flag=True, help="Use hugepages, which some drivers need; default: ordinary memory.")
@click.option("--running", is_flag=True, help="Say what a running daemon found; asks nothing anew.")
@settings_of_plans
@output_options
@pass_output
def capabilities(
    output: Output,
    /,
    *,
    ports: tuple[str, ...],
    vdevs: tuple[str, ...],
    everything: bool,
    hugepages: bool,
    running: bool,
    **flags: Any,
) -> int:
    """Say what PORTs can do for offload, with the evidence, and which plan follows.

    A PORT is a PCI address or a network interface, with ",arguments" for its DPDK driver
    (0000:03:00.0,dv_flow_en=2), or the name of a --vdev. One PORT: the plans for connections that leave by the port
    they came by; two: between them. The ports are started, asked by creating and destroying rules for addresses
    reserved for documentation, and stopped; nothing is left. An emulated NIC: --vdev net_nicsim0.
    """
    if running:
        return show_running(output, ports)
    virtual = [Device(*vdev.partition(",")[::2], False) for vdev in vdevs]
    named = {device.name: device for device in virtual}
    asked = [named.get(port) or find_device(port) for port in ports] or virtual
    if not asked and not everything:
        raise click.UsageError("name a PORT, or a virtual device with --vdev, or --all")
    given = {name: flags[TABLE[name].field] for name in SETTINGS if flags[TABLE[name].field] is not None}
    settings_from(given)
    report = ask(
        {
            "pci": [device.devargs for device in asked if device.is_pci],
            "vdevs": [device.devargs for device in virtual],
            "ask": [[device.name, device.args, device.is_pci] for device in asked],
            "all": everything,
            "hugepages": hugepages,
            "memory_mb": MEMORY_MB,
            "settings": given,
        }
    )
    if output.json:
        output.document(report)
    else:
        from ctoffload_dpdk.cli.capabilities_text import text_of  # noqa: PLC0415 - --help does without

        click.echo(text_of(report), nl=False)
    return 1 if report["left"] else 0


def show_running(output: Output, ports: tuple[str, ...]) -> int:
    """What a running daemon found of its ports, or of these."""
    from ctoffload_dpdk.control.client import Client  # noqa: PLC0415 - --help does without

    with Client(output.socket) as daemon:
        answer = daemon.call("capabilities")
    known = [port["name"] for port in answer["ports"]]
    if unknown := [port for port in ports if port not in known]:
        raise errors.UsageError(f"no port {unknown[0]} in the engine", hint=f"there are: {', '.join(known)}")
    answer["ports"] = [port for port in answer["ports"] if not ports or port["name"] in ports]
    if output.json:
        output.document({"schema": 1, **answer})
        return 0
    for port in answer["ports"]:
        click.echo(f"{printable(port['name'])} ({printable(port['driver'])})")
        for found in port["capabilities"]:
            mark = {True: "yes", False: "no", None: "?"}[found["has"]]
            click.echo(f"  {found['name']:<18} {found['domain']:<9} {mark:<4} {printable(found['evidence'])}")
    return 0


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the process that asks. Returns its report; raises what it raised, PortError where it died."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as words, os.fdopen(read, encoding="utf-8") as channel:
        command = [sys.executable, "-P", "-m", CHILD, str(write), json.dumps(request)]
        child = subprocess.Popen(command, pass_fds=[write], stdout=words, stderr=words)
        os.close(write)
        alarm = Alarm(child)
        lines = [json.loads(line) for line in channel if line.endswith("\n")]
        status = child.wait()
        alarm.cancel()
        words.seek(0)
        last = words.read().decode(errors="replace").strip().splitlines()
    said = {key: value for line in lines for key, value in line.items()}
    if "report" in said:
        report: dict[str, Any] = said["report"]
        return report
    if "error" in said:
        raise rebuilt(said["error"])
    raise died(status, said.get("asking", "while DPDK started"), alarm.rang, last[-1] if last else "")


class Alarm:
    """Ends a process that does not come back."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        import threading  # noqa: PLC0415 - --help does without

        self.process = process
        self.rang = False
        self._timer = threading.Timer(LIMIT_S, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.rang = True
        self.process.kill()

    def cancel(self) -> None:
        self._timer.cancel()


def died(status: int, asking: str, rang: bool, last: str) -> PortError:
    """The error for a process that ended without a report."""
    if rang:
        how = f"did not come back within {LIMIT_S} s"
    elif status < 0:
        how = f"was ended by {signal.Signals(-status).name}"
    else:
        how = f"ended with status {status}"
    said = f"; its last words: {printable(last)}" if last else ""
    return PortError(
        f"the process that asks {how} {asking}{said}",
        op="capabilities",
        hint="the driver is at fault: offload stays off on this port; a newer DPDK may help",
    )


def rebuilt(facts: dict[str, Any]) -> CtoffloadError:
    """An error of the process as it was raised there."""
    kind = getattr(errors, facts.get("error", ""), CtoffloadError)
    made = (kind if isinstance(kind, type) and issubclass(kind, CtoffloadError) else CtoffloadError)(facts["message"])
    for name in ("errno", "op", "provider", "port", "hint"):
        setattr(made, name, facts.get(name, getattr(made, name)))
    return made
