"""The manual page and shell completion, by groff, man and the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from other_programs import ENVIRON

from ctoffload_dpdk.cli import main
from ctoffload_dpdk.cli.man_page import escaped, page_of, tree

PROGRAM = Path(sys.executable).parent / "ctoffload"


@pytest.fixture(scope="module")
def page() -> str:
    return page_of(main.cli)


def rendered(page: str, *words: str) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed: apt-get install groff-base man-db")
    environment = {**ENVIRON, "MANWIDTH": "120", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
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
        pytest.skip(f"{shell} is not installed; make test-all installs it")
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


def typed_into_zsh(tmp_path: Path, words: str, wanted: str) -> str:
    """What a zsh at a terminal shows once these words and tabs were typed. The script is where the help says."""
    (tmp_path / "zfunc").mkdir()
    script = subprocess.run([PROGRAM, "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "zfunc" / "_ctoffload").write_text(script)
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "> "}
    main, terminal = pty.openpty()
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=terminal, stdout=terminal, stderr=terminal, env=environment,
                             cwd=tmp_path, start_new_session=True)  # fmt: skip
    os.close(terminal)
    os.write(main, b"fpath=($PWD/zfunc $fpath); autoload -U compinit; compinit -D; echo rea''dy\n")
    shown = ""
    for until in ("ready", wanted):
        end = time.monotonic() + 30
        while until not in shown and time.monotonic() < end:
            if select.select([main], [], [], 0.2)[0]:
                shown += os.read(main, 65536).decode(errors="replace")
        if until == "ready":
            os.write(main, words.encode())
    shell.kill()
    shell.wait()
    os.close(main)
    return shown


def test_zsh_completes_commands(tmp_path):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed; make test-all installs it")
    assert "ctoffload doctor" in typed_into_zsh(tmp_path, "ctoffload docto\t", "ctoffload doctor")


def test_completing_a_command_imports_none_of_them():
    code = (
        "import os, sys\n"
        "os.environ.update(_CTOFFLOAD_COMPLETE='bash_complete', COMP_WORDS='ctoffload ', COMP_CWORD='1')\n"
        "from ctoffload_dpdk.cli.main import run\n"
        "run([])\n"
        "print(sorted(m for m in sys.modules if m.startswith('ctoffload_dpdk.cli.')))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['ctoffload_dpdk.cli.main', 'ctoffload_dpdk.cli.output']"
    assert "plain,doctor" in done.stdout


def test_an_unknown_shell_is_wrong_usage():
    assert subprocess.run([PROGRAM, "completion", "ksh"], capture_output=True, check=False).returncode == 2
