"""Speed bars. Each module here has `rows() -> Iterable[Row]`; `make bench` runs all, prints bar, figure, control.

A figure is a median over interleaved pairs of (ours, control) taken in one run, so that the machine's drift hits both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

PAIRS = 11


@dataclass(frozen=True)
class Row:
    """One speed bar and what was measured.

    figure and bar in `unit`; control: the plain C loop (or whatever `against` names) of the same run, in the same unit;
    reference: the control's value on the machine the bar was set on. The bar moves with control / reference.
    """

    name: str
    unit: str
    figure: float
    bar: float
    at_most: bool
    control: float
    reference: float
    against: str
    low: float
    high: float

    @property
    def scaled_bar(self) -> float:
        """The bar for this machine at this hour."""
        scale = self.control / self.reference if self.reference else 1.0
        return self.bar * scale if self.at_most else self.bar / scale

    @property
    def passed(self) -> bool:
        return self.figure <= self.scaled_bar if self.at_most else self.figure >= self.scaled_bar


@dataclass(frozen=True)
class Paired:
    """Medians of interleaved pairs; low and high are the quartiles of `ours`."""

    ours: float
    control: float
    low: float
    high: float


def paired(ours: Callable[[], float], control: Callable[[], float], pairs: int = PAIRS) -> Paired:
    """Runs ours, control, ours, control, ...; each call returns its own figure."""
    taken = [(ours(), control()) for _ in range(pairs)]
    figures = sorted(o for o, _ in taken)
    low, _, high = statistics.quantiles(figures, n=4)
    return Paired(statistics.median(figures), statistics.median(c for _, c in taken), low, high)
