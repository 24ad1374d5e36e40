"""The one table of settings: a field of Settings is a setting, its metadata says the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ctoffload_dpdk.base.errors import SettingsError, shown
from ctoffload_dpdk.settings import policy
from ctoffload_dpdk.settings.cpus import CPUS_FORM, cpus
from ctoffload_dpdk.settings.helpers import HELPERS_FORM, read_helpers

Value = bool | int | str

TIMEOUT = "ct-offload-timeout-"
# Providers are told in 32 bits of milliseconds.
MAX_TIMEOUT_S = (2**32 - 1) // 1000


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    name: kebab-case, the same in TOML and in OVSDB's other_config; kind: bool, int or str; minimum, maximum: of an int,
    in `unit`; choices: of a str; form: of one without choices, in words, and read, which reads it or raises ValueError
    or SettingsError; live: a change takes effect while running, else when the port starts next.
    """

    name: str
    kind: type
    default: Value
    doc: str
    unit: str = ""
    minimum: int = 0
    maximum: int = 0
    choices: tuple[str, ...] = ()
    form: str = ""
    read: Callable[[str], object] | None = None
    live: bool = True

    @property
    def field(self) -> str:
        """The name as an attribute of Settings."""
        return self.name.replace("-", "_")

    @property
    def ovsdb_key(self) -> str:
        """Where it stands in an OVSDB: column and key."""
        return f"other_config:{self.name}"

    @property
    def flag(self) -> str:
        """The command-line flag, with its negation where it is a bool."""
        return f"--{self.name}/--no-{self.name}" if self.kind is bool else f"--{self.name}"

    @property
    def allowed(self) -> str:
        """The values it may have, in words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is int:
            return f"{self.minimum} to {self.maximum}{f' {self.unit}' if self.unit else ''}"
        return self.form or ", ".join(self.choices)

    def parse(self, value: object, where: str = "") -> Value:
        """The value in its type; text is read as OVSDB and command lines give it.

        `where` names the source, e.g. "lab.toml line 3". Raises SettingsError for another type, a number outside
        minimum and maximum, and text that is no choice or not of the form.
        """
        parsed = self._typed(value)
        if isinstance(parsed, str) and not self._is_read(parsed, where):
            parsed = None
        if isinstance(parsed, int) and not isinstance(parsed, bool) and not self.minimum <= parsed <= self.maximum:
            parsed = None
        if parsed is None:
            raise SettingsError(
                f"{where}{': ' if where else ''}{self.name} cannot be {shown(value)}", hint=f"it may be {self.allowed}"
            )
        return parsed

    def _is_read(self, value: str, where: str) -> bool:
        if self.read is None:
            return value in self.choices
        try:
            self.read(value)
        except SettingsError as error:
            error.message = f"{where}{': ' if where else ''}{self.name}: {error.message}"
            raise
        except ValueError:
            return False
        return True

    def _typed(self, value: object) -> Value | None:
        if self.kind is bool and isinstance(value, str):
            return {"true": True, "false": False}.get(value.strip().lower())
        if self.kind is int and isinstance(value, str):
            text = value.strip()
            return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20 else None
        # bool is an int to Python, not to a user.
        return value if type(value) is self.kind and isinstance(value, bool | int | str) else None


def _switch(default: bool, doc: str, *, live: bool = True) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc, "live": live})


def _number(default: int, low: int, high: int, unit: str, doc: str, *, live: bool = True) -> Any:
    facts = {"doc": doc, "unit": unit, "minimum": low, "maximum": high, "live": live}
    return dataclasses.field(default=default, metadata=facts)


def _choice(choices: tuple[str, ...], doc: str, *, live: bool = True) -> Any:
    return dataclasses.field(default=choices[0], metadata={"doc": doc, "choices": choices, "live": live})


def _text(default: str, form: str, read: Callable[[str], object], doc: str, *, live: bool = True) -> Any:
    return dataclasses.field(default=default, metadata={"doc": doc, "form": form, "read": read, "live": live})


def _timeout(default: int, doc: str) -> Any:
    return _number(default, 1, MAX_TIMEOUT_S, "s", doc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, each with a valid value; never changed.

    Raises SettingsError for a value it cannot have, ContradictionError for two that cannot both be.
    """

    hw_offload: bool = _switch(True, "offload connections to the NIC; off drains them back into software")
    ct_offload_establish_at: str = _choice(
        ("established", "reply"), "install a TCP connection once its handshake is complete, or at the first reply"
    )
    ct_offload_unconfirmed_rst_timeout: int = _timeout(900, "time left after an RST that cannot be judged")
    ct_offload_tcp_sequence_check: bool = _switch(True, "judge TCP packets by their sequence numbers")

    ct_offload_strict_windows: bool = _switch(
        False, "contexts in the NIC check TCP windows of connections installed from now on, if their handshake was seen"
    )
    ct_offload_context_read_budget: int = _number(
        1000, 0, 1_000_000, "reads/s", "windows read back from contexts on removal; beyond, they are relearnt"
    )

    ct_offload_invalid: str = _choice(("drop", "pass"), "what becomes of a packet that is invalid to the tracker")

    ct_offload_helpers: str = _text(
        "", HELPERS_FORM, read_helpers, "connections to which ports announce others, by protocol and zone"
    )
    ct_offload_zones: str = _text(
        "", policy.ZONES_FORM, policy.zones, "conntrack zones of ports and VLANs; untagged packets: 0", live=False
    )
    ct_offload_rules: str = _text(
        "", policy.RULES_FORM, policy.rules, "which new connections may be; the first that fits decides, else allow"
    )
    ct_offload_nat: str = _text(
        "", policy.NAT_FORM, policy.translations, "how new connections are translated; the first that fits decides"
    )
    ct_offload_idle: str = _choice(
        ("sleep", "poll"), "what a loop does while nothing comes: naps of up to 1 ms, or turns at a whole CPU"
    )

    ct_offload_fragments: str = _choice(
        ("track", "pass", "drop"), "fragments are held until whole and tracked; pass untracked; are dropped"
    )
    ct_offload_fragment_min_size_ipv4: int = _number(
        1200, 400, 65535, "bytes", "an IPv4 fragment but the last, at least"
    )
    ct_offload_fragment_min_size_ipv6: int = _number(
        1280, 400, 65535, "bytes", "an IPv6 fragment but the last, at least"
    )
    ct_offload_fragment_max_held: int = _number(
        1000, 0, 5000, "fragments", "held at most, and never more than a quarter of a pool of packet buffers"
    )
    ct_offload_fragment_timeout: int = _number(15, 1, 255, "s", "for a datagram to become whole")

    ct_offload_after_packets: int = _number(0, 0, 2**32 - 1, "packets", "install a connection only after so many")
    ct_offload_rate: int = _number(0, 0, 2**31 - 1, "connections/s", "install at most so many; 0: no limit")
    ct_offload_burst: int = _number(1000, 1, 2**31 - 1, "connections", "of which so many at once")

    ct_offload_loops: int = _number(
        1, 1, 32, "loops", "of packets, each with a core and a share of connections", live=False
    )
    pmd_cpu_mask: str = _text("", CPUS_FORM, cpus, "CPUs of the loops, one each, lowest first; any where it is empty")

    ct_offload_metrics_port: int = _number(
        0, 0, 65535, "port", "of HTTP at which Prometheus finds the metrics; 0: none", live=False
    )
    ct_offload_metrics_listen: str = _choice(
        ("local", "any"), "who may ask for metrics: this host, or any; they are not protected", live=False
    )

    ct_offload_add_budget: int = _number(512, 1, 16384, "operations", "installations outstanding at once", live=False)
    ct_offload_delete_budget: int = _number(512, 1, 16384, "operations", "removals outstanding at once", live=False)
    ct_offload_query_budget: int = _number(
        1024, 1, 16384, "operations", "last-used queries outstanding at once", live=False
    )
    ct_offload_sweep_budget: int = _number(500, 10, 1_000_000, "us", "time of one slice of expiry")
    ct_offload_provider_limit: int = _number(
        2000, 10, 3_600_000, "ms", "a provider's call longer than this stalls it: it is left aside", live=False
    )

    ct_offload_plan: str = _choice(
        ("auto", "ct", "age", "count", "mark", "steer", "none"),
        "how connections are put into the NIC; auto: the best plan that its ports can do",
        live=False,
    )
    ct_offload_fate: str = _choice(
        ("auto", "transfer", "hairpin", "queue"),
        "where rules send packets: over the NIC's switch, into a hairpin queue, or into a queue of software alone",
        live=False,
    )
    ct_offload_flow_engine: str = _choice(
        ("auto", "sync", "async"), "rules at once, or through queues; auto: as the driver steers", live=False
    )
    ct_offload_counters: int = _number(1 << 20, 0, 1 << 24, "counters", "set aside per port, one a rule", live=False)
    ct_offload_ages: int = _number(1 << 20, 0, 1 << 24, "ages", "set aside per port, one a rule", live=False)
    ct_offload_contexts: int = _number(
        1 << 19, 0, 1 << 24, "contexts", "set aside per port, one a TCP connection", live=False
    )
    ct_offload_flow_queues: int = _number(1, 1, 60, "queues", "for rules, per port", live=False)
    ct_offload_flow_queue_size: int = _number(1024, 32, 65536, "operations", "outstanding in a queue", live=False)

    ct_offload_max_connections: int = _number(
        3_000_000, 0, 2**28, "connections", "refuse new ones beyond; 0 refuses all"
    )
    ct_offload_zone_limit: int = _number(0, 0, 2**32 - 1, "connections", "limit of a zone that has none; 0: none")

    ct_offload_timeout_tcp_syn_sent: int = _timeout(30, "TCP: a SYN was seen")
    ct_offload_timeout_tcp_syn_recv: int = _timeout(30, "TCP: the handshake goes on")
    ct_offload_timeout_tcp_established: int = _timeout(86400, "TCP: both sides are established")
    ct_offload_timeout_tcp_fin_wait: int = _timeout(900, "TCP: one side has closed")
    ct_offload_timeout_tcp_time_wait: int = _timeout(45, "TCP: both sides have closed")
    ct_offload_timeout_tcp_close: int = _timeout(30, "TCP: closed, or reset")
    ct_offload_timeout_udp_first: int = _timeout(60, "UDP and others: one packet was seen")
    ct_offload_timeout_udp_single: int = _timeout(60, "UDP and others: several packets one way")
    ct_offload_timeout_udp_multiple: int = _timeout(30, "UDP and others: packets both ways")
    ct_offload_timeout_icmp_first: int = _timeout(60, "ICMP: no reply yet")
    ct_offload_timeout_icmp_reply: int = _timeout(30, "ICMP: replied")

    def __post_init__(self) -> None:
        for setting in TABLE.values():
            value = getattr(self, setting.field)
            if type(value) is not setting.kind:
                raise SettingsError(f"{setting.name} cannot be {shown(value)}", hint=f"it may be {setting.allowed}")
            setting.parse(value)
        for pair in CONTRADICTIONS:
            if pair.holds(self):
                raise ContradictionError(pair, self)

    def __getitem__(self, name: str) -> Value:
        """The value of a kebab-case name. Raises SettingsError for an unknown one."""
        return getattr(self, find(name).field)  # type: ignore[no-any-return]

    def timeouts_s(self) -> dict[str, int]:
        """The timeouts under the names of OVS's timeout policies: {"tcp_syn_sent": 30, ...}."""
        found = [s for s in TABLE.values() if s.name.startswith(TIMEOUT)]
        return {s.name.removeprefix(TIMEOUT).replace("-", "_"): int(getattr(self, s.field)) for s in found}


