"""Damaged captures through the whole of `ctoffload replay`: an answer or an error in words, whatever the bytes."""

from __future__ import annotations

import json

from damaged import PACKETS, damaged_files, damaged_packets, set_checksums
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctoffload_dpdk.base.capture import read_capture
from ctoffload_dpdk.cli.main import run

OPTIONS = st.tuples(
    st.sampled_from([["--states"], ["--states", "--json"], [], ["--json"]]),
    st.sampled_from([[], ["--capture-time"]]),
    st.sampled_from([[], ["--no-ovs-compat"]]),
).map(lambda parts: [option for part in parts for option in part])

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def answers(path, capsys, options: list[str]) -> tuple[int, str]:
    """Replays and checks what holds of every answer; gives status and standard output."""
    status = run(["replay", str(path), *options])
    out, err = capsys.readouterr()
    assert status in (0, 1), err
    assert "bug" not in err
    assert (status == 1) == bool(err)
    if "--json" in options:
        error = json.loads(err) if err else None
        assert not out or json.loads(out)["error"] == error
    else:
        assert len(err.splitlines()) <= 2
    return status, out


@FUZZ
@given(data=damaged_files(), options=OPTIONS)
def test_a_damaged_file_is_answered(tmp_path, capsys, data, options):
    (tmp_path / "a").write_bytes(data)
    answers(tmp_path / "a", capsys, options)


@FUZZ
@given(data=damaged_packets(), options=OPTIONS)
def test_damaged_packets_get_a_state_each(tmp_path, capsys, data, options):
    path = tmp_path / "a"
    path.write_bytes(data)
    status, out = answers(path, capsys, options)
    n = len(read_capture(path).packets)
    assert status == 0
    if "--states" in options and "--json" not in options:
        assert {int(line.split(":")[0]) for line in out.splitlines()} == set(range(1, n + 1))
    elif "--json" in options:
        assert json.loads(out)["packets"] == n


def test_the_helper_that_damages_knows_right_checksums():
    def put_right(packet: bytes) -> bytes:
        changed = bytearray(packet)
        set_checksums(changed)
        return bytes(changed)

    # Of the recorded packets only fragments, odd headers and checksums that are wrong on purpose come out changed.
    assert sum(put_right(packet) == packet for packet in PACKETS) > 0.9 * len(PACKETS)
