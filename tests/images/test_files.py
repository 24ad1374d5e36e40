"""The files that images are built from: pinned, unprivileged, and free of addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
FILES = [*DOCKERFILES, ROOT / "docker" / "compose.yaml", ROOT / ".devcontainer" / "devcontainer.json"]
HOST = re.compile(r"\b[a-z0-9-]+\.(?:com|org|io|net|dev|cloud)\b|://|\b\d{1,3}(?:\.\d{1,3}){3}\b")


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, the rest) of a Dockerfile; lines that go on are joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_there_are_three():
    assert [path.stem for path in DOCKERFILES] == ["development", "dpdk", "runtime"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_host_is_named(path):
    assert not HOST.findall(path.read_text())


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_the_base_is_an_argument_and_pinned(path):
    found = instructions(path)
    assert found[0][0] == "ARG"
    assert re.fullmatch(r"BASE=debian:12\.\d+-slim", found[0][1])
    stages = [rest.split()[0] for word, rest in found if word == "FROM"]
    assert stages
    assert set(stages) == {"${BASE}"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_it_runs_as_an_unprivileged_user(path):
    found = instructions(path)
    last = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    users = [rest for word, rest in found[last:] if word == "USER"]
    assert users
    assert users[-1] not in {"root", "0"}
    assert re.search(rf"useradd [^&|]*\b{users[-1]}\b", path.read_text())


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_packages_come_without_recommendations_and_by_the_lock_files(path):
    for word, rest in instructions(path):
        for step in rest.split("&&") if word == "RUN" else ():
            if "apt-get" in step and " install " in step:
                assert "--no-install-recommends" in step, step
            if "pip" in step and (" install " in step or " download " in step):
                assert "--require-hashes" in step or "--no-index" in step, step


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_the_last_stage_keeps_no_lists_of_packages(path):
    found = instructions(path)
    last = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    for word, rest in found[last:]:
        if word == "RUN" and "apt-get" in rest and "update" in rest:
            assert "rm -rf" in rest
            assert "/var/lib/apt/lists/*" in rest


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there(path):
    for word, rest in instructions(path):
        if word == "COPY" and not rest.startswith("--from"):
            sources = [one for one in rest.split()[:-1] if "$" not in one]
            assert all((ROOT / one).exists() for one in sources), rest


def test_nothing_built_goes_into_an_image():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", ".stamps", "build", "**/*.so"} <= set(ignored)


def test_the_development_container_is_the_development_image():
    asked = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    here = ROOT / ".devcontainer"
    assert (here / asked["build"]["dockerfile"]).resolve() == ROOT / "docker" / "development.Dockerfile"
    assert ("USER", asked["remoteUser"]) in instructions(ROOT / "docker" / "development.Dockerfile")


# The properties that the specification of development containers knows.
PROPERTIES = {
    "name", "image", "build", "dockerComposeFile", "service", "features", "forwardPorts", "portsAttributes",
    "otherPortsAttributes", "containerEnv", "remoteEnv", "containerUser", "remoteUser", "updateRemoteUserUID",
    "userEnvProbe", "overrideCommand", "shutdownAction", "init", "privileged", "capAdd", "securityOpt", "mounts",
    "runArgs", "workspaceMount", "workspaceFolder", "initializeCommand", "onCreateCommand", "updateContentCommand",
    "postCreateCommand", "postStartCommand", "postAttachCommand", "waitFor", "customizations", "hostRequirements",
}  # fmt: skip


def test_the_development_container_says_what_the_specification_knows():
    """Whoever reads it ignores what it does not know, so that a slip would not show."""
    asked = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert set(asked) <= PROPERTIES
    assert set(asked["build"]) <= {"dockerfile", "context", "args", "options", "target", "cacheFrom"}
    assert not {"privileged", "capAdd", "runArgs"} & set(asked), "it needs no rights"


def test_rights_are_given_by_name_and_to_root_alone():
    """Whatever has a capability in compose says so; nothing is privileged."""
    text = (ROOT / "docker" / "compose.yaml").read_text()
    assert "privileged" not in text.replace("no-new-privileges", "")
    services = re.split(r"^  (?=[a-z-]+:\n)", text, flags=re.MULTILINE)[1:]
    assert len(services) == 3
    for service in services:
        assert 'cap_drop: ["ALL"]' in service
        assert ("cap_add" in service) == ("user: root" in service)
