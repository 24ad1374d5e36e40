"""dpctl's commands for limits: of all connections, of zones; the sequence check; the sweep."""

from __future__ import annotations

import errno

from ctoffload_dpdk.base.errors import CtoffloadError
from ctoffload_dpdk.control.dpctl import ANY, Arguments, DpctlCommand, DpctlError, begins_with, number_of
from ctoffload_dpdk.control.system import System

MAX_CONNECTIONS, DEFAULT_LIMIT = "ct-offload-max-connections", "ct-offload-zone-limit"
SEQUENCE_CHECK = "ct-offload-tcp-sequence-check"
MAX_LIMIT = 1 << 32
N_ZONES = 1 << 16


def set_value(system: System, name: str, attribute: str, value: int | bool, where: str) -> None:
    """Sets a setting by its source of run-time commands; in an engine without configuration, where it takes effect.

    Raises DpctlError for a value it cannot have, EBUSY where it waits for the next start.
    """
    if system.configured is None:
        setattr(system.engine.conntrack, attribute, value)
        return
    try:
        waiting = system.setting(name, value, f"dpctl/{where}")
    except CtoffloadError as error:
        raise DpctlError(error.message, error.errno or errno.EINVAL) from None
    if name in waiting:
        raise DpctlError(f"{name} takes effect at the next start", errno.EBUSY)


def get_maxconns(system: System, given: Arguments) -> str:
    given.take_datapath()
    return f"{system.engine.conntrack.max_connections}\n"


def set_maxconns(system: System, given: Arguments) -> str:
    """Beyond what the table was made for no connection would be taken; that is said, not done."""
    given.take_datapath(lambda word: number_of(word, MAX_LIMIT) is not None or len(given.words) == 1)
    value = number_of(given.words[0], MAX_LIMIT) if len(given.words) == 1 else None
    if value is None:
        raise DpctlError("maxconns missing or malformed")
    room = system.engine.conntrack.capacity
    if value > room:
        raise DpctlError(f"the table has room for {room} connections, set at the start", errno.ERANGE)
    set_value(system, MAX_CONNECTIONS, "max_connections", value, "ct-set-maxconns")
    return "setting maxconns successful"


def enable_check(system: System, given: Arguments) -> str:
    return set_check(system, given, on=True)


def disable_check(system: System, given: Arguments) -> str:
    return set_check(system, given, on=False)


def set_check(system: System, given: Arguments, *, on: bool) -> str:
    given.take_datapath()
    if system.configured is None:
        set_value(system, SEQUENCE_CHECK, "tcp_liberal", not on, "")
    else:
        set_value(system, SEQUENCE_CHECK, "", on, f"ct-{'enable' if on else 'disable'}-tcp-seq-chk")
    return f"{'enabling' if on else 'disabling'} TCP sequence checking successful"


def get_check(system: System, given: Arguments) -> str:
    given.take_datapath()
    return f"TCP sequence checking: {'disabled' if system.engine.conntrack.tcp_liberal else 'enabled'}\n"


def get_sweep(system: System, given: Arguments) -> str:
    """Nothing is swept: a connection is looked at when it is due."""
    given.take_datapath()
    return "0"


def set_sweep(system: System, given: Arguments) -> str:
    given.take_datapath(lambda word: len(given.words) == 1)
    value = number_of(given.words[0], MAX_LIMIT) if len(given.words) == 1 else None
    if not value:
        raise DpctlError("invalid sweep value")
    says = "connections are looked at when they are due, there is no sweep to set an interval of"
    raise DpctlError(says, errno.EOPNOTSUPP)


def set_limits(system: System, given: Arguments) -> str:
    """[default=L] [zone=N,limit=L]...; all is read before anything is set."""
    given.take_datapath(begins_with("default=", "zone=", "limit="))
    default, zones = None, {}
    for number, word in enumerate(given.words):
        if word.startswith("default=") and number == 0:
            default = number_of(word.removeprefix("default="), MAX_LIMIT)
            if default is None:
                raise DpctlError("invalid default limit")
        else:
            zone, limit = zone_limit_of(word)
            zones[zone] = limit
    if default is not None:
        set_value(system, DEFAULT_LIMIT, "zone_default_limit", default, "ct-set-limits")
    for zone, limit in zones.items():
        system.engine.conntrack.set_zone_limit(zone, limit)
    return ""


def zone_limit_of(word: str) -> tuple[int, int]:
    """(zone, limit) of "zone=N,limit=L", in either order. Raises DpctlError for what is none."""
    found: dict[str, int] = {}
    for part in word.split(","):
        key, _, value = part.partition("=")
        if not value:
            raise DpctlError(f"field {key} missing value")
        if key not in {"zone", "limit"}:
            raise DpctlError(f"invalid zone limit field: {key}")
        number = number_of(value, N_ZONES if key == "zone" else MAX_LIMIT)
        if number is None:
            raise DpctlError(f"failed to parse field {key}")
        found[key] = number
    if len(found) < 2:
        raise DpctlError("failed to parse zone limit")
    return found["zone"], found["limit"]


def zones_of(word: str) -> list[int]:
    """The zones of "zone=N1,N2". Raises DpctlError for what is none."""
    if not word.startswith("zone="):
        raise DpctlError(f"invalid argument {word}")
    numbers = [number_of(part, N_ZONES) for part in word.removeprefix("zone=").split(",")]
    if None in numbers:
        raise DpctlError("invalid zone")
    return [number for number in numbers if number is not None]


def del_limits(system: System, given: Arguments) -> str:
    """[default] [zone=N1[,N2]...]"""
    given.take_datapath(lambda word: "@" not in word)
    default = bool(given.words) and given.words[0] == "default"
    zones = [zone for word in given.words[1 if default else 0 :] for zone in zones_of(word)]
    if default:
        set_value(system, DEFAULT_LIMIT, "zone_default_limit", 0, "ct-del-limits")
    for zone in zones:
        system.engine.conntrack.clear_zone_limit(zone)
    return ""


def get_limits(system: System, given: Arguments) -> str:
    """Those that were set; with zones, of each of them what holds."""
    given.take_datapath(lambda word: "@" not in word)
    asked = [zone for word in given.words for zone in zones_of(word)]
    tracker = system.engine.conntrack
    found = {zone: tracker.zone_limit(zone) for zone in asked} if asked else tracker.zone_limits()
    lines = [f"default limit={tracker.zone_default_limit}"]
    lines += [f"zone={zone},limit={limit},count={count}" for zone, (limit, count) in found.items()]
    return "\n".join(lines) + "\n"


LIMIT_COMMANDS = (
    DpctlCommand("ct-set-maxconns", "[dp] maxconns", 1, 2, set_maxconns),
    DpctlCommand("ct-get-maxconns", "[dp]", 0, 1, get_maxconns),
    DpctlCommand("ct-enable-tcp-seq-chk", "[dp]", 0, 1, enable_check),
    DpctlCommand("ct-disable-tcp-seq-chk", "[dp]", 0, 1, disable_check),
    DpctlCommand("ct-get-tcp-seq-chk", "[dp]", 0, 1, get_check),
    DpctlCommand("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, ANY, set_limits),
    DpctlCommand("ct-del-limits", "[dp] [default] [zone=N1[,N2]...]", 1, 3, del_limits),
    DpctlCommand("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, get_limits),
    DpctlCommand("ct-get-sweep-interval", "[dp]", 0, 1, get_sweep),
    DpctlCommand("ct-set-sweep-interval", "[dp] ms", 1, 2, set_sweep),
)
