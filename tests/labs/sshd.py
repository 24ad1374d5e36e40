"""A real sshd on this machine with throw-away keys, in network, mounts and processes of its own; and ssh that knows it.

    python sshd.py DIRECTORY COMMAND...

Runs the command, with `ssh` on its PATH, while sshd serves 127.0.0.1; ends with its status, and nothing is left.
`root@known` may log in, `root@stranger` has a key that sshd does not know.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SSHD, LIMIT_S = "/usr/sbin/sshd", 20
PORT = 2222
SERVER = """ListenAddress 127.0.0.1
Port {port}
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel ERROR
"""
CLIENT = """Host *
  HostName 127.0.0.1
  Port {port}
  HostKeyAlias lab
  UserKnownHostsFile {place}/hosts
  StrictHostKeyChecking yes
  IdentitiesOnly yes
  IdentityAgent none
Host known
  IdentityFile {place}/known
Host stranger
  IdentityFile {place}/stranger
"""


def why_not() -> str:
    """Why it cannot run here; empty where it can."""
    if os.geteuid() != 0:
        return "sshd in a network of its own needs root"
    if not Path(SSHD).exists() or shutil.which("ssh") is None:
        return "sshd is not installed (Debian: openssh-server)"
    return ""


def alone(directory: Path, command: list[str]) -> list[str]:
    """The command as it is to be started."""
    own = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
    return [*own, sys.executable, "-P", str(Path(__file__).resolve()), str(directory), *command]


def prepare(place: Path) -> None:
    """Keys, the configuration of both ends, and an ssh that reads ours instead of its user's."""
    for name in ("host", "known", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)], check=True)
    shutil.copy(place / "known.pub", place / "authorized")
    (place / "hosts").write_text(f"lab {(place / 'host.pub').read_text()}")
    (place / "server").write_text(SERVER.format(place=place, port=PORT))
    (place / "client").write_text(CLIENT.format(place=place, port=PORT))
    (place / "bin").mkdir()
    (place / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {place}/client "$@"\n')
    (place / "bin" / "ssh").chmod(0o755)


def served(place: Path) -> subprocess.Popen[bytes]:
    """sshd, once it listens. Its place for privilege separation may be missing where no init made it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    Path("/run/sshd").mkdir(mode=0o755)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(place / "server")])
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", PORT)) == 0:
                return server
        time.sleep(0.05)
    raise SystemExit(f"sshd does not listen; it ended with {server.poll()}")


def main() -> None:
    place = Path(sys.argv[1])
    prepare(place)
    server = served(place)
    environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    status = subprocess.run(sys.argv[2:], check=False, env=environment).returncode
    server.terminate()
    server.wait(LIMIT_S)
    sys.exit(status)


if __name__ == "__main__":
    main()
