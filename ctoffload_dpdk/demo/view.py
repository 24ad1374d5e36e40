"""Two ways to show the demo: a live screen on a terminal, plain lines elsewhere. JSON shows the end only."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ctoffload_dpdk.demo.frame import Frame, clock, share
from ctoffload_dpdk.demo.screen import LINES_SHOWN, Figures, LiveScreen, connections_table, figures, framed
from ctoffload_dpdk.engine.account import Account, RuleAccount

EVENTS_SHOWN = 6


class View(Protocol):
    """Shows frames between `with` and its end, then the account."""

    def __enter__(self) -> View: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...
    def show(self, frame: Frame) -> None: ...
    def end(self, account: Account) -> None: ...


class SilentView:
    """Shows nothing: for --json."""

    def __enter__(self) -> SilentView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, frame: Frame) -> None:
        pass

    def end(self, account: Account) -> None:
        pass


class PlainView(SilentView):
    """A line per event, for pipes and logs."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.console.print(title, highlight=False)

    def show(self, frame: Frame) -> None:
        for event in frame.events:
            self.console.print(event, highlight=False, soft_wrap=True)

    def end(self, account: Account) -> None:
        self.console.print(account_lines(account), highlight=False, soft_wrap=True)
        self.console.print(verdict(account), highlight=False)


class LiveView(LiveScreen):
    """One screen that changes as the traffic runs."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(console)
        self.title = title
        self.events: list[str] = []

    def show(self, frame: Frame) -> None:
        self.events = (self.events + frame.events)[-EVENTS_SHOWN:]
        self.draw(screen(self.title, frame, self.events))

    def end(self, account: Account) -> None:
        self.console.print(account_lines(account), highlight=False, soft_wrap=True)
        self.console.print(verdict(account), highlight=False)


def screen(title: str, frame: Frame, events: list[str]) -> RenderableType:
    """The whole screen of one moment."""
    shown = frame.lines[:LINES_SHOWN]
    connections = connections_table(shown, ("software", "live rules"), len(frame.lines) - len(shown))
    said = Text("\n".join(events), style="dim", no_wrap=True, overflow="ellipsis") if events else None
    return framed(title, [progress(frame), totals(frame), connections, said])


def progress(frame: Frame) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    done = min(frame.now_ms, frame.traffic_ms)
    row.add_row(
        Text(f"{frame.phase:<8}", style="bold"),
        ProgressBar(total=max(frame.traffic_ms, 1), completed=done, width=32),
        f"{clock(frame.now_ms)} of hand-run time, {frame.packets_fed:,} of {frame.packets_all:,} packets",
    )
    return row


def totals(frame: Frame) -> RenderableType:
    packets, connections, rules = frame.packets, frame.connections, frame.rules
    dropped = sum(packets.nic_dropped.values()) + sum(packets.sw_dropped.values())
    ended = connections.created - connections.live
    return figures(
        [
            Figures(
                "packets",
                [
                    ("on the wire", packets.wire_in, ""),
                    ("forwarded by the NIC", packets.nic_forwarded, share(packets.nic_forwarded, packets.wire_in)),
                    ("through software", packets.host_rx, share(packets.host_rx, packets.wire_in)),
                    ("dropped", dropped, share(dropped, packets.wire_in) if dropped else ""),
                ],
            ),
            Figures(
                "connections",
                [
                    ("created", connections.created, ""),
                    ("live", connections.live, ""),
                    ("in hardware", frame.in_hardware, ""),
                    ("ended", ended, ""),
                ],
            ),
            Figures(
                "rules in the NIC",
                [
                    ("live", rules.live, ""),
                    ("high water", frame.rules_high_water, ""),
                    ("created", rules.created, ""),
                    ("destroyed", rules.destroyed, ""),
                ],
            ),
        ]
    )


def account_lines(account: Account) -> str:
    """The account as sums, a line each."""
    packets, connections, rules, objects = account.packets, account.connections, account.rules, account.objects
    by_nic = f"{packets.nic_forwarded:,} forwarded by the NIC + {named(packets.nic_dropped)} dropped by it"
    ended = f"{connections.expired:,} expired + {connections.closed:,} closed + {connections.flushed:,} flushed"
    ended += f" + {connections.replaced:,} replaced"
    sums = (
        ("packets on the wire", packets.wire_in, f"{by_nic} + {packets.host_rx:,} to software"),
        ("packets to software", packets.host_rx, f"{packets.host_tx:,} sent on + {named(packets.sw_dropped)} dropped"),
        ("connections created", connections.created, f"{connections.live:,} live + {ended}"),
        ("rules created", rules.created, f"{held(rules)}; {account.audit.rules:,} by the NIC's own audit"),
        ("objects created", objects.created, f"{held(objects)}; {account.audit.objects:,} by the NIC's own audit"),
    )
    return "\n".join(["Account", *(f"  {name:<20}{value:>9,} = {parts}" for name, value, parts in sums)])


def held(books: RuleAccount) -> str:
    return f"{books.destroyed:,} destroyed + {books.lost:,} lost + {books.live:,} live"


def named(counts: dict[str, int]) -> str:
    """ "3 (2 invalid, 1 tx-full)", or "0"."""
    parts = [f"{value:,} {name}" for name, value in counts.items() if value]
    return f"{sum(counts.values()):,}" + (f" ({', '.join(parts)})" if parts else "")


def verdict(account: Account) -> Text:
    if account.closed:
        return Text("The account is closed: every packet, connection and rule is accounted for.", style="bold green")
    return Text("The account does not close:\n  " + "\n  ".join(account.problems()), style="bold red")
