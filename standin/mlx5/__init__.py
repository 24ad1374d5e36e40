"""The stand-in below DPDK's mlx5 driver: Debian's unmodified driver probes, starts and judges rules without a NIC.

    with Standin(directory, steering=Steering.HARDWARE) as nic:
        process = subprocess.Popen(nic.command(["dpdk-testpmd", *nic.eal_args(), ...]), env=nic.environment())
        with nic.control() as control:
            control.rules()

docs/standin.md says what it fakes, what it checks, and what a green test does not prove.
"""

from standin.mlx5.control import Context, Control, ControlError, Fault, Refusal, RuleRecord
from standin.mlx5.process import Standin, Steering, Unavailable, why_unavailable

__all__ = [
    "Context",
    "Control",
    "ControlError",
    "Fault",
    "Refusal",
    "RuleRecord",
    "Standin",
    "Steering",
    "Unavailable",
    "why_unavailable",
]
