"""The exceptions of every room, and the one place where a return code becomes one."""

from __future__ import annotations

import errno as _errno
import os


class CtoffloadError(Exception):
    """What went wrong, to what, why, and what to do next.

    `str()` gives one or two lines: the message with the errno's name, then the hint. `as_dict()` is the same for JSON.
    errno: positive, 0 where there is none; op: the call that failed; provider, port: whose it was, empty for nobody's.
    """

    def __init__(
        self,
        message: str,
        *,
        errno: int = 0,
        op: str = "",
        provider: str = "",
        port: str = "",
        hint: str = "",
    ) -> None:
        self.message = message
        self.errno = errno
        self.op = op
        self.provider = provider
        self.port = port
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        name = f" [{errno_name(self.errno)}]" if self.errno else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{self.message}{name}{hint}"

    def as_dict(self) -> dict[str, str | int]:
        """The facts as JSON keys; empty ones are left out."""
        facts: dict[str, str | int] = {
            "error": type(self).__name__,
            "message": self.message,
            "errno": self.errno,
            "errno_name": errno_name(self.errno) if self.errno else "",
            "op": self.op,
            "provider": self.provider,
            "port": self.port,
            "hint": self.hint,
        }
        return {key: value for key, value in facts.items() if value not in ("", 0)}


class UsageError(CtoffloadError):
    """The caller asked for something that cannot be: a wrong argument, a closed object. Exit status 2 in the CLI."""


class ClosedError(UsageError):
    """The object was closed, or what it stands on was."""


class SettingsError(CtoffloadError):
    """A setting has a wrong name, type or value."""


class CaptureError(CtoffloadError):
    """A capture file cannot be read or written, or was read in part."""


class EalError(CtoffloadError):
    """DPDK's environment layer could not start or refused."""


class PortError(CtoffloadError):
    """An ethdev call on a port failed."""


class FlowError(CtoffloadError):
    """An rte_flow call failed; `message` ends with what the driver said.

    cause: what of the rule the driver objects to, a number of enum rte_flow_error_type; 0: it did not say.
    """

    cause = 0


class RuleGone(FlowError):
    """The rule is no longer in the NIC: the port stopped, was reset or removed, or the rules were flushed."""


class ProviderError(CtoffloadError):
    """A provider refused, failed or broke its contract."""


def errno_name(number: int) -> str:
    """ "ENOSPC" for 28; the number as text where it has no name."""
    return _errno.errorcode.get(abs(number), str(abs(number)))


def shown(value: object) -> str:
    """A wrong value as an error shows it: quoted, in one line, not endless."""
    try:
        text = repr(value)
    except ValueError:  # of a number of thousands of digits
        text = f"<{value.bit_length()} bits>" if isinstance(value, int) else f"<{type(value).__name__}>"
    return text if len(text) <= 40 else text[:36] + " ..."


def check(
    rc: int,
    op: str,
    *,
    what: str = "",
    message: str = "",
    port: str = "",
    provider: str = "",
    hint: str = "",
    error: type[CtoffloadError] = PortError,
) -> int:
    """Returns rc when it is not negative, else raises `error`: the only way a return code becomes an exception.

    rc is 0 or more, or a negative errno, as DPDK returns it. `what` says what was attempted ("refused the rule"),
    `message` is the library's own text, copied by the caller at once.
    """
    if rc >= 0:
        return rc
    number = -rc
    reason = message or os.strerror(number)
    subject = f"{port}: " if port else f"{provider}: " if provider else ""
    done = f" {what}" if what else " failed"
    raise error(f"{subject}{op}{done}: {reason}", errno=number, op=op, port=port, provider=provider, hint=hint)
