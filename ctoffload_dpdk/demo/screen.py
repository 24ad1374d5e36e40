"""The live screen that `ctoffload demo` and `ctoffload top` share: a frame around figures and connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ctoffload_dpdk.demo.frame import ConnectionLine

LINES_SHOWN = 12
REFRESH_PER_S = 12


@dataclass(frozen=True)
class Figures:
    """A column of numbers under a heading. lines: (name, value, what stands beside it)."""

    heading: str
    lines: list[tuple[str, int | str, str]] = field(default_factory=list)


class LiveScreen:
    """A screen that is drawn anew with each `draw`, between `with` and its end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, refresh_per_second=REFRESH_PER_S, transient=False)

    def __enter__(self) -> Self:
        self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.live.__exit__(kind, error, at)

    def draw(self, content: RenderableType) -> None:
        self.live.update(content)


def framed(title: str, parts: Sequence[RenderableType | None]) -> RenderableType:
    """The parts that are there below each other, in a frame."""
    there = [part for part in parts if part is not None]
    spaced = [each for part in there for each in ("", part)][1:]
    return Panel(Group(*spaced), title=title, title_align="left", border_style="cyan")


def figures(columns: Sequence[Figures]) -> RenderableType:
    """Columns of numbers side by side, as many as there is room for."""
    return Columns([one_column(column) for column in columns], padding=(0, 4))


def one_column(column: Figures) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="left", no_wrap=True)
    for _ in range(2 if any(share for _, _, share in column.lines) else 1):
        grid.add_column(justify="right", no_wrap=True)
    grid.add_row(f"[bold]{column.heading}")
    for name, value, share in column.lines:
        grid.add_row(name, f"{value:,}" if isinstance(value, int) else value, share)
    return grid


def connections_table(lines: Sequence[ConnectionLine], names: tuple[str, str], more: int = 0) -> RenderableType | None:
    """The first connections; more: how many there are besides. names: of the two columns of numbers."""
    if not lines:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("", "from", "to", "state", "offload"):
        table.add_column(name, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        offload = Text(line.offload, style="green" if line.in_hardware else "")
        numbers = (f"{line.software_packets:,}", f"{line.nic_packets:,}")
        table.add_row(line.proto, line.src, line.dst, line.state, offload, *numbers)
    if more > 0:
        table.add_row("", f"and {more:,} more")
    return table
