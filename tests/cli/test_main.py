from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest

from ctoffload_dpdk._version import __version__
from ctoffload_dpdk.base.errors import CaptureError, UsageError
from ctoffload_dpdk.base.libraries import missing
from ctoffload_dpdk.cli import main
from ctoffload_dpdk.cli.output import Output, output_options, pass_output

PROGRAM = str(Path(sys.executable).parent / "ctoffload")


def ctoffload(*args: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def act(monkeypatch):
    """Adds a sub-command `act` that does what a test wants."""

    def add(body) -> None:
        @click.command()
        @output_options
        @click.option("--number", type=int)
        @pass_output
        def act(output: Output, number: int | None) -> None:
            body(output)

        module = types.ModuleType("act_module")
        module.act = act
        monkeypatch.setitem(sys.modules, "act_module", module)
        monkeypatch.setitem(main.COMMANDS, "act", ("act_module", "act", "Does what a test wants."))

    return add


def raiser(error: BaseException):
    def body(output: Output) -> None:
        raise error

    return body


def test_help_names_every_command_and_imports_none_of_them():
    code = (
        "import sys; from ctoffload_dpdk.cli.main import run; status = run(['--help'])\n"
        "heavy = [m for m in ('numpy', 'rich', 'json', 'elftools') if m in sys.modules]\n"
        "print('heavy', heavy, [m for m in sys.modules if m.startswith('ctoffload_dpdk.') and '.cli' not in m])\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    for name in main.COMMANDS:
        assert f"  {name} " in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "heavy [] ['ctoffload_dpdk._version', 'ctoffload_dpdk.base', 'ctoffload_dpdk.base.errors']"
    )


@pytest.mark.skipif(os.environ.get("CTOFFLOAD_SANITIZED") == "1", reason="a sanitizer is slow by itself")
def test_help_takes_less_than_150_ms():
    def children_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def once() -> float:
        start = children_s()
        assert ctoffload("--help").returncode == 0
        return children_s() - start

    # Processor time, and the best of several: the machine may be busy with something else.
    assert min(once() for _ in range(5)) < 0.15


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_exists_and_has_the_global_options(name):
    module, attribute, _ = main.COMMANDS[name]
    command = getattr(importlib.import_module(module), attribute)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"-j", "--json", "--pretty", "--socket"} <= options
    assert command.help


def test_version_is_said():
    assert ctoffload("--version").stdout == f"ctoffload {__version__}\n"
    said = ctoffload("version").stdout
    assert said.startswith(f"ctoffload {__version__}\ndpdk ")
    assert re.search(r"^dpdk \d\d\.\d\d", said, re.MULTILINE)


@pytest.mark.parametrize("args", [["-j", "version"], ["version", "-j"], ["--json", "version"], ["version", "--pretty"]])
def test_json_may_be_asked_for_before_and_after_the_sub_command(capsys, args):
    assert main.run(args) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["ctoffload"] == __version__
    assert (out.count("\n") > 1) == ("--pretty" in args)


@pytest.mark.parametrize("args", [["--socket", "/s", "act"], ["act", "--socket", "/s"]])
def test_the_socket_may_be_named_before_and_after_the_sub_command(act, args):
    seen = []
    act(lambda output: seen.append(output.socket))
    assert main.run(args) == 0
    assert seen == ["/s"]


