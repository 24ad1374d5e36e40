"""Commands that speak with a running daemon: each asks, and shows the answer as text or JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from ctoffload_dpdk.cli.output import Output, as_json, output_options, pass_output, printable

Command = TypeVar("Command", bound=Callable[..., Any])

# The filters of conntrack(8), by the parameter that each becomes.
FILTERS = (
    click.option("-p", "--proto", metavar="PROTO", help="Of this IP protocol: tcp, udp, icmp, 47."),
    click.option("-s", "--src", metavar="ADDRESS[/LEN]", help="From this address or network."),
    click.option("-d", "--dst", metavar="ADDRESS[/LEN]", help="To this address or network."),
    click.option("--sport", type=click.IntRange(0, 65535), metavar="PORT", help="From this port."),
    click.option("--dport", type=click.IntRange(0, 65535), metavar="PORT", help="To this port."),
    click.option("-r", "--reply-src", metavar="ADDRESS[/LEN]", help="Whose replies come from here."),
    click.option("-q", "--reply-dst", metavar="ADDRESS[/LEN]", help="Whose replies go there."),
    click.option("-w", "--zone", type=click.IntRange(0, 65535), metavar="ZONE", help="In this conntrack zone."),
    click.option("-m", "--mark", metavar="MARK[/MASK]", help="With this mark."),
    click.option("--state", metavar="STATE", help="TCP, one of whose peers is in this state."),
    click.option("--offloaded", type=click.Choice(["yes", "pending", "no"]), help="In hardware, or not."),
    click.option("--reason", metavar="REASON", help="Not in hardware for this reason."),
)
TUPLE = (
    click.option("--id", "id", metavar="ID", help="The connection's id, as a dump in JSON gives it."),
    click.option("-s", "--src", metavar="ADDRESS", help="Source address of either direction."),
    click.option("-d", "--dst", metavar="ADDRESS", help="Destination address of that direction."),
    click.option("-p", "--proto", metavar="PROTO", help="IP protocol."),
    click.option("--sport", type=click.IntRange(0, 65535), metavar="PORT", help="Source port; ICMP: identifier."),
    click.option("--dport", type=click.IntRange(0, 65535), metavar="PORT", help="Destination port; ICMP: type * 256."),
    click.option("-w", "--zone", type=click.IntRange(0, 65535), metavar="ZONE", help="Conntrack zone; default 0."),
)


def with_options(options: tuple[Callable[[Any], Any], ...]) -> Callable[[Command], Command]:
    """Adds options in the order they stand."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def client(output: Output) -> Any:
    """A connection to the daemon. Raises CtoffloadError where there is none."""
    from ctoffload_dpdk.control.client import Client  # noqa: PLC0415 - --help does without

    return Client(output.socket)


def pass_rows(output: Output, command: str, parameters: dict[str, Any], key: str) -> int:
    """Writes rows as one JSON document, as they come: {"schema": 1, KEY: [...]}; without --json, the lines."""
    from ctoffload_dpdk.control.client import is_last, parsed, rows_of  # noqa: PLC0415 - --help does without

    write = sys.stdout.buffer.write
    sys.stdout.flush()
    if output.json:
        parameters = parameters | {"format": "json"}
    found, comma = 0, b""
    with client(output) as daemon:
        # An error that comes first is all there is to say, so the document begins with its first row.
        begun = False
        for line in daemon.raw_lines(command, parameters):
            rows = b"" if is_last(line) else rows_of(line)
            if not rows:
                answer = parsed(line)
                found = int(answer.get("end", {}).get("n", found))
                if "text" in answer:
                    write(answer["text"].encode())
                continue
            if not begun:
                write(b'{"schema": 1, "%s": [' % key.encode())
                begun = True
            write(comma + (indented(rows) if output.pretty else b"\n" + rows))
            comma = b","
        if output.json:
            write(b"\n]}\n" if begun else b'{"schema": 1, "%s": []}\n' % key.encode())
    sys.stdout.buffer.flush()
    return found


