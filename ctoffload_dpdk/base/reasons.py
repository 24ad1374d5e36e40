"""Why a connection is not in hardware: the closed list of ct_offload.h, for Python."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """One value per CT_OFFLOAD_REASON_*; `text` is the word users see."""

    NONE = 0
    PROTO = 1
    ALG = 2
    FRAGMENT = 3
    NOT_ESTABLISHED = 4
    CLOSING = 5
    BACK_OFF = 6
    POLICY = 7
    RATE_LIMITED = 8
    DISABLED = 9
    NO_PROVIDER = 10
    NO_PORT = 11
    PORT_DOWN = 12
    PORT_PAIR = 13
    NO_CAPABILITY = 14
    NO_LAST_USED = 15
    TABLE_FULL = 16
    INSERT_FAILED = 17
    PROVIDER_REFUSED = 18
    PROVIDER_STALLED = 19
    PENDING_DELETE = 20
    NAT_UNSUPPORTED = 21
    ZONE_UNSUPPORTED = 22

    @property
    def text(self) -> str:
        """The word of the one grammar: "not-established"."""
        return self.name.lower().replace("_", "-")