def test_without_arguments_the_help_comes_on_standard_error_with_status_2():
    done = ctoffload()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["nonsense"], "No such command 'nonsense'.", "see: ctoffload --help"),
        (["--nonsense"], "No such option", "see: ctoffload --help"),
        (["act", "--number", "many"], "'many' is not a valid integer", "see: ctoffload act --help"),
        (["act", "surplus"], "unexpected extra argument", "see: ctoffload act --help"),
        (["act", "--socket", ""], "the path of a socket is empty", "see: ctoffload act --help"),
        (["top", "--interval", "nan"], "'nan' is not a number of seconds", "see: ctoffload top --help"),
        (["demo", "--pace", "NaN"], "'NaN' is not a number of seconds", "see: ctoffload demo --help"),
        (["capture", "-", "--seconds", "nan"], "'nan' is not a number of seconds", "see: ctoffload capture --help"),
        (["capture", "-", "--seconds", "inf"], "inf is not in the range", "see: ctoffload capture --help"),
    ],
)
def test_wrong_usage_is_status_2_and_two_lines(act, capsys, args, message, hint):
    act(lambda output: None)
    assert main.run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("ctoffload: ")
    assert message in first
    assert second == f"  hint: {hint}"
    assert main.run(["-j", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in json.loads(err)["message"]


def test_an_error_is_json_where_the_flag_is_joined_to_another(capsys):
    assert main.run(["events", "-jn", "0"]) == 2
    assert "0 is not in the range" in json.loads(capsys.readouterr().err)["message"]


def test_an_error_is_message_and_hint_or_one_json_object(act, capsys):
    act(raiser(CaptureError("x.pcap: broken", errno=errno.EIO, hint="copy it again")))
    assert main.run(["act"]) == 1
    assert capsys.readouterr().err == "ctoffload: x.pcap: broken [EIO]\n  hint: copy it again\n"
    assert main.run(["act", "--json"]) == 1
    assert json.loads(capsys.readouterr().err) == {
        "error": "CaptureError",
        "message": "x.pcap: broken",
        "errno": errno.EIO,
        "errno_name": "EIO",
        "hint": "copy it again",
    }


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UsageError("no such port"), 2, "ctoffload: no such port\n"),
        (MemoryError(), 1, "ctoffload: too little memory\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a/b"), 1, "ctoffload: /a/b: No such file [ENOENT]\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (click.ClickException("cannot"), 1, "ctoffload: cannot\n"),
        (
            ImportError("librte_eal.so.23: no such file"),
            1,
            f"ctoffload: {missing(ImportError('librte_eal.so.23: no such file'))}\n",
        ),
        (
            ModuleNotFoundError("No module", name="ctoffload_dpdk.base._capture"),
            1,
            "ctoffload: ctoffload_dpdk.base._capture is not built\n  hint: in the source tree, run: make build\n",
        ),
        (CaptureError("evil\x1b[2J\nname"), 1, "ctoffload: evil\\x1b[2J\\nname\n"),
    ],
)
def test_each_error_has_its_status_and_never_a_traceback(act, capsys, error, status, words):
    act(raiser(error))
    assert main.run(["act"]) == status
    assert capsys.readouterr().err == words


def test_a_bug_is_one_line_with_the_way_to_its_traceback(act, capsys, monkeypatch):
    act(lambda output: 1 // 0)
    assert main.run(["act"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "a bug in ctoffload: ZeroDivisionError" in first
    assert "test_main.py line" in first
    assert "CTOFFLOAD_TRACEBACK=1" in second
    monkeypatch.setenv("CTOFFLOAD_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main.run(["act"])


def test_a_full_disk_is_said_and_python_adds_nothing():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([PROGRAM, "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ctoffload: No space left on device [ENOSPC]\n"


@pytest.mark.parametrize("words", ["--help", "man", "version", "demo"])
def test_a_closed_standard_output_is_said(words):
    done = subprocess.run(f"{PROGRAM} {words} >&-", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ctoffload: Bad file descriptor [EBADF]\n"


def test_files_never_get_the_number_of_a_closed_standard_stream():
    code = (
        "import os; from ctoffload_dpdk.cli import main; main.run = lambda words: os.open('/', os.O_RDONLY) <= 2\n"
        "main.main()"
    )
    done = subprocess.run(f'{sys.executable} -P -c "{code}" <&- >&- 2>&-', shell=True, check=False)
    assert done.returncode == 0


def test_a_reader_that_goes_away_ends_it_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([PROGRAM, "version"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


def open_once_read(fifo: Path, reader: subprocess.Popen[str]) -> int:
    """The writing end of a pipe, as soon as the other process has opened its own."""
    while reader.poll() is None:
        with contextlib.suppress(OSError):
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    raise AssertionError(f"ended with status {reader.returncode} before it read anything")


def test_ctrl_c_ends_it_with_status_130(tmp_path):
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    # Who runs the tests in the background may have them ignore the signal, and children inherit that.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        started = subprocess.Popen([PROGRAM, "replay", str(fifo)], stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, handler)
    with started as command:
        end = open_once_read(fifo, command)
        # A signal just before the read begins is noticed after it, so it is sent again, as a user would.
        for _ in range(40):
            command.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(timeout=0.5)
                break
        os.close(end)
        _, err = command.communicate(timeout=20)
    assert command.returncode == 130
    assert err == ""


def test_the_shell_may_ask_for_completion():
    environment = {
        **os.environ,
        "_CTOFFLOAD_COMPLETE": "bash_complete",
        "COMP_WORDS": "ctoffload re",
        "COMP_CWORD": "1",
    }
    assert ctoffload(env=environment).stdout == "plain,replay\n"
