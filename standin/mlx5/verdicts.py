"""The verdict table: what the driver says to every shape of rule, with software and with hardware steering.

    python -m standin.mlx5.verdicts            writes tests/standin/golden/<DPDK version>/verdicts.json
    python -m standin.mlx5.verdicts --check    says what differs from it, exit status 1 if anything does

One line per shape; docs/standin.md says how to read it.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from build_support import dpdk
from standin.mlx5.control import Complaint, Refusal
from standin.mlx5.process import ROOT, Standin, Steering, why_unavailable
from standin.mlx5.worker import Worker, WorkerDied, WorkerError

BENCH = Path(__file__).with_name("bench.py")
PROFILE = "permissive"
SWITCH = {"n_ports": 3, "options": "representor=vf[0-1]"}

# enum rte_flow_error_type of 22.11, without its prefix.
ERROR_TYPES = (
    *("NONE", "UNSPECIFIED", "HANDLE"),
    *("ATTR_GROUP", "ATTR_PRIORITY", "ATTR_INGRESS", "ATTR_EGRESS", "ATTR_TRANSFER", "ATTR"),
    *("ITEM_NUM", "ITEM_SPEC", "ITEM_LAST", "ITEM_MASK", "ITEM"),
    *("ACTION_NUM", "ACTION_CONF", "ACTION", "STATE"),
)

Verdict = dict[str, Any] | str
Table = dict[str, dict[str, Verdict]]


def golden_directory() -> Path:
    """What is known of the driver of the installed DPDK."""
    return ROOT / "tests" / "standin" / "golden" / dpdk.version()


def table_path() -> Path:
    return golden_directory() / "verdicts.json"


def verdict_of(said: dict[str, Any], complaints: list[Complaint], refusals: list[Refusal]) -> Verdict:
    """One answer in words. said: what the binding raised; complaints, refusals: what the driver and libmlx5 said."""
    if not said:
        return "accepted"
    own = next((c for c in reversed(complaints) if said["message"].endswith(c.message)), None)
    verdict: dict[str, Any] = {
        "at": said["op"],
        "errno": errno.errorcode.get(said["errno"], "left over"),
        "type": ERROR_TYPES[own.type] if own else "NONE",
        "message": own.message if own else said["message"],
    }
    if refusals:
        verdict["libmlx5"] = refusals[-1].why
    return verdict


class Judge:
    """One configuration of the driver; restarted where a shape crashes it."""

    def __init__(self, steering: Steering, needs_switch: bool) -> None:
        self.steering = steering
        self.options: dict[str, Any] = SWITCH if needs_switch else {}
        self.worker = self.start()

    def start(self) -> Worker:
        worker = Worker(Standin(self.steering, profile=PROFILE, **self.options), BENCH)
        try:
            worker.call("start", worker.nic.eal_args(), self.steering is Steering.HARDWARE)
        except (WorkerError, WorkerDied):
            worker.close()
            raise
        return worker

    def ask(self, function: str, shape: str) -> Verdict:
        control = self.worker.control
        control.complaints()
        control.refusals()
        said = self.worker.call(function, shape)
        return verdict_of(said, control.complaints(), control.refusals())

    def judge(self, shape: str) -> Verdict:
        try:
            verdict = self.ask("try_create", shape)
            if self.steering is Steering.SOFTWARE:
                validated = self.ask("try_validate", shape)
                if (validated == "accepted") != (verdict == "accepted"):
                    verdict = {"create": verdict, "validate": validated}
        except WorkerDied as died:
            self.worker.close()
            self.worker = self.start()
            return {"crash": str(died).partition(";")[0]}
        return verdict

    def close(self) -> None:
        status = self.worker.close()
        if status:
            raise WorkerDied(f"the driver did not stop well: status {status}")


def verdicts(steering: Steering, needs_switch: bool) -> Iterator[tuple[str, Verdict]]:
    judge = Judge(steering, needs_switch)
    try:
        for shape in judge.worker.call("shape_names", needs_switch):
            yield shape, judge.judge(shape)
    finally:
        judge.close()


def make_table() -> Table:
    """Every shape's verdicts, by steering."""
    table: Table = {}
    for needs_switch in (False, True):
        for steering in Steering:
            for shape, verdict in verdicts(steering, needs_switch):
                table.setdefault(shape, {})[steering.name.lower()] = verdict
    return table


def as_text(table: Table) -> str:
    head = {"schema": 1, "dpdk": dpdk.version(), "driver": "mlx5_pci", "profile": PROFILE}
    lines = [json.dumps({"shape": shape, **found}) for shape, found in table.items()]
    return "".join([json.dumps(head)[:-1], ', "shapes": [\n', ",\n".join(lines), "\n]}\n"])


def read(path: Path) -> Table:
    shapes = json.loads(path.read_text())["shapes"]
    return {row["shape"]: {k: v for k, v in row.items() if k != "shape"} for row in shapes}


def differences(known: Table, found: Table) -> list[str]:
    """What changed, one line per shape."""
    return [
        f"{shape}: {json.dumps(known.get(shape))} -> {json.dumps(found.get(shape))}"
        for shape in {**known, **found}
        if known.get(shape) != found.get(shape)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="what the mlx5 driver says to every shape of rule")
    parser.add_argument("--check", action="store_true", help="compare with the table in the repository, write nothing")
    check = parser.parse_args().check
    reason = why_unavailable()
    if reason:
        print(f"verdicts: {reason}", file=sys.stderr)
        return 1
    table = make_table()
    path = table_path()
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_text(table))
        print(f"{path.relative_to(ROOT)}: {len(table)} shapes")
        return 0
    changed = differences(read(path), table)
    print("\n".join(changed) or f"{len(table)} shapes as in {path.relative_to(ROOT)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
