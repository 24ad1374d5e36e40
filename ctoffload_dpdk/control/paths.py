"""Where the daemon's sockets and files are."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ctoffload_dpdk.base.errors import UsageError

NAME = "ctoffload"
SOCKET, PIDFILE = "control.sock", "ctoffload.pid"
# sun_path of sockaddr_un, less its closing zero.
MAX_PATH_BYTES = 107


def runtime_directories() -> list[Path]:
    """The usual places, best first: $RUNTIME_DIRECTORY (systemd's), /run/ctoffload, $XDG_RUNTIME_DIR/ctoffload."""
    found = [Path("/run") / NAME]
    if given := os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        found.insert(0, Path(given))
    if own := os.environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(own) / NAME)
    return found


def make_runtime_directory() -> Path:
    """The first of the usual places that is there, or can be made (mode 0700), and can be written to.

    Raises UsageError EACCES, with what is wrong with each.
    """
    tried = []
    for directory in runtime_directories():
        try:
            directory.mkdir(mode=0o700, parents=False, exist_ok=True)
        except OSError as error:
            tried.append(f"{directory}: {error.strerror}")
            continue
        if os.access(directory, os.W_OK | os.X_OK):
            return directory
        tried.append(f"{directory}: no permission to write")
    raise UsageError(
        f"there is no place for the control socket: {', '.join(tried)}",
        errno=errno.EACCES,
        hint="name one: --socket PATH, or set XDG_RUNTIME_DIR",
    )


def find_socket() -> Path:
    """The control socket of a running daemon: the first that exists, else where it would be looked for first."""
    places = [directory / SOCKET for directory in runtime_directories()]
    for path in places:
        try:
            if path.exists():
                return path
        except PermissionError:
            return path  # to say so when it is opened
    return places[0]


def check_length(path: Path) -> None:
    """Raises UsageError ENAMETOOLONG where the kernel has no room for the path of a socket."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise UsageError(
            f"the path of a socket has {MAX_PATH_BYTES} bytes at most: {path}",
            errno=errno.ENAMETOOLONG,
            hint="name a shorter one with --socket",
        )
