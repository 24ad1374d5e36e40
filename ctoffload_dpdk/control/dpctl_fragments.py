"""dpctl's commands for IP fragments."""

from __future__ import annotations

import errno

from ctoffload_dpdk.base.errors import SettingsError, UsageError
from ctoffload_dpdk.control.dpctl import Arguments, DpctlCommand, DpctlError, begins_with, number_of
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import datagrams

INDENT = " " * 8
COUNTERS = ("accepted", "completed", "expired", "too small", "overlapped", "purged")
DL_TYPES = {4: "0x800", 6: "0x86dd"}
MAX_NUMBER = 1 << 32


def family_of(given: Arguments, quotes: str) -> int:
    """The family that is named: only its first two characters count, as in OVS. Raises DpctlError without one."""
    given.take_datapath(begins_with("v4", "v6"))
    if not given.words or not given.words[0].startswith(("v4", "v6")):
        raise DpctlError(f"parameter missing: {quotes}v4{quotes} for IPv4 or {quotes}v6{quotes} for IPv6")
    return int(given.words.pop(0)[1])


def set_size(system: System, name: str, failed: str, family: int, value: int, **values: int) -> None:
    """By the setting of that name; in an engine without configuration, where it takes effect."""
    if system.configured is None:
        return set_fragments(system, family, failed, **values)
    try:
        system.setting(name, value, "ovs-appctl")
    except SettingsError:
        raise DpctlError(failed, errno.EPERM) from None


def set_fragments(system: System, family: int, failed: str, **values: int | bool) -> None:
    for tracker in system.trackers():
        try:
            with tracker.held():
                tracker.set_fragments(family, **values)  # type: ignore[arg-type]
        except UsageError:
            raise DpctlError(failed, errno.EPERM) from None


def set_enabled(system: System, given: Arguments) -> str:
    set_fragments(system, family_of(given, "'"), "enabling failed", enabled=True)
    return "enabling fragmentation reassembly successful"


def set_disabled(system: System, given: Arguments) -> str:
    set_fragments(system, family_of(given, "'"), "disabling failed", enabled=False)
    return "disabling fragmentation reassembly successful"


def set_min_frag(system: System, given: Arguments) -> str:
    family = family_of(given, "")
    value = number_of(given.words[0], MAX_NUMBER) if given.words else None
    if value is None:
        raise DpctlError("parameter missing for minimum fragment size")
    failed = "requested minimum fragment size too small; see documentation"
    says = failed if value < 65536 else "requested minimum fragment size too large"
    set_size(system, f"ct-offload-fragment-min-size-ipv{family}", says, family, value, min_size=value)
    return "setting minimum fragment size successful"


def set_max_nfrags(system: System, given: Arguments) -> str:
    given.take_datapath(lambda word: len(given.words) == 1)
    value = number_of(given.words[0], MAX_NUMBER) if given.words else None
    if value is None:
        raise DpctlError("parameter missing for maximum fragments")
    failed = "setting maximum fragments failed"
    set_size(system, "ct-offload-fragment-max-held", failed, 4, value, max_held=value)
    return "setting maximum fragments successful"


def get_status(system: System, given: Arguments) -> str:
    """Settings and counters over all loops.

    OVS calls purged what its cleaner drops later. Here whatever is late is expired, and purged is what made room.
    """
    given.take_datapath()
    every = [tracker.fragments() for tracker in system.trackers()]
    first = every[0]
    held = sum(found["held"] for found in every)
    lines = ["Fragmentation Module Status", "---------------------------"]
    lines += [f"v{family} enabled: {first[f'v{family}_enabled']}" for family in (4, 6)]
    lines += [f"max num frags (v4/v6): {first['max_held']}", f"num frag: {held}"]
    for family in ("v4", "v6"):
        lines.append(f"min {family} frag size: {first[f'{family}_min_size']}")
        for name in COUNTERS:
            key = f"{family}_{'evicted' if name == 'purged' else name.replace(' ', '_')}"
            lines.append(f"{family} frags {name}: {sum(found.get(key, 0) for found in every)}")
    text = "".join(f"{INDENT}{line}\n" for line in lines)
    return text + lists_text(system) if "more" in given.options else text


def lists_text(system: System) -> str:
    """A line for each datagram of which fragments are held."""
    found = []
    for tracker in system.trackers():
        with tracker.held():
            found += datagrams(tracker)
    lines = [
        f"(src={one['src']},dst={one['dst']},recirc_id=0,ip_id={one['id']},dl_type={DL_TYPES[one['family']]},"
        f"zone={one['zone']},nw_proto={one['proto']},num_fragments={one['fragments']},state={one['state']})\n"
        for one in found
    ]
    return f"\n{INDENT}Fragment Lists:\n\n{''.join(lines)}"


FRAGMENT_COMMANDS = (
    DpctlCommand("ipf-set-enabled", "[dp] v4|v6", 1, 2, set_enabled),
    DpctlCommand("ipf-set-disabled", "[dp] v4|v6", 1, 2, set_disabled),
    DpctlCommand("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, set_min_frag),
    DpctlCommand("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, set_max_nfrags),
    DpctlCommand("ipf-get-status", "[dp]", 0, 2, get_status),
)
