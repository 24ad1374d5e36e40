"""The documentation as a site: tables are their data, no warning in the making, nothing loaded from elsewhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from doc_pages import ROOT, documented_modules, pages, public

sys.path.append(str(ROOT))

from build_support import doc_tables

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,3} (.*)$", re.MULTILINE)  # as far down as the site makes anchors: conf.py
FENCED = re.compile(r"^\s*(`{3,}|~{3,}).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
# Where the pages lead out of the repository; whether somebody answers there is not for a test without network.
ELSEWHERE = {
    "https://keepachangelog.com/en/1.1.0/",
    "https://labgrid.readthedocs.io",
    "https://prometheus.io/",
    "https://semver.org/spec/v2.0.0.html",
}
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", doc_tables.TABLES)
def test_a_table_is_what_its_data_says(name):
    path, make = doc_tables.TABLES[name]
    assert make().count("\n") >= 2
    assert (ROOT / path).read_text() == doc_tables.with_table(name), f"{path}: python -m build_support.doc_tables"


def test_every_reason_is_listed():
    from ctoffload_dpdk.base.reasons import Reason  # noqa: PLC0415

    text = doc_tables.reasons()
    assert not [reason for reason in Reason if reason.value and f"| `{reason.text}` |" not in text]


def test_the_installed_dpdk_is_in_the_table_of_releases():
    from build_support import dpdk  # noqa: PLC0415

    assert f"| {dpdk.version()} |" in doc_tables.compatibility()


def links() -> list[tuple[Path, str]]:
    """(page, target) of every link and picture of every page, outside of code."""
    everything = [*pages(), ROOT / "CHANGELOG.md"]
    return [(page, target) for page in everything for target in LINK.findall(FENCED.sub("", page.read_text()))]


def anchors(page: Path) -> set[str]:
    """Those that headings make, as the site and code hosts name them."""
    found = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings(page)]
    return {name if not found[:n].count(name) else f"{name}-{found[:n].count(name)}" for n, name in enumerate(found)}


def headings(page: Path) -> list[str]:
    return HEADING.findall(FENCED.sub("", page.read_text()))


def test_links_within_the_repository_lead_to_a_file_and_a_heading_of_it():
    broken = []
    for page, target in links():
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if "://" not in target and not (there.exists() and (not anchor or anchor in anchors(there))):
            broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
    assert len(links()) > 50


def test_links_to_elsewhere_are_few_and_known():
    assert {target for _, target in links() if "://" in target} == ELSEWHERE


def test_every_page_is_in_the_site():
    docs = ROOT / "docs"
    reached, left = set(), [docs / "index.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for body in TOCTREE.findall(page.read_text()):
            names = [line for line in body.splitlines() if line and not line.startswith(":")]
            found = [(page.parent / f"{name}.md").resolve() for name in names]
            left += [one for one in found if one not in reached]
    assert set(docs.rglob("*.md")) == reached, "name the page in a toctree of docs/*/index.md"


def test_every_room_is_in_the_python_reference():
    """But for those that are programs: the command line has a page of its own, the demo is one of its commands."""
    rooms = {path.parent.name for path in (ROOT / "ctoffload_dpdk").glob("*/__init__.py")}
    pages_of_rooms = "".join(page.read_text() for page in (ROOT / "docs" / "reference" / "api").glob("*.md"))
    written = set(re.findall(r"automodule:: ctoffload_dpdk\.(\w+)", pages_of_rooms))
    assert rooms - written == {"cli", "demo"}


@pytest.fixture(scope="module")
def site() -> Path:
    """Made of the tree as it stands; a warning is an error."""
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1100)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return ROOT / "build" / "site"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_site_is_made_without_a_warning_and_of_its_own(site):
    assert "ctoffload demo [OPTIONS]" in text_of(site / "reference" / "command-line.html")
    assert "One shard of connection tracking" in text_of(site / "reference" / "api" / "conntrack.html")
    assert not loaded_from_elsewhere(site)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_public_name_and_method_is_in_the_site(site):
    listed = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode().splitlines()
    told = {line.split()[0] for line in listed if " py:" in line}
    ends = {".".join(name.split(".")[-n:]) for name in told for n in (1, 2)}
    for name in documented_modules():
        for face, value in public(importlib.import_module(name)).items():
            assert face in ends, f"{name}.{face}"
            own = vars(value) if isinstance(value, type) and value.__module__.startswith("ctoffload_dpdk") else {}
            told_of = [n for n, one in own.items() if n[0] != "_" and (callable(one) or isinstance(one, property))]
            assert not [f"{name}.{face}.{n}" for n in told_of if f"{value.__name__}.{n}" not in ends]


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]*>", "", page.read_text())


def loaded_from_elsewhere(site: Path) -> list[str]:
    """What a browser would fetch from another host."""
    fetched = re.compile(r"""(?:src=|<link[^>]*href=|url\()["']?(https?:)?//[^"')\s>]+""")
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    return [f"{path}: {hit[0]}" for path in files for hit in [fetched.search(path.read_text())] if hit]
