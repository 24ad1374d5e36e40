"""Results of asynchronous operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Pulled:
    """One entry per operation that ended: the user_data it was given, and whether it succeeded."""

    user_data: NDArray[np.uint64]
    is_ok: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user_data)
