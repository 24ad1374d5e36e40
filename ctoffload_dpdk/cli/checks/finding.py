"""What one check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """ok: as it should be; warn: works, but not as well; fail: does not work; unknown: could not be seen from here."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """check: its name, kebab-case; device: PCI address, empty where it is the machine; mend: the command that helps."""

    check: str
    verdict: Verdict
    says: str
    device: str = ""
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """The facts as JSON keys; empty ones are left out."""
        return {key: str(value) for key, value in asdict(self).items() if value}


def ok(check: str, says: str, device: str = "", mend: str = "") -> Finding:
    return Finding(check, Verdict.OK, says, device, mend)


def warn(check: str, says: str, device: str = "", *, mend: str) -> Finding:
    return Finding(check, Verdict.WARN, says, device, mend)


def fail(check: str, says: str, device: str = "", *, mend: str) -> Finding:
    return Finding(check, Verdict.FAIL, says, device, mend)


def unknown(check: str, says: str, device: str = "", *, mend: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, says, device, mend)
