"""The manual page and shell completion, by groff, man and the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ctoffload_dpdk.cli import main
from ctoffload_dpdk.cli.man_page import escaped, page_of, tree

PROGRAM = Path(sys.executable).parent / "ctoffload"


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(main.cli)


def rendered(page: str, *words: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed: apt-get install groff-base man-db")
    environment = {**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(words, input=page, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_groff_has_nothing_to_warn_of(page):
    text = rendered(page, "groff", "-ww", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u")
    assert "ctoffload - Connection tracking offload" in text


def test_man_shows_every_command_with_its_options(page):
    text = rendered(page, "man", "--warnings", "-l", "-")
    words = text.split()
    commands = list(tree(main.cli, click.Context(main.cli, info_name="ctoffload")))
    assert {context.command_path for _, context in commands} >= {f"ctoffload {name}" for name in main.COMMANDS}
    for command, context in commands:
        assert context.command_path in " ".join(words)
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert any(parameter.opts[-1] in word for word in words), parameter.opts


def test_what_groff_would_take_for_its_own_is_shown_as_it_is():
    text = ".TH \\fB -x 'y' \"z\" ^ ~ ` ü"
    assert rendered(f".TH A 1\n.SH B\n{escaped(text)}\n", "groff", "-ww", "-man", "-Tutf8", "-P-c").count(text) == 1


def test_the_command_prints_the_page(page):
    done = subprocess.run([PROGRAM, "man"], capture_output=True, text=True, check=True)
    assert done.stdout == page


def completed(shell: str, script: str, tmp_path: Path) -> str:
    """What a shell says after it read the completion script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    made = tmp_path / "completion"
    made.write_text(subprocess.run([PROGRAM, "completion", shell], capture_output=True, text=True, check=True).stdout)
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "SCRIPT": str(made)}
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def test_bash_completes_commands_and_options(tmp_path):
    script = """
        source "$SCRIPT"; complete -p ctoffload >/dev/null || exit 1
        for words in "ctoffload do" "ctoffload doctor --ro"; do
            COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _ctoffload_completion ctoffload; echo "${COMPREPLY[@]}"
        done"""
    assert completed("bash", script, tmp_path) == "doctor\n--root\n"


def test_fish_completes_commands(tmp_path):
    assert "doctor" in completed("fish", 'source $SCRIPT; complete -C "ctoffload do"', tmp_path)


def test_zsh_takes_the_script(tmp_path):
    assert completed(
        "zsh", 'autoload -U compinit && compinit -D -d $SCRIPT.dump && source "$SCRIPT" && echo ok', tmp_path
    )


def test_completing_a_command_imports_none_of_them():
    code = (
        "import os, sys\n"
        "os.environ.update(_CTOFFLOAD_COMPLETE='bash_complete', COMP_WORDS='ctoffload ', COMP_CWORD='1')\n"
        "from ctoffload_dpdk.cli.main import run\n"
        "run([])\n"
        "print(sorted(m for m in sys.modules if m.startswith('ctoffload_dpdk.cli.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['ctoffload_dpdk.cli.main', 'ctoffload_dpdk.cli.output']"
    assert "plain,doctor" in done.stdout


def test_an_unknown_shell_is_wrong_usage():
    assert subprocess.run([PROGRAM, "completion", "ksh"], capture_output=True, check=False).returncode == 2
