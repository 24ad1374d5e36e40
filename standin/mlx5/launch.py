"""Runs a command on the stand-in, inside a network namespace of its own.

    python launch.py INTERFACE... -- COMMAND...

Called by process.py below unshare(1): makes the ports' network interfaces, then becomes the command.
"""

from __future__ import annotations

import os
import subprocess
import sys


def make_interfaces(names: list[str]) -> None:
    """One end of a veth pair for each port; the other end is the wire, on which nothing passes."""
    lines = ["link set lo up"]
    for name in names:
        lines += [f"link add {name} type veth peer name {name}w", f"link set {name} up", f"link set {name}w up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def main() -> None:
    end = sys.argv.index("--")
    make_interfaces(sys.argv[1:end])
    command = sys.argv[end + 1 :]
    # Only now, so that unshare, Python and ip run on the machine as it is. What is preloaded already stays first.
    libraries = [os.environ.get("LD_PRELOAD", ""), os.environ.pop("CTOFFLOAD_MLX5_STANDIN_LIBRARY")]
    os.environ["LD_PRELOAD"] = ":".join(library for library in libraries if library)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
