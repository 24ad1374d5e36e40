"""What is wrong with a lab: the first line says what, the second how to mend it."""

from __future__ import annotations

from ctoffload_dpdk.base.errors import CtoffloadError


class LabError(CtoffloadError):
    """The lab is not as the tests need it. `str()` gives two lines: what is wrong, and the hint."""

    def __init__(self, message: str, hint: str, *, port: str = "") -> None:
        super().__init__(message, hint=hint, port=port)


class BenchDied(CtoffloadError):
    """The process under test ended in the middle of a call."""


class BenchError(CtoffloadError):
    """A call of the process under test failed there; `kind` is the exception's name."""

    kind = ""
