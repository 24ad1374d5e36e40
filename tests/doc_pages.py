"""The pages a user reads, and how one is followed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from doc_shell import Shell

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from build_support.doc_blocks import Block, Command, blocks_of, notes_of, pages_of  # noqa: E402

PROGRAMS = Path(sys.executable).parent
ALL = os.environ.get("CTOFFLOAD_ALL") == "1"
LIMIT_S, LONG_LIMIT_S, IMAGES_LIMIT_S = 100, 3000, 3600


def pages() -> list[Path]:
    return pages_of(ROOT)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prepare(page: Path, directory: Path) -> None:
    """An empty directory, or a copy of the source tree as it stands, with what was built."""
    directory.mkdir(exist_ok=True)
    if "clone" not in notes_of(page):
        return
    copy_tree(directory)
    for path in ROOT.glob("ctoffload_dpdk/**/*.so"):
        shutil.copy2(path, directory / path.relative_to(ROOT))
    (directory / ".venv").symlink_to(PROGRAMS.parent)
    (directory / "build").mkdir()
    for fetched in ("dpdk-source", "ovs", "standin", "apt"):
        if (ROOT / "build" / fetched).is_dir():
            (directory / "build" / fetched).symlink_to(ROOT / "build" / fetched)


def is_for_a_fresh_clone(page: Path) -> bool:
    return "fresh" in notes_of(page)


def clone(directory: Path) -> None:
    """What was committed, as a stranger gets it."""
    command = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(directory)]
    subprocess.run(command, check=True, capture_output=True)


def copy_tree(directory: Path) -> None:
    """What git has or would take, as it stands."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)


def lacks(page: Path) -> str | None:
    """What a page needs and this machine does not have, in words; None where nothing is missing."""
    for note in notes_of(page):
        if note == "needs emulated NIC" and not list(ROOT.glob("ctoffload_dpdk/nicsim/librte_net_nicsim.so")):
            return "the emulated NIC's driver is not built here (python -m build_support.dpdk_source, then make build)"
        if note == "needs Open vSwitch's tools" and not (ROOT / "build" / "ovs").is_dir():
            return "Open vSwitch's schema and ovs-vsctl were not fetched here (python -m build_support.ovs_tools)"
    return None


def follow_page(page: Path, directory: Path, programs: Path) -> int:
    """Does in that directory what a page says, as a reader would. Returns how many commands that were."""
    if ALL and is_for_a_fresh_clone(page):
        clone(directory)
    else:
        prepare(page, directory)
    return follow_blocks(list(filter(is_run, blocks_of(page))), directory, programs)


def is_run(block: Block) -> bool:
    return block.why_not_run is None and not block.is_for_images and (ALL or not block.is_long)


def follow_blocks(blocks: list[Block], directory: Path, programs: Path) -> int:
    shell = Shell(directory, programs)
    script = Script(directory)
    try:
        return sum(follow(block, shell, script) for block in blocks)
    finally:
        shell.close()


@dataclass
class Script:
    """The Python of a page: a block runs by itself, or after the text of those that it continues."""

    directory: Path
    text: str = ""

    def command(self, block: Block) -> Command:
        self.text = self.text + block.text if block.note("continues") is not None else block.text
        path = self.directory / f"line_{block.line}.py"
        path.write_text(self.text)
        return Command(block.line, f"python {path.name}")


def follow(block: Block, shell: Shell, script: Script) -> int:
    commands = block.commands
    if name := block.note("file"):
        (script.directory / name).write_text(block.text)
    elif block.kind == "python":
        commands = [script.command(block)]
    for command in commands:
        carry_out(command, block, shell)
    return len(commands)


def limit_s(block: Block) -> int:
    """Generous: a build in an image has no compiler cache, and the machine may be busy."""
    if block.is_for_images:
        return IMAGES_LIMIT_S
    return LONG_LIMIT_S if block.is_long else LIMIT_S


def carry_out(command: Command, block: Block, shell: Shell) -> None:
    where = f"{name_of(block.page)} line {command.line}: {command.text}"
    status, printed = shell.run(command.text, limit_s(block))
    wanted = command.status
    assert wanted in {None, status}, f"{where}\nended with {status}, not {wanted}; it printed:\n{printed[-4000:]}"
    missing = command.missing_from(printed)
    assert missing is None, f"{where}\ndid not print, in this order: {missing}\nbut:\n{printed[-4000:]}"


# --- the Python reference ---

AUTOMODULE = re.compile(r"automodule:: (ctoffload_dpdk[\w.]*)")


def documented_modules() -> list[str]:
    text = "".join(page.read_text() for page in sorted((ROOT / "docs" / "reference" / "api").glob("*.md")))
    return AUTOMODULE.findall(text)


def public(module: ModuleType) -> dict[str, object]:
    """What `__all__` names, else what is defined in it and has no underscore."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
