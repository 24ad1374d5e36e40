"""Settings from an OVSDB: the Open_vSwitch table's other_config, followed; this host's status, written back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ovs.db.idl
import ovs.poller
import ovs.stream
from ovs.db.idl import Transaction

from ctoffload_dpdk.base.errors import SettingsError, shown
from ctoffload_dpdk.config.sources import Given, parse_each
from ctoffload_dpdk.settings import TABLE as SETTINGS

DATABASE, TABLE, COLUMN = "Open_vSwitch", "Open_vSwitch", "other_config"
STATUS_KEY = "ct-offload-status"
PREFIX = "ct-offload-"
# A row with more keys of ours than this is no configuration.
MAX_KEYS = 1000
PROBE_INTERVAL_MS = 5000

_STRINGS = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}
_OPTIONAL_STRING = {"type": {"key": "string", "min": 0, "max": 1}}
_COLUMNS: dict[str, Any] = {
    COLUMN: _STRINGS,
    "external_ids": _STRINGS,
    "next_cfg": {"type": "integer"},
    "cur_cfg": {"type": "integer"},
    "dpdk_initialized": {"type": "boolean"},
    "dpdk_version": _OPTIONAL_STRING,
}


@dataclass(frozen=True)
class Tls:
    """Files of an ssl: remote, PEM: our key, our certificate, and the authority that signed the server's.

    The ovs package keeps them for the whole process: all sources of a process share them.
    """

    private_key: str
    certificate: str
    ca_certificate: str

    def apply(self) -> None:
        """Has the ovs package use these files from now on. Raises SettingsError for one that cannot be read."""
        for name in (self.private_key, self.certificate, self.ca_certificate):
            try:
                Path(name).read_bytes()
            except OSError as error:
                raise SettingsError(
                    f"{name}: cannot be read for ssl: {error.strerror}",
                    errno=error.errno or 0,
                    hint="an ssl: remote needs --private-key, --certificate and --ca-cert",
                ) from None
        ovs.stream.Stream.ssl_set_private_key_file(self.private_key)
        ovs.stream.Stream.ssl_set_certificate_file(self.certificate)
        ovs.stream.Stream.ssl_set_ca_cert_file(self.ca_certificate)


class OvsdbRow:
    """The one row of Open_vSwitch, replicated; reconnects by itself. No call blocks but `wait`.

    remotes: "unix:PATH", "tcp:HOST:PORT", "ssl:HOST:PORT", several with commas: servers of one cluster. Any server that
    is part of the cluster will do, so that many hosts do not all ask the leader.
    """

    def __init__(self, remotes: str, columns: list[str], *, tls: Tls | None = None, lock: str = "") -> None:
        """Raises SettingsError for a remote of another form, and for one by ssl: without files."""
        check_remotes(remotes, tls)
        if tls is not None:
            tls.apply()
        self.remotes = remotes
        self.failure = ""
        self._columns = columns
        self._lock = lock
        self._transaction: Transaction | None = None
        self._idl = self._open()

    def _open(self) -> ovs.db.idl.Idl:
        schema = {"name": DATABASE, "version": "8.0.0", "tables": {TABLE: {"columns": _COLUMNS, "maxRows": 1}}}
        helper = ovs.db.idl.SchemaHelper(None, schema)
        helper.register_columns(TABLE, self._columns)
        idl = ovs.db.idl.Idl(self.remotes, helper, probe_interval=PROBE_INTERVAL_MS, leader_only=False)
        if self._lock:
            idl.set_lock(self._lock)
        return idl

    def run(self) -> bool:
        """Reads what the server said. Returns whether the row may have changed."""
        before = self._idl.change_seqno
        try:
            self._idl.run()
            if self._transaction is not None and self._transaction.commit() != Transaction.INCOMPLETE:
                self._transaction = None
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            self._idl.close()
            self._transaction = None
            self._idl = self._open()
            return True
        if self.is_connected:
            self.failure = ""
        return bool(self._idl.change_seqno != before)

    @property
    def is_connected(self) -> bool:
        """Connected, and the row was received."""
        return bool(self._idl.state == ovs.db.idl.Idl.IDL_S_MONITORING and self._idl._session.is_connected())

    @property
    def has_lock(self) -> bool:
        return bool(self._idl.has_lock)

    @property
    def row(self) -> ovs.db.idl.Row | None:
        """The row; None before it was received, or where the database has none."""
        return next(iter(self._idl.tables[TABLE].rows.values()), None)

    @property
    def where(self) -> str:
        """Names the server and the row, for messages."""
        return f"OVSDB {self._idl.session_name() or self.remotes} {TABLE} {COLUMN}"

    @property
    def is_writing(self) -> bool:
        """A write waits for the server's answer."""
        return self._transaction is not None

    def write(self, change: Mapping[str, Any], *, removed: Mapping[str, str] | None = None) -> None:
        """Sets columns, or keys of a column where the value is a mapping. `run` reads the answer.

        removed: keys to take out, by column. Does nothing without a row or a connection, and while another write waits.
        """
        row = self.row
        if row is None or self.is_writing or not self.is_connected:
            return
        self._transaction = Transaction(self._idl)
        for column, value in change.items():
            if isinstance(value, Mapping):
                for key, text in value.items():
                    row.setkey(column, key, text)
            else:
                setattr(row, column, value)
        for column, key in (removed or {}).items():
            row.delkey(column, key)
        if self._transaction.commit() != Transaction.INCOMPLETE:
            self._transaction = None

    def wait(self, timeout_ms: int) -> None:
        """Waits until there is something for `run` to do, no longer than this."""
        poller = ovs.poller.Poller()
        self._idl.wait(poller)
        if self._transaction is not None:
            self._transaction.wait(poller)
        poller.timer_wait(timeout_ms)
        poller.block()

    def close(self) -> None:
        self._idl.close()


