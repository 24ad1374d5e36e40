"""Which CPUs the loops run on, as OVS's pmd-cpu-mask says it: 0x6 is CPUs 1 and 2."""

from __future__ import annotations

from collections.abc import Iterable

MAX_CPU = 1023  # of a set of CPUs as Linux's C library has it
CPUS_FORM = "a mask of CPUs in hexadecimal, as 0x6 for CPUs 1 and 2; empty: any CPU"


def cpus(mask: str) -> tuple[int, ...]:
    """The CPUs of a mask, lowest first; of an empty text, none.

    Raises ValueError for what is no mask, a mask without a CPU, and CPUs above 1023.
    """
    digits = mask.strip().lower().removeprefix("0x")
    if not mask.strip():
        return ()
    if not digits.isalnum() or not digits.isascii() or len(digits) > (MAX_CPU + 1) // 4:
        raise ValueError(f"{mask!r} is no mask")
    bits = int(digits, 16)
    if not bits:
        raise ValueError("a mask without a CPU")
    return tuple(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def mask_of(found: Iterable[int]) -> str:
    """The mask of some CPUs: "0x6" of 1 and 2."""
    return hex(sum(1 << cpu for cpu in set(found)))
