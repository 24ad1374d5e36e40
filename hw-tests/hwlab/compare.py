"""What became worse, and better, since an earlier run.

python -m hwlab.compare EARLIER.json NOW.json        with hw-tests on PYTHONPATH; status 1: there are regressions
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# A figure is called worse when it lost more than this; rates on a shared machine vary by less.
WORSE = 0.10


def compared(earlier: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Sentences: regressions, improvements, notes; and each figure of both runs with its ratio."""
    regressions, improvements, figures = [], [], []
    for test, was in earlier["tests"].items():
        became = now["tests"].get(test)
        if became is not None and worse_outcome(was["outcome"], became["outcome"]):
            why = f": {became['why'].splitlines()[0]}" if became["why"] else ""
            regressions.append(f"{test} {was['outcome']} then, {became['outcome']} now{why}")
    before = {(f["test"], f["name"]): f for f in earlier["figures"]}
    for figure in now["figures"]:
        was = before.get((figure["test"], figure["name"]))
        if was is None or not is_rate(figure) or not was["value"]:
            continue
        ratio = figure["value"] / was["value"]
        gain = 1 / ratio if figure.get("lower_is_better") and ratio else ratio
        figures.append({**figure, "was": was["value"], "ratio": ratio, "is_worse": gain < 1 - WORSE})
        values = f"{number(was['value'])} then, {number(figure['value'])} {figure['unit']} now"
        line = f"{figure['name']}: {values} ({ratio:.2f} times)"
        if gain < 1 - WORSE:
            regressions.append(line)
        elif gain > 1 + WORSE:
            improvements.append(line)
    return {
        "regressions": regressions,
        "improvements": improvements,
        "notes": notes(earlier, now),
        "figures": figures,
        "earlier": {key: earlier[key] for key in ("dut", "began", "dpdk", "machine", "ports")},
    }


def worse_outcome(was: str, became: str) -> bool:
    order = ("passed", "skipped", "failed")
    return order.index(became) > order.index(was)


def is_rate(figure: dict[str, Any]) -> bool:
    """Whether more, or less, of it is better."""
    return bool(figure.get("lower_is_better")) or figure["unit"].endswith("/s")


def notes(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between the runs besides their results."""
    found = []
    pairs = [("device", earlier["dut"], now["dut"]), ("DPDK", earlier["dpdk"], now["dpdk"])]
    pairs += [
        (f"machine's {key}", earlier["machine"][key], now["machine"].get(key)) for key in ("host", "cpu", "kernel")
    ]
    for was, port in zip(earlier["ports"], now["ports"], strict=False):
        pairs += [(f"{port['name']}'s {key}", was[key], port[key]) for key in ("driver", "firmware")]
    for what, was, became in pairs:
        if was != became:
            found.append(f"the {what} was {was or 'not told'}, is {became or 'not told'}")
    return found


def number(value: float) -> str:
    """1234567 as 1.23 M, 12345 as 12.3 k, 1024 and 999.9 as whole numbers, 0.5 as 0.5."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e4):
            return f"{value / unit:.3g} {letter}"
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python -m hwlab.compare EARLIER.json NOW.json", file=sys.stderr)
        return 2
    from hwlab.errors import LabError  # noqa: PLC0415
    from hwlab.report import read  # noqa: PLC0415 - it imports this

    try:
        found = compared(*(read(Path(name)) for name in sys.argv[1:]))
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    for word in ("regressions", "improvements", "notes"):
        for line in found[word]:
            print(f"{word[:-1]}: {line}")
    print(f"{len(found['regressions'])} regressions in {len(found['figures'])} figures")
    return 1 if found["regressions"] else 0


if __name__ == "__main__":
    sys.exit(main())
