"""Runs the suite for labs as its users do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900
# `make test-all` sets it: what takes minutes.
EVERYTHING = os.environ.get("CTOFFLOAD_ALL") == "1"


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The suite with these arguments, from the repository's root."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "hw-tests", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S,
                          env={**os.environ, **(environment or {})})  # fmt: skip


def words(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def passed(done: subprocess.CompletedProcess[str]) -> int:
    """How many tests passed; fails with the run's words where one did not."""
    assert done.returncode == 0, words(done)[-6000:]
    found = re.search(r"(\d+) passed", done.stdout)
    assert found, done.stdout[-2000:]
    return int(found[1])


def several(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Status and words of each run of the suite, all in one process: {"arguments": [...], "environment": {...}}."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("several.py")), json.dumps(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S)
    assert done.returncode == 0, words(done)[-4000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.rpartition("ANSWER ")[2])
    return found


class Page(HTMLParser):
    """What a page consists of, and what it would fetch from elsewhere."""

    FETCHES = ("src", "srcset", "href", "xlink:href", "data", "action", "poster", "background")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.fetched: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self._inside = tag
        self.fetched += [f"{tag} {name}={value}" for name, value in attrs if name in self.FETCHES]
        self.fetched += [f"{tag} {value}" for name, value in attrs if name == "style" and value and "url(" in value]

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.fetched += re.findall(r"url\([^)]*\)|@import[^;]*", data)
