"""The same driver in the applications that come with DPDK: a check by peers that know nothing of us."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

EAL = ["-l", "0,1", "--no-huge", "-m", "128", "--no-shconf", "--no-pci", "--no-telemetry", "-d", "librte_net_nicsim.so"]


def run(program: str, arguments: list[str], stdin: str = "") -> str:
    """What an application printed; it finds the driver by its bare name, as EAL takes no path it thinks insecure."""
    from ctoffload_dpdk.nicsim import NicsimError, driver_path  # noqa: PLC0415 - fails where it is not built

    try:
        driver = driver_path()
    except NicsimError as error:
        pytest.skip(str(error))
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: dpdk-dev)")
    environ = {**os.environ, "LD_LIBRARY_PATH": str(driver.parent)}
    done = subprocess.run(
        [program, *EAL, *arguments], input=stdin, capture_output=True, text=True, timeout=60, env=environ, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


TESTPMD = """
set fwd rxonly
flow create 0 ingress pattern eth / ipv4 src is 10.0.0.1 dst is 10.0.0.2 / udp src is 1000 dst is 53 / end \
actions count / age timeout 30 / queue index 0 / end
flow create 0 ingress pattern eth / vlan tci is 7 / ipv6 / tcp dst is 80 / end actions mark id 9 / rss / end
flow create 0 ingress pattern eth / ipv4 / gre / end actions drop / end
flow create 0 ingress pattern eth / ipv4 / end actions dec_tcp_seq value 1 / drop / end
flow indirect_action 0 create action_id 5 ingress action count / end
flow create 0 ingress pattern eth / ipv4 / tcp / end actions indirect 5 / drop / end
flow create 0 transfer pattern represented_port ethdev_port_id is 1 / eth / end actions represented_port \
ethdev_port_id 0 / end
flow list 0
flow query 0 0 count
flow query 0 0 age
flow indirect_action 0 query 5
flow aged 0
flow isolate 0 1
flow destroy 0 rule 0
flow query 0 0 count
flow flush 0
flow list 0
flow indirect_action 0 destroy action_id 5
show port info 0
quit
"""


def test_testpmd_makes_asks_and_destroys_rules() -> None:
    vdevs = ["--vdev", "net_nicsim0,switch=1,queues=2", "--vdev", "net_nicsim1,switch=1"]
    said = run("dpdk-testpmd", [*vdevs, "--", "-i", "--total-num-mbufs=2048"], TESTPMD)
    assert "Flow rule #3 created" in said
    assert re.search(r"0\s+0\s+0\s+i--\s+ETH IPV4 UDP => COUNT AGE QUEUE", said)
    assert re.search(r"1\s+0\s+0\s+i--\s+ETH VLAN IPV6 TCP => MARK RSS", said)
    assert re.search(r"3\s+0\s+0\s+--t\s+REPRESENTED_PORT ETH => REPRESENTED_PORT", said)
    assert "item not supported: Operation not supported" in said
    assert "action not supported: Operation not supported" in said
    assert "a port can be isolated only while it is stopped: Device or resource busy" in said
    assert "hits_set: 1\n bytes_set: 1\n hits: 0" in said
    assert "sec_since_last_hit: 0" in said
    assert "Port 0 total aged flows: 0" in said
    assert "Flow rule #0 destroyed" in said
    assert "Flow rule #0 not found" in said
    assert "Indirect action #5 destroyed" in said
    assert "Driver name: net_nicsim" in said


LOOP = """
set fwd txonly
flow create 0 ingress pattern eth / ipv4 / udp / end actions count / age timeout 1 / drop / end
start
stop
flow query 0 0 count
show port stats 0
quit
"""


def test_testpmd_sends_and_its_packets_come_back_over_the_wire_to_a_rule() -> None:
    said = run("dpdk-testpmd", ["--vdev", "net_nicsim0,loopback=1", "--", "-i", "--total-num-mbufs=2048"], LOOP)
    hits = int(re.findall(r" hits: (\d+)", said)[0])
    sent = int(re.findall(r"TX-packets: (\d+)", said)[-1])
    assert hits == sent > 0
    assert f" bytes: {sent * 64}\n" in said


@pytest.mark.parametrize("mtsafe", [0, 1])
def test_flow_perf_makes_and_destroys_a_hundred_thousand(mtsafe: int) -> None:
    arguments = f"--vdev net_nicsim0,capacity=100001,mtsafe={mtsafe} -- --ingress --ether --ipv4 --udp --count --queue"
    said = run(
        "dpdk-test-flow-perf",
        [*arguments.split(), "--rules-count=100000", "--rules-batch=50000", "--deletion-rate"],
    )
    rates = re.findall(r"Total (?:flows insertion|deletion) rate -> ([0-9.]+) K", said)
    assert len(rates) == 4
    assert all(float(rate) > 0 for rate in rates)


def test_a_wrong_parameter_fails_the_probe_with_what_is_allowed() -> None:
    said = run("dpdk-testpmd", ["--vdev", "net_nicsim0,rules=5", "--", "--total-num-mbufs=2048"])
    assert "net_nicsim0: cannot take rules=5; allowed: capacity=1..16777215" in said
    assert "No probed ethernet devices" in said
