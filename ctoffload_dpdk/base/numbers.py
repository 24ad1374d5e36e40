"""Numbers from outside: whole, and within what their place takes, before they become numbers of C."""

from __future__ import annotations

import errno as _errno
import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ctoffload_dpdk.base.errors import UsageError, shown


def whole(value: object, lowest: int, highest: int, what: str, *, errno: int = _errno.EINVAL) -> int:
    """The number. what: whose it is, as the error begins: "flush: zone".

    Raises UsageError with this errno for what is no whole number, and for one that is not between the two.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type] # what is none raises
    except TypeError:
        raise UsageError(f"{what} {shown(value)} is no whole number", errno=errno) from None
    if not lowest <= number <= highest:
        raise UsageError(f"{what} {shown(number)} is not between {lowest} and {highest}", errno=errno)
    return number


def wholes(values: object, dtype: DTypeLike, what: str) -> NDArray[Any]:
    """The values as an array of an integer dtype: as they are where they have it, else a copy.

    Raises UsageError EINVAL for what are no whole numbers, and for one that does not fit.
    """
    try:
        array = np.asarray(values)
        # Of numbers on both sides of 2^63 numpy makes floats, which are no longer the same.
        if array.dtype.kind == "f" and not isinstance(values, np.ndarray):
            array = np.asarray(values, object)
    except (ValueError, TypeError):
        raise UsageError(f"{what} is no array of numbers", errno=_errno.EINVAL) from None
    bounds = np.iinfo(np.dtype(dtype))
    if array.size and not np.can_cast(array.dtype, bounds.dtype):
        if array.dtype.kind in "iu":
            ends = [array.min(), array.max()]
        elif array.dtype == object:  # of Python's numbers
            ends = list(array.flat)
        else:
            raise UsageError(f"{what} are no whole numbers but {array.dtype}", errno=_errno.EINVAL)
        for end in ends:
            whole(end, bounds.min, bounds.max, what)
    return array.astype(bounds.dtype, copy=False)
