from __future__ import annotations

import json

import pytest

from ctoffload_dpdk.cli.main import run
from ctoffload_dpdk.cli.pmdinfo import running_dpdk
from ctoffload_dpdk.dpdk.pmdinfo import plugin_directory

INSTALLED = plugin_directory(running_dpdk())
MLX5 = min(INSTALLED.glob("librte_net_mlx5.so*"))


def shown(capsys, *args: str) -> list[dict]:
    assert run(["pmdinfo", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["drivers"]


def test_a_driver_is_shown_with_its_devices(capsys):
    assert run(["pmdinfo", str(MLX5)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"mlx5_eth  {MLX5}\n")
    assert " 15b3:101d " in out
    assert "mlx5_core" in out
    (driver,) = shown(capsys, str(MLX5))
    assert driver["name"] == "mlx5_eth"
    ids = [(i["vendor"], i["device"]) for i in driver["pci_ids"]]
    assert (0x15B3, 0x101D) in ids


def test_without_a_file_the_installed_drivers_are_shown(capsys):
    everything = shown(capsys)
    networks = {path.name.partition(".")[0] for path in INSTALLED.glob("librte_net_*.so")}
    assert len(everything) >= len(networks) > 5
    assert shown(capsys, str(INSTALLED)) == everything
    assert shown(capsys, str(running_dpdk())) == everything


def test_drivers_are_found_by_the_device_they_serve(capsys):
    names = {driver["name"] for driver in shown(capsys, "--device", "15B3:101d")}
    assert "mlx5_eth" in names
    assert "net_i40e" not in names
    assert shown(capsys, "--device", "0000:0000") == []
    assert run(["pmdinfo", "--device", "0000:0000"]) == 0
    assert capsys.readouterr().err == "no driver found\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["/no/such/file"], "No such file"),
        (["/etc/passwd"], "neither an ELF file nor an archive"),
        (["--device", "mlx5"], "is not VENDOR:DEVICE"),
    ],
)
def test_wrong_input_is_said_in_two_lines(capsys, args, words):
    assert run(["pmdinfo", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert 1 <= len(err.splitlines()) <= 2


def test_a_device_without_an_end_is_refused(capsys):
    assert run(["pmdinfo", "/dev/null"]) == 2
    assert "/dev/null is no file that can be read whole" in capsys.readouterr().err
