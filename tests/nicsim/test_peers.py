"""The same driver in the applications that come with DPDK: a check by peers that know nothing of us."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from search_path import library_path

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
    environ = {**os.environ, "LD_LIBRARY_PATH": library_path(driver.parent)}
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


# testpmd of 22.11 gives actions templates no direction, and a queue's update of a context the wrong pointer.
TEMPLATES = """
port stop all
flow info 0
flow configure 0 queues_number 2 queues_size 8 counters_number 100 aging_counters_number 100 flags 0
flow configure 0 queues_number 2 queues_size 9 counters_number 100
port start all
flow pattern_template 0 create pattern_template_id 1 ingress template eth / ipv4 src mask 255.255.255.255 / \
udp src mask 0xffff / end
flow pattern_template 0 create pattern_template_id 2 ingress template eth / ipv4 src is 0.0.0.0 / tcp src is 0 / end
flow pattern_template 0 create pattern_template_id 3 ingress template eth / ipv4 / nvgre / end
flow actions_template 0 create actions_template_id 1 template count / queue / end mask count / queue / end
flow actions_template 0 create actions_template_id 2 template count / age timeout 1 / drop / end \
mask count / age / drop / end
flow template_table 0 create table_id 1 group 0 priority 0 ingress rules_number 2 pattern_template 1 \
actions_template 1 actions_template 2
flow queue 0 create 0 template_table 1 pattern_template 0 actions_template 0 postpone yes \
pattern eth / ipv4 src is 10.0.0.1 / udp src is 1000 / end actions count / queue index 0 / end
flow pull 0 queue 0
flow queue 0 create 0 template_table 1 pattern_template 0 actions_template 1 postpone no \
pattern eth / ipv4 src is 10.0.0.2 / udp src is 1000 / end actions count / age timeout 5 / drop / end
flow queue 0 create 0 template_table 1 pattern_template 0 actions_template 0 postpone no \
pattern eth / ipv4 src is 10.0.0.3 / udp src is 1000 / end actions count / queue index 0 / end
flow pull 0 queue 0
flow query 0 0 count
flow queue 0 aged 0
flow template_table 0 destroy table 1
flow queue 0 destroy 0 postpone yes rule 0
flow push 0 queue 0
flow queue 0 destroy 0 postpone no rule 1
flow pull 0 queue 0
flow template_table 0 destroy table 1
flow pattern_template 0 destroy pattern_template 1
flow actions_template 0 destroy actions_template 1
quit
"""


def test_testpmd_makes_rules_through_templates_and_queues() -> None:
    arguments = ["--vdev", "net_nicsim0,counters=1000", "--", "-i", "--total-num-mbufs=2048"]
    said = run("dpdk-testpmd", arguments, TEMPLATES)
    assert "Number of queues: 64\nSize of queues: 65536\nNumber of counters: 1000" in said
    assert "Configure flows on port 0: number of queues 2 with 8 elements" in said
    assert "configured already: other sizes need the port closed" in said
    assert "item not supported: Operation not supported" in said
    assert "Template table #1 created" in said
    assert "the template table is full: No space left on device" in said
    assert re.findall(r"pulled (\d) operations \((\d) failed, (\d) succeeded\)", said) == [
        ("0", "0", "0"),
        ("2", "0", "2"),
        ("2", "0", "2"),
    ]
    assert "hits_set: 1\n bytes_set: 1\n hits: 0" in said
    assert "Port 0 queue 0 total aged flows: 0" in said
    assert "there are rules in the table: Device or resource busy" in said
    for gone in ("Template table #1", "Pattern template #1", "Actions template #1"):
        assert f"{gone} destroyed" in said
    assert "Bad arguments" not in said


CONTEXTS = """
port stop all
flow configure 0 queues_number 2 queues_size 8 counters_number 100 conn_tracks_number 4 aging_counters_number 1
port start all
set conntrack com peer 0 is_orig 1 enable 1 live 1 sack 1 cack 0 last_dir 0 liberal 0 state 1 max_ack_win 7 r_lim 5 \
last_win 510 last_seq 100 last_ack 200 last_end 100 last_index 0x8
set conntrack orig scale 7 fin 0 acked 1 unack_data 0 sent_end 1000 reply_end 33016339 max_win 28960 max_ack 1000
set conntrack rply scale 8 fin 0 acked 1 unack_data 0 sent_end 2000 reply_end 2546247 max_win 65280 max_ack 2000
flow indirect_action 0 create action_id 7 ingress action conntrack / end
flow indirect_action 0 update 7 action conntrack_update dir / end
flow pattern_template 0 create pattern_template_id 2 ingress template eth / ipv4 src is 0.0.0.0 / tcp src is 0 / end
flow actions_template 0 create actions_template_id 4 template indirect 7 / jump group 5 / end \
mask indirect 7 / jump group 5 / end
flow template_table 0 create table_id 2 group 3 priority 0 ingress rules_number 16 pattern_template 2 actions_template 4
flow queue 0 create 1 template_table 2 pattern_template 0 actions_template 0 postpone no \
pattern eth / ipv4 src is 10.0.0.1 / tcp src is 80 / end actions indirect 7 / jump group 5 / end
flow pull 0 queue 1
flow queue 0 indirect_action 0 query 7 postpone yes
flow push 0 queue 0
flow pull 0 queue 0
flow queue 0 indirect_action 0 destroy postpone no action_id 7
flow queue 0 destroy 1 postpone no rule 0
flow pull 0 queue 1
flow queue 0 indirect_action 0 destroy postpone no action_id 7
flow queue 0 indirect_action 0 create postpone yes action_id 8 ingress action age timeout 30 / end
flow queue 0 indirect_action 0 create postpone no action_id 9 ingress action age timeout 30 / end
flow push 0 queue 0
flow pull 0 queue 0
flow queue 0 indirect_action 0 update 8 postpone no action age_update timeout 50 / end
flow pull 0 queue 0
quit
"""


def test_testpmd_tracks_a_connection_through_queues() -> None:
    said = run("dpdk-testpmd", ["--vdev", "net_nicsim0", "--", "-i", "--total-num-mbufs=2048"], CONTEXTS)
    assert "Indirect action #7 created" in said and "Indirect action #7 updated" in said
    assert "Conntrack Context:\n  Peer: 0, Flow dir: Original, Enable: 1" in said
    assert re.search(r"scale: 7, fin: 0, ack seen: 1\n unacked data: 0\n +Sent end: 1000", said)
    assert re.search(r"scale: 8, fin: 0, ack seen: 1\n unacked data: 0\n +Sent end: 2000", said)
    assert "rules still use it: Device or resource busy" in said
    assert "Indirect action #7 destruction queued" in said
    assert "all ages are in use" in said
    assert re.findall(r"pulled (\d) operations \((\d) failed, (\d) succeeded\)", said) == [
        ("1", "0", "1"),
        ("1", "0", "1"),
        ("1", "0", "1"),
        ("2", "0", "2"),
        ("1", "0", "1"),
    ]
    assert "Bad arguments" not in said


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