@contextlib.contextmanager
def progress(key: str) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """What says on a terminal how far a long command is, in one line that goes with its end; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    def told(facts: dict[str, Any]) -> None:
        click.echo(
            f"\r{facts[key]:,} until now, {facts['looked_at']:,} of {facts['of']:,} looked at\x1b[K", nl=False, err=True
        )

    try:
        yield told
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def indented(rows: bytes) -> bytes:
    """Rows with an indent, as --pretty has it."""
    import json  # noqa: PLC0415 - --help does without

    text = json.dumps(json.loads(b"[" + rows + b"]"), indent=2)
    return text[1:-2].encode()


@click.command()
@click.option("--format", "form", type=click.Choice(["ovs", "conntrack"]), default="ovs", help="Of the lines.")
@click.option("--more", is_flag=True, help="Both peers' states and window scales, as -m of ovs-appctl.")
@click.option("--statistics", is_flag=True, help="What is left of the timeout, as -s of ovs-appctl.")
@click.option("--fresh", is_flag=True, help="Ask the NIC first; else its packets are those it told of last.")
@with_options(FILTERS)
@output_options
@pass_output
def dump(output: Output, /, *, form: str, more: bool, statistics: bool, fresh: bool, **filters: Any) -> None:
    """List connections, each with its offload state and the reason."""
    given = filters | {"format": form, "more": more, "statistics": statistics, "fresh": fresh}
    found = pass_rows(output, "dump", given, "connections")
    if not output.json:
        click.echo(f"{found} connections have been shown", err=True)


@click.command()
@with_options(FILTERS)
@output_options
@pass_output
def count(output: Output, /, **filters: Any) -> None:
    """Say how many connections there are."""
    with client(output) as daemon, progress("connections") as told:
        answer = daemon.call("count", told=told, **filters)
    if output.json:
        output.document({"schema": 1, **answer})
    else:
        click.echo(answer["connections"])


@click.command()
@with_options(FILTERS)
@output_options
@pass_output
def flush(output: Output, /, **filters: Any) -> None:
    """End connections: those that fit, or all. What is in hardware is taken out."""
    with client(output) as daemon, progress("flushed") as told:
        answer = daemon.call("flush", told=told, **filters)
    if output.json:
        output.document({"schema": 1, **answer})
    else:
        click.echo(f"connections ended: {answer['flushed']}")


@click.command()
@click.option("--format", "form", type=click.Choice(["ovs", "conntrack"]), default="ovs", help="Of the line.")
@with_options(TUPLE)
@output_options
@pass_output
def get(output: Output, /, form: str, **which: Any) -> None:
    """Show one connection, named by its id or by the tuple of either direction."""
    pass_rows(output, "get", which | {"format": form}, "connections")


@click.command("del")
@with_options(TUPLE)
@output_options
@pass_output
def delete(output: Output, /, **which: Any) -> None:
    """End one connection."""
    with client(output) as daemon:
        answer = daemon.call("del", **which)
    if output.json:
        output.document({"schema": 1, **answer})
    else:
        click.echo(f"connections ended: {answer['deleted']}")


@click.command()
@with_options(FILTERS)
@click.option("-n", "--number", type=click.IntRange(1), help="End after so many events.")
@output_options
@pass_output
def events(output: Output, /, number: int | None, **filters: Any) -> None:
    """Say what happens to connections, as it happens: new, update, offloaded, returned, destroy.

    offloaded: it is in the NIC. returned: it is out of it, for the reason, and goes on in software. With --json, an
    object a line.
    """
    left = number or 0
    with client(output) as daemon:
        daemon.wait_forever()
        for row in daemon.rows("events", **filters):
            click.echo(as_json(row, pretty=output.pretty) if output.json else event_text(row))
            sys.stdout.flush()
            left -= 1
            if left == 0:
                return


def event_text(row: dict[str, Any]) -> str:
    """An event in a line, as conntrack -E has them."""
    if row["event"] == "lost":
        return f"[LOST] {row['events']} events: this reader is too slow, or too much happens"
    name, offload = f"[{row['event'].upper()}]", row["offload"]
    ends = ",".join(f"{key}={value}" for key, value in row["orig"].items())
    text = f"{name:>11} {row['proto']},orig=({ends}),state={row['state']},offloaded={offload['state']}"
    text += f",reason={offload['reason']}" if "reason" in offload else ""
    return f"{text},cause={row['cause']}" if "cause" in row else text


@click.command()
@click.option("--explain", is_flag=True, help="Say what each number means.")
@output_options
@pass_output
def stats(output: Output, /, explain: bool) -> None:
    """Show everything that is counted: connections, rules, packets, operations of the offload layer."""
    from ctoffload_dpdk.cli.statistics import explained, stats_text  # noqa: PLC0415 - --help does without

    with client(output) as daemon:
        answer = daemon.call("stats")
    if output.json:
        output.document({"schema": 1, **answer, **({"meaning": explained()} if explain else {})})
    else:
        click.echo(stats_text(answer, explain=explain), nl=False)


@click.command()
@output_options
@pass_output
def providers(output: Output, /) -> None:
    """List the providers: active or not, what they hold, operations, latency."""
    from ctoffload_dpdk.cli.statistics import provider_lines  # noqa: PLC0415 - --help does without

    with client(output) as daemon:
        answer = daemon.call("providers")
    if output.json:
        output.document({"schema": 1, **answer})
        return
    for provider in answer["providers"]:
        click.echo("\n".join(provider_lines(provider, explain=False)))


@click.command()
@output_options
@pass_output
def status(output: Output, /) -> None:
    """Say who runs, on what ports, and what it runs without."""
    with client(output) as daemon:
        answer = daemon.call("status")
    if output.json:
        output.document({"schema": 1, **answer})
        return
    click.echo(f"process {answer['pid']}, up {answer['uptime_s']:.0f} s, {answer['dpdk']}")
    click.echo(f"ports        {' <> '.join(answer['ports'])}")
    click.echo(f"offload      {'on' if answer['offload'] else 'off'}")
    click.echo(f"connections  {answer['connections']}")
    for note in answer["notes"]:
        click.echo(f"note         {printable(note)}")
    for problem in answer["problems"]:
        click.echo(f"problem      {printable(problem['message'])}")


@click.command()
@click.argument("action", type=click.Choice(["on", "off", "status"]), default="status")
@click.option("--provider", metavar="NAME", help="Of this provider alone.")
@click.option("--port", metavar="NAME", help="Of this port alone.")
@output_options
@pass_output
def offload(output: Output, /, action: str, provider: str | None, port: str | None) -> None:
    """Switch offload on or off, of all, of a provider or of a port; off takes connections out of the NIC."""
    with client(output) as daemon:
        answer = daemon.call("offload", action=action, provider=provider, port=port)
    if output.json:
        output.document({"schema": 1, **answer})
        return
    walk = "" if answer["settled"] else f", {answer['walk_left']} connections still to be looked at"
    click.echo(f"offload is {'on' if answer['enabled'] else 'off'}{walk}")
    for kind in ("providers", "ports"):
        for one in answer[kind]:
            more = "" if kind == "ports" else ", active" if one["active"] else ", inactive"
            click.echo(f"  {kind[:-1]} {printable(one['name'])}: {'on' if one['enabled'] else 'off'}{more}")


@click.command()
@click.argument("action", type=click.Choice(["list", "remove", "add"]), default="list")
@click.argument("port", required=False)
@output_options
@pass_output
def ports(output: Output, /, action: str, port: str | None) -> None:
    """List the ports; take one out while the engine runs, or put it back."""
    with client(output) as daemon:
        answer = daemon.call("ports", action=action, port=port)
    if output.json:
        output.document({"schema": 1, **answer})
        return
    for one in answer["ports"]:
        if not one["present"]:
            click.echo(f"{printable(one['name'])}: away, {one['why']}")
            continue
        link = f"link up, {one['speed_mbps']} Mbit/s" if one["link"] else "link down"
        click.echo(f"{printable(one['name'])}: {one['driver']}, {one['mac']}, {link}")


@click.command()
@click.argument("connection", required=False, metavar="[ID]")
@with_options(TUPLE[1:])
@output_options
@pass_output
def explain(output: Output, /, connection: str | None, **which: Any) -> None:
    """Say why a connection is in hardware or not: each decision, in order.

    A connection is named by its ID, as a dump in JSON gives it, or by the tuple of either direction.
    """
    from ctoffload_dpdk.cli.rules_text import refusal_text  # noqa: PLC0415 - --help does without

    with client(output) as daemon:
        answer = daemon.call("explain", id=connection, **which)
    if output.json:
        output.document({"schema": 1, **answer})
        return
    one = answer["connection"]
    ends = ",".join(f"{key}={value}" for key, value in one["orig"].items())
    click.echo(f"{one['proto']},orig=({ends}),state={one['state']}  {one['id']}")
    for step in answer["steps"]:
        mark = {True: "yes", False: "no", None: "-"}[step["holds"]]
        more = f"  reason={step['reason']}" if "reason" in step else ""
        click.echo(f"  {step['step']:<12} {mark:<4} {printable(step['words'])}{more}")
        for refusal in step.get("refusals", ()):
            click.echo(f"    {printable(refusal_text(refusal))}")


@click.command()
@click.option("--port", metavar="NAME", help="Of this port alone: where its rules are made, and why no better plan.")
@output_options
@pass_output
def rules(output: Output, /, port: str | None) -> None:
    """Say what is in the NIC, and by which plan each kind of connection gets there."""
    from ctoffload_dpdk.cli.rules_text import rules_lines  # noqa: PLC0415 - --help does without

    with client(output) as daemon:
        answer = daemon.call("rules", port=port)
    if output.json:
        output.document({"schema": 1, **answer})
        return
    for line in rules_lines(answer):
        click.echo(printable(line))
