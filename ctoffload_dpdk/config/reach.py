"""Why an OVSDB cannot be reached: tried once, blocking, for people who wait for an answer."""

from __future__ import annotations

import socket
import ssl
import time

from ctoffload_dpdk.base.errors import SettingsError
from ctoffload_dpdk.config.ovsdb import OvsdbSource, Tls

PATIENCE_S = 2.0


def read_once(remotes: str, *, tls: Tls | None = None, timeout_s: float = 5.0) -> OvsdbSource:
    """A source whose row was read. Raises SettingsError with the reason of each remote where that takes too long."""
    source = OvsdbSource(remotes, tls=tls)
    until = time.monotonic() + timeout_s
    while not source.was_read and time.monotonic() < until:
        source.wait(50)
        source.run()
    if source.was_read:
        return source
    source.close()
    reasons = "; ".join(f"{remote}: {why_not(remote, tls)}" for remote in remotes.split(","))
    raise SettingsError(
        f"the OVSDB gave no settings within {timeout_s:g} s: {reasons}",
        hint="is ovsdb-server running, and does it listen there? ovs-appctl -t ovsdb-server ovsdb-server/list-remotes",
    )


def why_not(remote: str, tls: Tls | None) -> str:
    """In words, why this remote cannot be used; that it answers, where it does."""
    method, _, rest = remote.partition(":")
    try:
        if method == "unix":
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE_S)
                client.connect(rest)
        else:
            host, _, port = rest.rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S) as client:
                if method == "ssl" and tls is not None:
                    _shake_hands(client, tls)
    except (OSError, OverflowError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return "it can be reached, but does not speak as an OVSDB with the database Open_vSwitch"


def _shake_hands(client: socket.socket, tls: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.ca_certificate)
    context.load_cert_chain(tls.certificate, tls.private_key)
    context.wrap_socket(client).close()
