"""ctoffload nicsim: what an emulated NIC of a running process holds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ctoffload_dpdk.cli.output import Output, output_options, pass_output, printable

if TYPE_CHECKING:
    from ctoffload_dpdk.nicsim.types import RemotePort

# Columns of a rule, and what stands there where it has none.
RULE_COLUMNS = (
    "domain",
    "group",
    "priority",
    "in_port",
    "proto",
    "src",
    "dst",
    "fate",
    "packets",
    "bytes",
    "timeout_s",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@output_options
def nicsim() -> None:
    """Look into the emulated NICs of a running process."""


@nicsim.command()
@click.option("--file-prefix", default="rte", show_default=True, metavar="PREFIX", help="The process's own (EAL).")
@click.option("--port", type=int, metavar="N", help="This port alone, by its ethdev number.")
@click.option("--rules", is_flag=True, help="Also every live rule.")
@output_options
@pass_output
def dump(output: Output, file_prefix: str, port: int | None, rules: bool) -> None:
    """Show the audit of emulated NICs: rules, indirect actions, packets.

    The process is any that loaded the driver with DPDK's telemetry on, such as dpdk-testpmd; --socket names its
    dpdk_telemetry.v2, --file-prefix finds it.
    """
    from ctoffload_dpdk.nicsim.remote import Remote, socket_path  # noqa: PLC0415 - --help does without
    from ctoffload_dpdk.nicsim.types import NicsimError  # noqa: PLC0415

    with Remote(output.socket or socket_path(file_prefix)) as remote:
        ids = [port] if port is not None else remote.port_ids()
        if not ids:
            raise NicsimError(
                f"process {remote.pid} has no emulated port", hint="plug one in: --vdev net_nicsim0, or Nic.create()"
            )
        found = [(remote.port(i), list(remote.rules(i)) if rules else None) for i in ids]
    if output.json:
        output.document({"schema": 1, "ports": [as_document(*one) for one in found]})
        return
    for one, its_rules in found:
        show_port(one)
        if its_rules is not None:
            show_rules(its_rules)


def as_document(port: RemotePort, rules: list[dict[str, int | str]] | None) -> dict[str, Any]:
    facts = asdict(port)
    facts |= facts.pop("audit")
    return facts if rules is None else facts | {"rule_list": rules}


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {n:,}" for name, n in counts.items())


def show_port(port: RemotePort) -> None:
    counters = asdict(port.counters)
    dropped = {reason: n for reason, n in counters.pop("nic_dropped").items() if n}
    state = "up" if port.is_link_up else "down" if port.is_started else "stopped"
    switch = "" if port.switch is None else f", switch {port.switch}"
    click.echo(f"port {port.port_id} {printable(port.name)}: {state}{switch}, clock {port.now_ms:,} ms")
    click.echo(f"  rules    {listed(asdict(port.audit.rules))}")
    click.echo(f"  objects  {listed(asdict(port.audit.objects))}")
    click.echo(f"  aged     {port.audit.aged:,}")
    click.echo(f"  packets  {listed(counters)}")
    click.echo(f"  dropped  {listed(dropped) or 'none'}")


def end_of(rule: dict[str, int | str], end: str) -> str:
    """An address with its port, as far as the rule looks at them."""
    if f"{end}_port" not in rule:
        return str(rule.get(end, "any"))
    return f"{rule.get(end, 'any')} {rule[f'{end}_port']}"


def show_rules(rules: list[dict[str, int | str]]) -> None:
    """A table as wide as it has to be: whoever asks for rules cuts or greps it."""
    rows = [[name.upper().replace("_", "-") for name in RULE_COLUMNS]]
    for rule in rules:
        shown = {**rule, "src": end_of(rule, "src"), "dst": end_of(rule, "dst")}
        if rule["fate"] not in {"drop", "none", "gone"}:
            shown["fate"] = f"{rule['fate']} {rule['fate_arg']}"
        rows.append([str(shown.get(name, "-")) for name in RULE_COLUMNS])
    widths = [max(len(row[i]) for row in rows) for i in range(len(RULE_COLUMNS))]
    for row in rows:
        click.echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
