"""Makes docs/_static/demo.svg from a real run of the main job: its screen at one moment, and its account.

python -m build_support.demo_screen
"""

from __future__ import annotations

import os
import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from ctoffload_dpdk.demo.frame import Frame
from ctoffload_dpdk.demo.lab import EAL_ARGS, Lab
from ctoffload_dpdk.demo.run import Demo
from ctoffload_dpdk.demo.traffic import EXAMPLE, from_capture
from ctoffload_dpdk.demo.view import EVENTS_SHOWN, PlainView, screen
from ctoffload_dpdk.dpdk import Eal
from ctoffload_dpdk.engine.account import Account
from ctoffload_dpdk.settings import Settings

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "_static" / "demo.svg"
WIDTH, MOMENT, PACE_S = 118, 0.88, 3.0
THEME = TerminalTheme(
    (16, 20, 24),
    (222, 226, 230),
    [(36, 41, 46), (240, 113, 120), (76, 201, 160), (233, 196, 106), (97, 175, 239), (198, 146, 233), (86, 182, 194),
     (200, 204, 209)],
    [(120, 128, 137), (255, 139, 146), (112, 224, 187), (247, 215, 139), (137, 199, 255), (216, 173, 245),
     (118, 208, 218), (255, 255, 255)],
)  # fmt: skip


class Recorder(PlainView):
    """Keeps one frame of the run, then the account."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.events: list[str] = []
        self.is_taken = False

    def show(self, frame: Frame) -> None:
        self.events = (self.events + frame.events)[-EVENTS_SHOWN:]
        if not self.is_taken and frame.packets_fed >= MOMENT * frame.packets_all:
            self.is_taken = True
            self.console.print("[bold]$[/] make demo")
            self.console.print(screen(self.title, frame, self.events))

    def end(self, account: Account) -> None:
        self.console.print()
        super().end(account)


def main() -> int:
    console = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=StringIO())
    traffic = from_capture(EXAMPLE)
    view = Recorder(console, f"{traffic.name}: {len(traffic.packets):,} packets, net_nicsim0 <> net_nicsim1")
    with Eal.start(list(EAL_ARGS)) as eal, Lab(eal, Settings()) as lab:
        account = Demo(lab, traffic, view, PACE_S).run()
    if not account.closed or not view.is_taken:
        print("demo screen: the account is not closed, or the traffic ended early", file=sys.stderr)
        return 1
    picture = console.export_svg(title="ctoffload demo", theme=THEME, unique_id="demo")
    # No font is loaded from elsewhere: what the reader has serves.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code, monospace", "'DejaVu Sans Mono', 'Liberation Mono', Consolas, monospace")
    picture = "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture)
    print(os.path.relpath(PICTURE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
