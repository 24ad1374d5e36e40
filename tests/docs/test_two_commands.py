"""The two commands that matter: what the README says of them, and that they need no more than it says."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from doc_pages import LONG_LIMIT_S, ROOT, follow_page

from build_support.doc_blocks import blocks_of

TUTORIAL = ROOT / "docs" / "tutorial.md"
SYSTEM = "/usr/bin:/bin:/usr/sbin:/sbin"
# What the README asks for before the first command.
GIVEN = {"git", "make", "python3"}
# Asked for by tests that skip in words without it: what no container has, what comes with openssh-server, what only
# `make test-all` fetches.
OPTIONAL = {"systemd-analyze", "ssh", "ssh-keygen", "npm"}
# What an installation of Debian has though nothing depends on it.
ALWAYS = {"apt", "dpkg", "mount"}


def recipe(target: str) -> list[str]:
    """The commands that make would run for it, were nothing there yet."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", target]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_readme_names_them_first_and_both_are_there():
    first = next(block for block in blocks_of(ROOT / "README.md") if block.kind == "console")
    assert [command.text.split("#")[0].split() for command in first.commands] == [["make", "demo"], ["make", "test"]]
    assert recipe("demo")[-1] == ".venv/bin/ctoffload demo"
    assert recipe("test")[-1].split()[0] == ".venv/bin/pytest"


def test_both_install_what_is_missing_before_they_build():
    for target in ("demo", "test"):
        said = "\n".join(recipe(target))
        steps = ["build_support/packages.sh", "-r requirements/dev.lock", "build_support.dpdk_source", "build_ext"]
        places = [said.index(step) for step in steps]
        assert places == sorted(places)


def test_continuous_integration_runs_the_second():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


def programs_named() -> dict[str, str]:
    """Program -> a file that runs it: words that begin a list of strings, or are looked for, and are programs here."""
    found: dict[str, str] = {}
    for directory in ("build_support", "ctoffload_dpdk", "standin", "tests"):
        for path in (ROOT / directory).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                is_search = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "which"
                first = (node.args if is_search else node.elts if isinstance(node, ast.List) else [])[:1]
                if first and isinstance(first[0], ast.Constant) and isinstance(first[0].value, str):
                    found[first[0].value] = path.relative_to(ROOT).as_posix()
    for name in re.findall(r"^\s*@?([a-z-]+) ", "\n".join(recipe("test")), re.MULTILINE):
        found[name] = "Makefile"
    return {name: path for name, path in found.items() if re.fullmatch(r"[a-z][\w.+-]+", name) and where(name)}


def where(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM)


def installed_with(packages: set[str]) -> set[str]:
    """These, Debian's essential packages, and all that they depend on, as far as it is installed."""
    form = "${Package}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    needs = {row[0]: names(row[3]) for row in rows}
    provided_by: dict[str, set[str]] = {}
    for name, _, provides, _ in rows:
        for one in names(provides):
            provided_by.setdefault(one, set()).add(name)
    reached: set[str] = set()
    left = packages | ALWAYS | {row[0] for row in rows if row[1] == "yes"}
    while left:
        name = left.pop()
        if name not in reached and name in needs:
            reached.add(name)
            left |= needs[name] | set().union(*(provided_by.get(one, set()) for one in needs[name]))
    return reached


def listed_in(name: str) -> set[str]:
    return {line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()} - {""}


def names(dependencies: str) -> set[str]:
    """Those named, alternatives included, without versions and architectures."""
    return {re.split(r"[\s(:]", one.strip())[0] for one in re.split(r"[,|]", dependencies) if one.strip()}


def packages_of(programs: set[str]) -> dict[str, str]:
    """Program -> the package whose file it is, by either name of a merged /usr; those of no package are left out."""
    paths = {path: name for name in programs for path in paths_of(name)}
    done = subprocess.run(["dpkg-query", "-S", *paths], capture_output=True, text=True, check=False)
    rows = [line.rpartition(": ") for line in done.stdout.splitlines()]
    return {paths[path]: re.split(r"[:,]", package)[0] for package, _, path in rows if path in paths}


def paths_of(program: str) -> set[str]:
    found = where(program) or ""
    real = str(Path(found).resolve())
    return {found, real, real.removeprefix("/usr")}


def test_they_need_no_program_that_is_in_no_listed_package():
    """As far as it shows where it is asked: each program that they name and that is installed here is of such a one."""
    if not shutil.which("dpkg-query"):
        pytest.skip("this is no Debian: what a package holds cannot be asked")
    allowed = installed_with(listed_in("debian-packages.txt") | GIVEN)
    of_test_all = installed_with(listed_in("debian-packages-all.txt"))
    named = programs_named()
    assert {"apt-get", "gcc", "git", "ip", "ovsdb-server", "ping", "pkg-config", "tshark"} <= set(named)
    strangers = {
        f"{name} ({named[name]})": package
        for name, package in packages_of(set(named) - OPTIONAL).items()
        if package not in allowed
        and not (package in of_test_all and named[name].startswith(("tests/", "build_support/images")))
    }
    assert not strangers, "name its package in debian-packages.txt"


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG_LIMIT_S)
def test_a_stranger_follows_the_tutorial_in_a_fresh_clone(scratch):
    """The first command among the rest: it installs, builds, and ends with a closed account, or the page fails.

    Programs are those of the machine alone, not those of the environment that runs the tests.
    """
    commands = [command.text for block in blocks_of(TUTORIAL) for command in block.commands]
    assert "make demo" in commands
    assert follow_page(TUTORIAL, scratch, scratch / "none") == len(commands) - 2  # but git clone and cd
    changed = subprocess.run(["git", "diff", "--stat"], cwd=scratch, capture_output=True, text=True, check=True)
    assert changed.stdout == "", "make changes what is in git"