def _table() -> dict[str, Setting]:
    kinds = {"bool": bool, "int": int, "str": str}
    settings = {}
    for field in dataclasses.fields(Settings):
        default: Any = field.default
        name = field.name.replace("_", "-")
        settings[name] = Setting(name, kinds[str(field.type)], default, **field.metadata)
    return settings


TABLE: Mapping[str, Setting] = _table()


@dataclass(frozen=True)
class Contradiction:
    """Two settings of which each may be right, but not both. when: true where they contradict each other."""

    first: str
    second: str
    when: Callable[[Any, Any], bool]
    why: str

    def holds(self, settings: Settings) -> bool:
        return self.when(settings[self.first], settings[self.second])


class ContradictionError(SettingsError):
    """Two settings contradict each other; `pair` names them."""

    def __init__(self, pair: Contradiction, settings: Settings, where: str = "") -> None:
        self.pair = pair
        said = " and ".join(f"{name}={str(settings[name]).lower()}" for name in (pair.first, pair.second))
        super().__init__(f"{said} contradict each other{where}: {pair.why}", hint="change one of them")


CONTRADICTIONS = (
    Contradiction(
        "ct-offload-strict-windows",
        "ct-offload-tcp-sequence-check",
        lambda strict, check: strict and not check,
        "the NIC would refuse what software is told to let through",
    ),
    Contradiction(
        "ct-offload-strict-windows",
        "ct-offload-establish-at",
        lambda strict, at: strict and at == "reply",
        "a window is known once the handshake is complete, and connections would be installed before",
    ),
    Contradiction(
        "ct-offload-plan",
        "ct-offload-fate",
        lambda plan, fate: plan in {"ct", "age", "count"} and fate == "queue",
        "the plan has packets pass software by, which those in a queue do not",
    ),
    Contradiction(
        "ct-offload-plan",
        "ct-offload-fate",
        lambda plan, fate: plan in {"mark", "steer"} and fate in {"transfer", "hairpin"},
        "the plan sends packets to a queue of software",
    ),
    Contradiction(
        "ct-offload-plan",
        "ct-offload-contexts",
        lambda plan, n: plan == "ct" and n == 0,
        "the plan needs a context for each connection",
    ),
    Contradiction(
        "ct-offload-plan",
        "ct-offload-ages",
        lambda plan, n: plan == "age" and n == 0,
        "the plan needs an age for each rule",
    ),
    Contradiction(
        "ct-offload-plan",
        "ct-offload-counters",
        lambda plan, n: plan in {"ct", "count"} and n == 0,
        "the plan needs a counter for each rule",
    ),
)


def find(name: str, where: str = "") -> Setting:
    """The setting of that name. Raises SettingsError, which names the nearest one."""
    setting = TABLE.get(name)
    if setting is not None:
        return setting
    import difflib  # noqa: PLC0415 - only an error needs it

    near = difflib.get_close_matches(name, TABLE, n=1)
    hint = f"did you mean {near[0]}?" if near else "settings are named hw-offload, pmd-cpu-mask or ct-offload-..."
    raise SettingsError(f"{where}{': ' if where else ''}there is no setting {shown(name)}", hint=hint)


def settings_from(values: Mapping[str, object], where: str = "") -> Settings:
    """Settings with these values (kebab-case names), defaults elsewhere.

    Raises SettingsError for an unknown name or a wrong value, ContradictionError for two that cannot both be.
    """
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        setting = find(name, where)
        parsed[setting.field] = setting.parse(value, where)
    return Settings(**parsed)
