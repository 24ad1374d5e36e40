"""A lab per test, on the emulated NIC."""

from engine_labs import lab, make_lab

__all__ = ["lab", "make_lab"]
