"""The report as one page that stands by itself: no script, no file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import Any

from hwlab.compare import number
from hwlab.plot import bars, spreads

STYLE = """
:root { --ink: #1c2733; --soft: #5b6b7b; --line: #e1e7ed; --ground: #f6f8fa; --card: #fff; --blue: #2f6db5;
        --good: #1f7a4d; --bad: #b3261e; --wait: #946200; }
@media (prefers-color-scheme: dark) { :root { --ink: #dde5ec; --soft: #94a3b3; --line: #2c3742; --ground: #11171d;
        --card: #192129; --blue: #6aa6ea; --good: #5cc48d; --bad: #f08a82; --wait: #e0b04c; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px }
h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 18px; margin: 36px 0 12px } p { margin: 4px 0 }
.soft, td.soft { color: var(--soft) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0 }
.tile, figure, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px }
.tile b { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums }
figure { margin: 0 0 14px } svg { width: 100%; height: auto; display: block }
svg text { fill: var(--ink); font: 12.5px system-ui, sans-serif } svg .title { font-weight: 600; font-size: 13.5px }
svg .tick, svg .value { fill: var(--soft) } .grid { stroke: var(--line) }
.whisker { stroke: var(--blue); stroke-width: 1.5 } .box { fill: var(--blue); opacity: .3 }
.median { stroke: var(--blue); stroke-width: 2.5 } .bar { fill: var(--blue); opacity: .8 }
.then { stroke: var(--ink); stroke-width: 2; stroke-dasharray: 3 2 }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line) }
td, th { text-align: left; padding: 7px 14px; border-top: 1px solid var(--line); vertical-align: top }
td { overflow-wrap: anywhere } td.passed, td.failed, td.skipped { white-space: nowrap }
tr:first-child td, tr:first-child th { border-top: 0 } th { font-weight: 600; white-space: nowrap }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.passed { color: var(--good) } .failed { color: var(--bad); font-weight: 600 } .skipped { color: var(--wait) }
details { margin: 8px 0 } summary { cursor: pointer } pre { white-space: pre-wrap; font-size: 12.5px; margin: 4px 0 }
"""


def page(now: dict[str, Any], differences: dict[str, Any]) -> str:
    """The whole page."""
    parts = [
        f"<h1>{escape(now['dut'])}</h1>",
        f'<p class="soft">ctoffload-dpdk, tests on a NIC. {escape(now["began"])}, {now["seconds"]:.0f} s</p>',
        tiles(now, differences),
        changes(differences),
        "<h2>What was tested</h2>",
        table(facts(now)),
        *figures(now, differences),
        "<h2>Tests</h2>",
        tests(now["tests"]),
        *capabilities(now["figures"]),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(now['dut'])}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def tiles(now: dict[str, Any], differences: dict[str, Any]) -> str:
    outcomes = [test["outcome"] for test in now["tests"].values()]
    shown = [(word, outcomes.count(word), word) for word in ("passed", "failed", "skipped")]
    if differences:
        n = len(differences["regressions"])
        shown.append(("regressions", n, "failed" if n else "passed"))
    return f'<div class="tiles">{"".join(tile(*one) for one in shown)}</div>'


def tile(word: str, n: int, colour: str) -> str:
    return f'<div class="tile"><b class="{colour if n or word == "regressions" else "soft"}">{n}</b>{word}</div>'


def changes(differences: dict[str, Any]) -> str:
    """What differs from the earlier run."""
    if not differences:
        return ""
    earlier = differences["earlier"]
    lines = [f"<h2>Since {escape(earlier['began'])}</h2>", '<div class="card">']
    for word, colour in (("regressions", "failed"), ("improvements", "passed"), ("notes", "soft")):
        lines += [f'<p class="{colour}">{word[:-1]}: {escape(line)}</p>' for line in differences[word]]
    if not differences["regressions"]:
        lines.append('<p class="passed">no regression</p>')
    return "".join([*lines, "</div>"])


def facts(now: dict[str, Any]) -> Iterator[tuple[str, str]]:
    machine = now["machine"]
    yield "machine", f"{machine['host']}: {machine['cpus']} x {machine['cpu']}, kernel {machine['kernel']}"
    yield "DPDK", f"{now['dpdk']}, Python {now['python']}"
    for port in now["ports"]:
        switch = "no switch" if port["switch_domain"] is None else f"switch {port['switch_domain']}"
        words = [port["driver"], f"firmware {port['firmware'] or 'not told'}", switch]
        yield port["name"], ", ".join([*words, "representor"] if port["is_representor"] else words)


def table(rows: Iterable[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in rows)}</table>"


def figures(now: dict[str, Any], differences: dict[str, Any]) -> Iterator[str]:
    """Rates as bars, percentiles as boxes, the rest as a table."""
    was = {(f["test"], f["name"]): f["was"] for f in differences.get("figures", ())}
    plain = [f for f in now["figures"] if "table" not in f]
    if not plain:
        return
    yield "<h2>Figures</h2>"
    rates = [f for f in plain if f["unit"].endswith("/s")]
    for unit in sorted({f["unit"] for f in rates}):
        rows = [(f["name"], f["value"], was.get((f["test"], f["name"]))) for f in rates if f["unit"] == unit]
        dashed = "; dashed: the earlier run" if any(row[2] is not None for row in rows) else ""
        yield bars(f"Rates, {unit}{dashed}", unit, rows)
    spread = [f for f in plain if f.get("spread") and f["spread"]["max"] > 0]
    for unit in sorted({f["unit"] for f in spread}):
        rows = [(short(f["name"]), f["spread"]) for f in spread if f["unit"] == unit]
        yield spreads(f"Spread, {unit}: p1 to p99, half of it in the box, the median", unit, rows)
    others = [f for f in plain if f not in rates and f not in spread]
    if others:
        yield table((f["name"], f"{number(f['value'])} {f['unit']}") for f in others)


def short(name: str) -> str:
    return name.partition(": a call")[0] if ": a call" in name else name


def tests(found: dict[str, dict[str, Any]]) -> str:
    rows = []
    for file, group in groupby(found.values(), key=lambda test: test["file"]):
        rows.append(f'<tr><th colspan="3">{escape(file)}</th></tr>')
        for test in group:
            name = test["name"].removeprefix("test_").replace("_", " ", test["name"].partition("[")[0].count("_"))
            words = escape(name.replace("[", " [")) + why(test)
            rows.append(
                f'<tr><td class="{test["outcome"]}">{test["outcome"]}</td><td>{words}</td>'
                f'<td class="n soft">{test["seconds"]:.1f} s</td></tr>'
            )
    return f"<table>{''.join(rows)}</table>"


def why(test: dict[str, Any]) -> str:
    """The first line of the reason; the rest on demand."""
    first, _, rest = test["why"].partition("\n")
    if not first:
        return ""
    if not rest.strip():
        return f'<div class="soft">{escape(first)}</div>'
    return f'<details class="soft"><summary>{escape(first)}</summary><pre>{escape(rest)}</pre></details>'


def capabilities(found: list[dict[str, Any]]) -> Iterator[str]:
    """What each port was found able to do, with the evidence."""
    for one in (f for f in found if "table" in f):
        yield f"<h2>{escape(one['name'])}: {one['value']} {escape(one['unit'])}</h2>"
        rows = "".join(capability(row) for row in one["table"])
        yield f"<details><summary>each with its evidence</summary><table>{rows}</table></details>"


def capability(row: dict[str, Any]) -> str:
    has = {True: "yes", False: "no", None: "?"}[row["has"]]
    colour = "passed" if row["has"] else "soft"
    return (
        f'<tr><td class="{colour}">{has}</td><th>{escape(row["cap"])}</th><td>{escape(row["domain"])}</td>'
        f'<td class="soft">{escape(row["evidence"])}</td></tr>'
    )
