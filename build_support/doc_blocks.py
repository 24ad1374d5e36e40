"""The fenced blocks of a page, and what the comment before each says about it.

    <!-- test: file NAME -->          the block is written to NAME before what follows
    <!-- test: status N -->           the last command of the block ends with this status
    <!-- test: status any -->         how the commands of the block end says something about this machine
    <!-- test: all -->                only `make test-all` runs it: it takes minutes
    <!-- test: images -->             only `make test-all` runs it, as root, beside images of its own (tests/images)
    <!-- test: hardware: WHAT -->     not run: it needs WHAT
    <!-- test: shown: WHY -->         not run: a fragment, or written for another machine
    <!-- test: continues -->          Python that goes on where the Python block before it ended
    <!-- test: clone -->              anywhere in the page: its commands run in a source tree, not in an empty directory
    <!-- test: fresh -->              anywhere in the page: `make test-all` runs it in a clone in which nothing is built
    <!-- test: needs WHAT -->         anywhere in the page: the emulated NIC, Open vSwitch's tools

Commands stand in blocks of kind `console`, after `$ `; a line that ends in a backslash goes on. What follows is
what the command prints: each line must come, in that order; `...` stands for anything within a line or for any lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

NOTE = re.compile(r"^\s*<!-- test: (.*?) -->\s*$")
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^`]*?)\s*$")
ANY = "..."


@dataclass
class Block:
    page: Path
    line: int
    kind: str
    text: str
    notes: list[str] = field(default_factory=list)

    def note(self, name: str) -> str | None:
        """What a note says after its name; None where there is none of that name."""
        for note in self.notes:
            if note == name:
                return ""
            if note.startswith((f"{name}:", f"{name} ")):
                return note[len(name) + 1 :].strip()
        return None

    @property
    def why_not_run(self) -> str | None:
        hardware, shown = self.note("hardware"), self.note("shown")
        if hardware is not None:
            return f"needs {hardware}"
        return shown

    @property
    def is_long(self) -> bool:
        return self.note("all") is not None

    @property
    def is_for_images(self) -> bool:
        return self.note("images") is not None

    @property
    def commands(self) -> list[Command]:
        return commands_of(self) if self.kind == "console" else []


@dataclass
class Command:
    line: int
    text: str
    status: int | None = 0
    output: list[str] = field(default_factory=list)

    def missing_from(self, printed: str) -> str | None:
        """The first stated line that was not printed, in order; None where all were."""
        left = printed.splitlines()
        for stated in self.output:
            if stated.strip() == ANY:
                continue
            pattern = re.compile(r"\s*".join(".*".join(map(re.escape, part.split(ANY))) for part in stated.split()))
            while left and not pattern.search(left[0].strip()):
                left.pop(0)
            if not left:
                return stated
            left.pop(0)
        return None


def commands_of(block: Block) -> list[Command]:
    found: list[Command] = []
    is_continued = False
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if is_continued:
            found[-1].text += "\n" + line
        elif line.startswith("$ "):
            found.append(Command(number, line[2:]))
        elif found and line.strip():
            found[-1].output.append(line)
            continue
        is_continued = line.endswith("\\")
    status = block.note("status")
    for command in found if status == "any" else ():
        command.status = None
    if found and status and status != "any":
        found[-1].status = int(status)
    return found


def pages_of(root: Path) -> list[Path]:
    """Every Markdown page that a reader gets: those of docs/, and those that stand beside what they are about."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "hw-tests").rglob("*.md")]
    return sorted(page for page in found if page.name != "CHANGELOG.md")


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block; a block within a list is taken without the indentation."""
    found: list[Block] = []
    notes: list[str] = []
    open_fence = indent = ""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if open_fence:
            if fence and fence[2].startswith(open_fence) and not fence[3]:
                open_fence = ""
            else:
                found[-1].text += line.removeprefix(indent) + "\n"
        elif fence:
            indent, open_fence = fence[1], fence[2]
            found.append(Block(page, number, fence[3], "", notes))
            notes = []
        elif note := NOTE.match(line):
            notes.append(note[1])
        elif line.strip():
            notes = []
    return found


def notes_of(page: Path) -> list[str]:
    """All notes of a page, for those that are about the whole of it."""
    return [note[1] for note in map(NOTE.match, page.read_text().splitlines()) if note]
