"""Golden files: what reaches the device for chosen shapes, in a form whose diff shows what changed.

python -m standin.mlx5.golden            writes tests/standin/golden/<DPDK version>/<steering>.txt
python -m standin.mlx5.golden --check    says what differs from them, exit status 1 if anything does
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standin.mlx5.control import RuleRecord
from standin.mlx5.process import ROOT, Standin, Steering, why_unavailable
from standin.mlx5.verdicts import BENCH, SWITCH, golden_directory
from standin.mlx5.worker import Worker

# One of each kind: gate, connection by each plan, rewrites, checks, the E-Switch.
CHOSEN = (
    "in/0/any/jump",
    "in/1/v4-tcp-syn/queue",
    "in/1/v4-tcp-open/jump",
    "in/1/v4-no-fragment/jump",
    "in/1/v6-fragment/queue",
    "in/1/vlan/jump",
    "in/1/arp/queue",
    "in/2/v4-tcp/jump",
    "in/2/v4-tcp/count+jump",
    "in/2/v4-tcp/age+jump",
    "in/2/v4-tcp/age+count+queue",
    "in/2/v4-tcp/count+ct+jump",
    "in/2/v4-tcp/mark+count+rss",
    "in/2/v4-tcp/drop",
    "in/2/v4-udp/count+jump",
    "in/2/v6-tcp/count+ct+jump",
    "in/2/v6-udp/age+jump",
    "in/2/vlan-v4-tcp/count+jump",
    "in/2/vlan-v6-udp/count+jump",
    "in/2/order/mark+rewrite+count+ct+jump",
    "in/2/order/mark+count+ct+rewrite+jump",
    "in/2/v4-tcp/set-v4-nat+count+jump",
    "in/2/v4-tcp/modify-v4-nat+count+jump",
    "in/2/v4-tcp/count+modify-v4-nat+jump",
    "in/2/v4-tcp/count+ct+modify-v4-nat+jump",
    "in/2/v6-udp/modify-v6-nat+count+jump",
    "in/2/v6-udp/count+modify-v6-nat+jump",
    "in/2/v4-tcp/dec-ttl+count+jump",
    "in/3/valid/queue",
    "in/3/invalid/mark+queue",
    "out/2/v4-tcp/count+jump",
    "fdb/0/any/jump",
    "fdb/2/v4-tcp/count+port",
    "fdb/2/v4-tcp/count+ct+jump",
    "fdb/2/v6-udp/age+count+port",
    "fdb/3/valid/rewrite+port",
    "fdb/0/v4-tcp-live/count+age+port",
    "fdb/2/v6-tcp-live/count+age+port",
)


class Names:
    """Firmware's numbers differ from run to run; in a golden file the first table is t1, the next t2."""

    def __init__(self) -> None:
        self._tables: dict[int, str] = {}

    def table(self, number: int) -> str:
        return self._tables.setdefault(number, f"t{len(self._tables) + 1}")


def rewrite_text(rewrite: dict[str, Any]) -> str:
    source = rewrite.get("value") or f"{rewrite['from']}[{rewrite['from_offset']}]"
    return f"        {rewrite['rewrite']} {rewrite['field']}[{rewrite['offset']}+{rewrite['bits']}] = {source}"


def action_lines(action: dict[str, Any], names: Names) -> list[str]:
    words = [str(action["action"])]
    if action["action"] == "table":
        words.append(f"level {action['level']}" if "level" in action else names.table(action["id"]))
    words += [f"{key} {action[key]}" for key in ("value", "leads", "direction", "result") if key in action]
    return [f"      do {' '.join(words)}", *(rewrite_text(r) for r in action.get("rewrites", ()))]


def rule_text(rule: RuleRecord, names: Names) -> list[str]:
    where = f"{rule.engine} {rule.domain} "
    where += names.table(rule.table) if rule.engine == "hardware" else f"level {rule.table} priority {rule.priority}"
    return [
        f"    {where}",
        *(f"      match {m['field']} = {m['value']} mask {m['mask']}" for m in rule.match),
        *(line for action in rule.actions for line in action_lines(action, names)),
    ]


def shape_text(worker: Worker, shape: str, names: Names) -> list[str]:
    """The rules that came of one shape; more than one where the driver splits it or makes it for both sides."""
    before = {rule.number for rule in worker.control.rules()}
    said = worker.call("try_make", shape)
    made = [rule for rule in worker.control.rules() if rule.number not in before]
    lines = [shape, f"    refused: {said['message'].partition('refused ')[2]}"] if said else [shape]
    for rule in [] if said else made:
        lines += rule_text(rule, names)
    worker.call("destroy_last")
    return lines


def golden(steering: Steering) -> str:
    lines: list[str] = []
    names = Names()
    for prefix in (("in/", "out/"), ("fdb/",)):
        options = SWITCH if prefix == ("fdb/",) else {}
        with Worker(Standin(steering, **options), BENCH) as worker:  # type: ignore[arg-type]
            worker.call("start", worker.nic.eal_args(), steering is Steering.HARDWARE)
            for shape in CHOSEN:
                if shape.startswith(prefix):
                    lines += [*shape_text(worker, shape, names), ""]
    return "\n".join(lines)


def path_of(steering: Steering) -> Path:
    return golden_directory() / f"{steering.name.lower()}.txt"


def difference_of(path: Path, found: str) -> str:
    """A diff from a golden file to what was found; empty where they agree."""
    known = path.read_text().splitlines(True)
    return "".join(difflib.unified_diff(known, found.splitlines(True), str(path.relative_to(ROOT)), "now"))


def difference(steering: Steering) -> str:
    """A diff from the file in the repository to what the driver makes now; empty where they agree."""
    return difference_of(path_of(steering), golden(steering))


def main_of(make: Callable[[Steering], str], place: Callable[[Steering], Path], description: str) -> int:
    """Writes what `make` gives for each steering to its place, or with --check compares the two."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="compare with the files in the repository, write nothing")
    check = parser.parse_args().check
    reason = why_unavailable()
    if reason:
        print(f"golden: {reason}", file=sys.stderr)
        return 1
    if check:
        changed = "".join(difference_of(place(steering), make(steering)) for steering in Steering)
        print(changed or "as in the repository")
        return 1 if changed else 0
    golden_directory().mkdir(parents=True, exist_ok=True)
    for steering in Steering:
        place(steering).write_text(make(steering))
        print(place(steering).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main_of(golden, path_of, "what reaches the device for chosen rules"))
