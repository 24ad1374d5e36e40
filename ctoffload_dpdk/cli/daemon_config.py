"""The configuration of a running engine: files and OVSDB followed, commands taken, each change applied."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence

from ctoffload_dpdk.base.errors import CtoffloadError, SettingsError
from ctoffload_dpdk.cli.daemon_ports import Ports
from ctoffload_dpdk.cli.readiness import notify
from ctoffload_dpdk.config import Watch
from ctoffload_dpdk.engine import Engine

LOGGER = logging.getLogger("ctoffload.run")


class LiveConfiguration:
    """What `System` wants of a configuration, over a Watch. Belongs to the control thread."""

    def __init__(self, watch: Watch, engine: Engine, ports: Ports) -> None:
        self._watch = watch
        self._engine = engine
        self._ports = ports
        self._said: list[str] = []
        self._was_silent = False
        self._refused: CtoffloadError | None = None

    def values(self) -> Mapping[str, tuple[bool | int | str, str]]:
        configuration = self._watch.configuration
        return {name: (configuration.settings[name], str(origin)) for name, origin in configuration.origins.items()}

    def set(self, name: str, value: object, where: str) -> Sequence[str]:
        return self._apply() if self._watch.command(name, value, where) else ()

    def problems(self) -> Sequence[CtoffloadError]:
        found = (self._refused, self._ports.unknown(), self._silence())
        return [*self._watch.problems(), *(error for error in found if error is not None)]

    def _silence(self) -> SettingsError | None:
        """What is wrong where the OVSDB cannot be reached."""
        ovsdb = self._watch.ovsdb
        if ovsdb is None or ovsdb.is_connected:
            return None
        return SettingsError(f"OVSDB: {ovsdb.state}", hint="it connects again by itself")

    def reload(self) -> None:
        """Reads the file again, as SIGHUP asks for."""
        notify("RELOADING=1")
        LOGGER.info("the settings are read again")
        if self._watch.reload():
            self._apply_or_say()
        self._say_problems()
        notify("READY=1")

    def poll(self) -> None:
        """Takes what OVSDB says, and says there what became of it."""
        if self._watch.poll():
            self._apply_or_say()
        self._say_problems()
        if self._watch.ovsdb is not None:
            self._watch.ovsdb.set_status(self._status())
            self._watch.acknowledge()

    def _status(self) -> str:
        """This host in a line. It changes with the configuration alone: what each host writes, all hosts read."""
        offload = str(self._engine.layer.enabled()).lower()
        wrong = f" problems={len(self._said)}: {self._said[0]}" if self._said else ""
        return f"hw-offload={offload} ports={','.join(self._ports.joined())}{wrong}"

    def _apply(self) -> Sequence[str]:
        """Hands what holds to the engine; returns what waits for the next start."""
        try:
            waiting = self._engine.apply(self._watch.configuration.settings)
        except CtoffloadError as error:
            self._refused = error
            raise
        self._refused = None
        for name in waiting:
            LOGGER.warning("%s takes effect at the next start", name)
        return waiting

    def _apply_or_say(self) -> None:
        """What the engine refuses is a problem like others, not the daemon's end."""
        with contextlib.suppress(CtoffloadError):
            self._apply()

    def _say_problems(self) -> None:
        """Each problem once, until it goes away."""
        silence = self._silence()
        now = [problem.message for problem in self.problems()]
        for message in now:
            if message not in self._said:
                is_silence = silence is not None and message == silence.message
                rest = silence.hint if silence is not None and is_silence else "what held before goes on to hold"
                LOGGER.warning("%s; %s", message, rest)
        if self._was_silent and silence is None and self._watch.ovsdb is not None:
            LOGGER.info("OVSDB: %s again", self._watch.ovsdb.state)
        self._was_silent = silence is not None
        self._said = now
