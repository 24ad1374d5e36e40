"""Records what a ConnectX or BlueField says it can do, as a profile for the stand-in below the mlx5 driver.

    python hw-tests/record_profile.py 0000:08:00.0 > my-card.json
    pytest hw-tests --dut standin:hardware,profile=my-card.json

Asks firmware by libmlx5's DevX (QUERY_HCA_CAP), as the driver does; nothing is changed. Needs root, or CAP_NET_RAW and
a device file of one's own. The answers hold no serial numbers and no addresses.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

QUERY_HCA_CAP, CURRENT = 0x100, 1
KINDS = range(0x30)
HEADER, ANSWER = 16, 16 + 4096
DEVX = 1
PCI = Path("/sys/bus/pci/devices")


class RecordError(Exception):
    """What is wrong, and in a second line how to mend it."""


class ContextAttributes(ctypes.Structure):
    """struct mlx5dv_context_attr."""

    _fields_ = (("flags", ctypes.c_uint32), ("comp_mask", ctypes.c_uint64))


def libraries() -> ctypes.CDLL:
    """libibverbs and libmlx5, or what is preloaded in their place. Raises RecordError."""
    try:
        for name in ("libibverbs.so.1", "libmlx5.so.1"):
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise RecordError(f"{error}\n  hint: apt-get install libibverbs1 ibverbs-providers") from None
    found = ctypes.CDLL(None, use_errno=True)
    found.ibv_get_device_list.restype = ctypes.POINTER(ctypes.c_void_p)
    found.ibv_get_device_list.argtypes = [ctypes.POINTER(ctypes.c_int)]
    found.mlx5dv_open_device.restype = ctypes.c_void_p
    found.mlx5dv_open_device.argtypes = [ctypes.c_void_p, ctypes.POINTER(ContextAttributes)]
    found.mlx5dv_devx_general_cmd.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
    ]  # fmt: skip
    found.ibv_close_device.argtypes = [ctypes.c_void_p]
    return found


def rdma_names(address: str) -> list[str]:
    """The names of the RDMA devices of a PCI device."""
    return sorted(path.name for path in (PCI / address / "infiniband").glob("*"))


def opened(verbs: ctypes.CDLL, address: str) -> int:
    """A context of the device. Raises RecordError."""
    n = ctypes.c_int()
    devices = verbs.ibv_get_device_list(ctypes.byref(n))
    wanted = rdma_names(address)
    chosen = [devices[i] for i in range(n.value) if n.value == 1 or name_of(verbs, devices[i]) in wanted]
    if not chosen:
        raise RecordError(
            f"no RDMA device at {address}\n  hint: it must be bound to mlx5_core, with mlx5_ib and ib_uverbs loaded"
        )
    context = verbs.mlx5dv_open_device(chosen[0], ctypes.byref(ContextAttributes(DEVX, 0)))
    if not context:
        why = os.strerror(ctypes.get_errno())
        raise RecordError(f"{address} cannot be opened for DevX: {why}\n  hint: run as root")
    return int(context)


def name_of(verbs: ctypes.CDLL, device: int) -> str:
    verbs.ibv_get_device_name.restype = ctypes.c_char_p
    verbs.ibv_get_device_name.argtypes = [ctypes.c_void_p]
    return str(verbs.ibv_get_device_name(device).decode())


def asked(verbs: ctypes.CDLL, context: int, op_mod: int) -> bytes | None:
    """One part of the capabilities, without the zeros at its end; None where firmware has no such part."""
    question = QUERY_HCA_CAP.to_bytes(2, "big") + bytes(4) + op_mod.to_bytes(2, "big") + bytes(HEADER - 8)
    answer = ctypes.create_string_buffer(ANSWER)
    failed = verbs.mlx5dv_devx_general_cmd(context, question, HEADER, answer, ANSWER)
    if failed or answer.raw[0] != 0:
        return None
    return answer.raw[HEADER:].rstrip(b"\0")


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def record(address: str) -> dict[str, object]:
    """The profile of the card at a PCI address. Raises RecordError."""
    verbs = libraries()
    context = opened(verbs, address)
    place = Path(os.environ.get("SYSFS_PCI_DEVICES", str(PCI))) / address
    found = {op_mod: asked(verbs, context, op_mod) for op_mod in (kind << 1 | CURRENT for kind in KINDS)}
    verbs.ibv_close_device(context)
    recorded = {f"{op_mod:#x}": data.hex() for op_mod, data in found.items() if data}
    if not recorded:
        hint = "DevX needs root, and firmware that allows it (UCTX_EN)"
        raise RecordError(f"{address} answered nothing\n  hint: {hint}")
    names = rdma_names(address)
    return {
        "schema": 1,
        "card": f"recorded at {address}",
        "device": read(place / "device") or "0x0",
        "known_by": "recorded from a card by hw-tests/record_profile.py",
        "set": {},
        "firmware": read(PCI / address / "infiniband" / names[0] / "fw_ver") if names else "",
        "recorded": recorded,
    }


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: record_profile.py PCI-ADDRESS > PROFILE.json", file=sys.stderr)
        return 2
    try:
        print(json.dumps(record(sys.argv[1]), indent=1))
    except RecordError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
