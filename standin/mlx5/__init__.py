"""The stand-in below DPDK's mlx5 driver: Debian's unmodified driver probes, starts and judges rules without a NIC.

    with Standin(directory, steering=Steering.HARDWARE) as nic:
        process = subprocess.Popen(nic.command(["dpdk-testpmd", *nic.eal_args(), ...]), env=nic.environment())
        with nic.control() as control:
            control.rules()

docs/standin.md says what it fakes, what it checks, and what a green test does not prove.
"""

from standin.mlx5.control import Complaint, Context, Control, ControlError, Fault, Refusal, RuleRecord
from standin.mlx5.process import Standin, Steering, why_unavailable
from standin.mlx5.worker import Worker, WorkerDied, WorkerError

__all__ = [
    "Complaint",
    "Context",
    "Control",
    "ControlError",
    "Fault",
    "Refusal",
    "RuleRecord",
    "Standin",
    "Steering",
    "Worker",
    "WorkerDied",
    "WorkerError",
    "why_unavailable",
]