class OvsdbSource:
    """Follows other_config. What was last read and good stays in force, whatever happens to the server.

    given: the settings of the row; problems: what is wrong with the row as it is now; next_cfg: the configuration
    number of the row these were read from; was_read: the server has told of the row, or that there is none.
    """

    def __init__(self, remotes: str, *, tls: Tls | None = None, host: str = "") -> None:
        """host: under which this host's status stands; its name by default.

        Raises SettingsError for a remote of another form, for ssl: without files, and for files that cannot be read.
        """
        self.given: dict[str, Given] = {}
        self.problems: list[SettingsError] = []
        self.next_cfg = 0
        self.was_read = False
        self.status_key = f"{STATUS_KEY}-{host or socket.gethostname()}"
        self._status = ""
        self._row = OvsdbRow(remotes, [COLUMN, "external_ids", "next_cfg"], tls=tls)

    def run(self) -> bool:
        """Reads what the server said, sends what is to be said. True: `given` changed."""
        changed = self._row.run() and self._read()
        if self.is_connected and self._status:
            self._write_status()
        return changed

    def _read(self) -> bool:
        row = self._row.row
        if not self._row.is_connected:
            return False
        self.was_read = True
        if row is None:
            hint = "make it: ovs-vsctl init"
            self.problems = [SettingsError(f"{self._row.where}: the database has no row", hint=hint)]
            return False
        given, self.problems = read_other_config(row.other_config, self._row.where)
        self.next_cfg = row.next_cfg
        if self.problems or given == self.given:
            return False
        self.given = given
        return True

    @property
    def is_connected(self) -> bool:
        """Connected, and the row was received."""
        return self._row.is_connected

    @property
    def state(self) -> str:
        """In words: connected, or what is wrong."""
        if self._row.is_connected:
            return f"connected to {self._row.remotes}"
        failure = f" ({self._row.failure})" if self._row.failure else ""
        kept = "its last values stay in force" if self.was_read else "nothing was read yet, so the other sources hold"
        return f"not connected to {self._row.remotes}{failure}; {kept}"

    def set_status(self, text: str) -> None:
        """What external_ids says of this host under `status_key`; written when connected, and again where it went."""
        self._status = text

    def _write_status(self) -> None:
        row = self._row.row
        if row is not None and row.external_ids.get(self.status_key) != self._status:
            self._row.write({"external_ids": {self.status_key: self._status}})

    def wait(self, timeout_ms: int) -> None:
        """Waits until there is something for `run` to do, no longer than this."""
        self._row.wait(timeout_ms)

    def close(self, timeout_ms: int = 1000) -> None:
        """Takes this host's status out, where that is done within timeout_ms, and disconnects."""
        self._status = ""
        turns = 20
        for turn in range(turns):
            row = self._row.row
            if row is None or not self._row.is_connected:
                break
            if not self._row.is_writing:
                if self.status_key not in row.external_ids:
                    break
                self._row.write({}, removed={"external_ids": self.status_key})
            if turn < turns - 1:
                self._row.wait(timeout_ms // turns)
                self._row.run()
        self._row.close()


class OvsdbOwner:
    """Answers for the row as ovs-vswitchd would: cur_cfg, dpdk_initialized, dpdk_version.

    Only while it holds the lock of ovs-vswitchd, so that one process does, and a real ovs-vswitchd is left alone.
    `ovs-vsctl set ...` returns when cur_cfg has reached the number of its change. Raises SettingsError as OvsdbSource.
    """

    def __init__(self, remotes: str, dpdk_version: str, *, tls: Tls | None = None) -> None:
        self._row = OvsdbRow(remotes, list(_COLUMNS), tls=tls, lock="ovs_vswitchd")
        self._dpdk_version = dpdk_version

    @property
    def is_owner(self) -> bool:
        """True while the server's lock is ours, and with it what only one host may write."""
        return self._row.has_lock

    def run(self, applied_cfg: int) -> None:
        """Says that the configuration of this number was applied, or judged and refused."""
        self._row.run()
        row = self._row.row
        if row is None or not self.is_owner or self._row.is_writing:
            return
        change: dict[str, Any] = {
            "cur_cfg": max(applied_cfg, row.cur_cfg),
            "dpdk_initialized": True,
            "dpdk_version": self._dpdk_version,
        }
        current = {
            "cur_cfg": row.cur_cfg,
            "dpdk_initialized": row.dpdk_initialized,
            "dpdk_version": next(iter(row.dpdk_version), ""),
        }
        if change != current:
            self._row.write(change)

    def wait(self, timeout_ms: int) -> None:
        """Waits until there is something for `run` to do, no longer than this."""
        self._row.wait(timeout_ms)

    def close(self) -> None:
        """Disconnects; what it wrote stays."""
        self._row.close()


def read_other_config(row: Mapping[str, str], where: str) -> tuple[dict[str, Given], list[SettingsError]]:
    """The settings among the keys of other_config, and what is wrong with them. Keys of others are left alone."""
    ours = {key: value for key, value in row.items() if key in SETTINGS or key.startswith(PREFIX)}
    if len(ours) > MAX_KEYS:
        return {}, [SettingsError(f"{where}: {len(ours)} keys begin with {PREFIX}", hint="they are no settings")]
    return parse_each((key, value, where) for key, value in sorted(ours.items()))


def check_remotes(remotes: str, tls: Tls | None) -> None:
    """Raises SettingsError for a remote that is none."""
    hint = "a remote is unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT; several are separated by commas"
    for remote in remotes.split(","):
        method, _, rest = remote.partition(":")
        if method not in ("unix", "tcp", "ssl") or not rest:
            raise SettingsError(f"{shown(remote)} is no OVSDB remote", hint=hint)
        port = rest.rpartition(":")[2]
        if method != "unix" and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) <= 65535):
            raise SettingsError(f"{shown(remote)} names no port", hint=hint)
        if method == "ssl" and tls is None:
            raise SettingsError(
                f"{remote} needs a key and certificates", hint="give --private-key, --certificate and --ca-cert"
            )
