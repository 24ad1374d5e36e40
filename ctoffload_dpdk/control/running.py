"""Commands about the running engine: status, stats, providers, rules, offload, config, events."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.control.command import Answers, Command, Document, Parameter, Part, rows_part
from ctoffload_dpdk.control.filters import FILTER_PARAMETERS, Filter
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.engine import capability_report, json_rows, plan_rows, port_rules


def status(system: System) -> Document:
    """Who runs here, and what it runs without."""
    problems = system.configured.problems() if system.configured is not None else ()
    return {
        **system.facts(),
        "offload": system.engine.layer.enabled(),
        "connections": system.count(),
        "listeners": system.n_listeners,
        "problems": [problem.as_dict() for problem in problems],
    }


def stats(system: System) -> Document:
    """Everything that is counted: connections, rules, packets, the layer's operations."""
    engine = system.engine
    account = {
        "connections": asdict(engine.connections()),
        "rules": asdict(engine.rules()),
        "contexts": asdict(engine.contexts()),
        "packets": asdict(engine.packets()),
    }
    return {
        **account,
        "trackers": [asdict(tracker.counters()) for tracker in system.trackers()],
        "offload": engine.layer.statistics().as_dict(),
    }


def providers(system: System) -> Document:
    """The providers and their figures."""
    statistics = system.engine.layer.statistics()
    return {"providers": [asdict(provider) for provider in statistics.providers]}


def rules(system: System, port: str | None = None) -> Document:
    """What is in the NIC, and by which plans connections get there; of a port: where its rules are made, too."""
    of_port = {} if port is None else {"port": port_rules(system.engine, port)}
    return {"provider": asdict(system.engine.provider.stats()), "plans": plan_rows(system.engine, port), **of_port}


def capabilities(system: System) -> Document:
    """What the ports were found to be able to do; nothing is asked anew."""
    return capability_report(system.engine)


def offload(system: System, action: str = "status", provider: str | None = None, port: str | None = None) -> Document:
    """The switch, globally, of a provider, or of a port.

    Raises UsageError EINVAL where both are named, UsageError for a port that is not in the engine, ProviderError ENOENT
    for a provider that is not registered.
    """
    layer = system.engine.layer
    on = action == "on"
    waiting: list[str] = []
    if provider is not None and port is not None:
        raise UsageError("the switch is of a provider or of a port, not of both", errno=errno.EINVAL, op="offload")
    if port is not None:
        taken = system.engine.port(port)
        if action != "status":
            layer.set_port_enabled(taken.layer_port, on)
    elif provider is not None:
        layer.provider(provider)
        if action != "status":
            layer.set_provider_enabled(provider, on)
    elif action != "status":
        waiting = list(system.setting("hw-offload", on, "ctoffload offload"))
    off = layer.switch.off_providers
    return {
        "enabled": layer.enabled(),
        "walk_left": layer.walk_left(),
        "settled": layer.is_settled(),
        "waiting": waiting,
        "providers": [
            {"name": p.name, "enabled": p.name not in off, "active": layer.is_active(p.name)} for p in layer.providers()
        ],
        "ports": [{"name": e.port.name, "enabled": e.is_enabled, "used_by": e.used_by} for e in layer.ports],
    }


def ports(system: System, action: str = "list", port: str | None = None) -> Document:
    """The ports; one is taken out, or put back. Raises UsageError ENOSYS where they are not to be changed."""
    if system.ports is None:
        raise UsageError("the ports of this engine are not to be changed", errno=errno.ENOSYS, op="ports")
    if action != "list":
        if port is None:
            raise UsageError(f"ports {action} needs port", errno=errno.EINVAL, op="ports", hint="the port's name")
        (system.ports.remove if action == "remove" else system.ports.add)(port)
    return {"ports": system.ports.as_rows()}


def config(system: System, name: str | None = None, value: str | None = None) -> Document:
    """The settings that hold, each with its origin; with a name and a value: sets it until the source changes.

    Raises UsageError ENOSYS without a configuration, SettingsError for an unknown name or a wrong value.
    """
    if system.configured is None:
        raise UsageError("this engine has no configuration", errno=errno.ENOSYS, op="config")
    waiting: list[str] = []
    if name is not None and value is not None:
        waiting = list(system.setting(name, value, "ctoffload config"))
    shown = system.configured.values()
    if name is not None and name not in shown:
        from ctoffload_dpdk.settings import find  # noqa: PLC0415 - for its error, which names the nearest

        find(name)
    names = [name] if name is not None else list(shown)
    return {
        "settings": {n: {"value": shown[n][0], "origin": shown[n][1]} for n in names},
        "waiting": waiting,
        "problems": [problem.as_dict() for problem in system.configured.problems()],
    }


def events(system: System, **filters: Any) -> Iterator[Part]:
    """What happens to connections from now on."""
    wanted = Filter.of(**filters)
    with system.listen() as heard:
        while True:
            rows, lost = heard.take()
            if lost:
                yield rows_part([{"event": "lost", "events": lost}])
            if rows is not None and not wanted.is_empty:
                rows = rows[wanted.fits(rows)]
            yield Part() if rows is None or not len(rows) else Part(len(rows), rows=json_rows(rows, events=True))


RUNNING_COMMANDS = (
    Command("status", "Who runs here, on what ports, and what it runs without.", Answers.DOCUMENT, status),
    Command("stats", "Everything that is counted.", Answers.DOCUMENT, stats),
    Command("providers", "The providers and their figures.", Answers.DOCUMENT, providers),
    Command(
        "rules",
        "What is in the NIC, and by which plans connections get there.",
        Answers.DOCUMENT,
        rules,
        (Parameter("port", str, "what concerns the port of this name alone, and where its rules are made"),),
    ),
    Command("capabilities", "What the ports were found to be able to do.", Answers.DOCUMENT, capabilities),
    Command(
        "offload",
        "The switch: globally, of a provider, or of a port.",
        Answers.DOCUMENT,
        offload,
        (
            Parameter("action", str, "status, on or off", choices=("status", "on", "off")),
            Parameter("provider", str, "the provider of this name alone"),
            Parameter("port", str, "the port of this name alone"),
        ),
    ),
    Command(
        "ports",
        "The ports; takes one out while the engine runs, or puts it back.",
        Answers.DOCUMENT,
        ports,
        (
            Parameter("action", str, "list, remove or add", choices=("list", "remove", "add")),
            Parameter("port", str, "the port's name"),
        ),
    ),
    Command(
        "config",
        "The settings that hold, with their origins; sets one at run time.",
        Answers.DOCUMENT,
        config,
        (Parameter("name", str, "the setting"), Parameter("value", str, "its new value")),
    ),
    Command(
        "events",
        "What happens to connections, as it happens.",
        Answers.STREAM,
        events,
        FILTER_PARAMETERS,
        "a reader that is too slow is told how many it lost",
    ),
)
