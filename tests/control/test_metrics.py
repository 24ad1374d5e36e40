"""The metrics: scraped over HTTP, judged by promtool, collected by a real Prometheus, shown by the dashboard."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scapy.all as scapy
from prometheus_client.parser import text_string_to_metric_families
from serving import Serving, received
from story import A, UdpConnection

from ctoffload_dpdk.base.errors import UsageError
from ctoffload_dpdk.base.packets import Packets
from ctoffload_dpdk.control import metrics_http
from ctoffload_dpdk.control.metrics import METRICS, page
from ctoffload_dpdk.control.metrics_http import MetricsServer
from ctoffload_dpdk.control.system import System
from ctoffload_dpdk.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from build_support.prometheus_tools import PROMTOOL, SERVER, tools  # noqa: E402

pytestmark = pytest.mark.eal


@pytest.fixture
def serving(lab):
    serving = Serving(MetricsServer(System(lab.engine), "local", 0))
    yield serving
    serving.close()


@pytest.fixture
def prometheus() -> Path:
    found = tools(ROOT)
    if found is None:
        pytest.skip("Debian's prometheus was not fetched here (python -m build_support.prometheus_tools)")
    return found


def url(serving: Serving) -> str:
    return f"http://127.0.0.1:{serving.servers[0].port}/metrics"


def scraped(serving: Serving) -> dict[str, float]:
    """{"name{label=value}": value} of one scrape."""
    with urllib.request.urlopen(url(serving), timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_scrape_says_what_the_engine_says(lab, serving):
    lab.tcp()
    lab.udp(answered=False)
    found = scraped(serving)
    assert found["ctoffload_connections"] == 2
    assert found["ctoffload_connections_created_total"] == 2
    assert found["ctoffload_connections_in_hardware"] == 1
    assert found["ctoffload_rules"] == lab.engine.rules().live
    assert found["ctoffload_packets_received_total"] == 4
    assert found["ctoffload_operations_total{operation=est,provider=dpdk,result=completed}"] == 1
    assert found["ctoffload_provider_active{provider=dpdk}"] == 1
    assert found["ctoffload_packets_dropped_total{reason=invalid}"] == 0
    lab.engine.conntrack.flush()
    lab.engine.settle(lab.now_ms)
    assert scraped(serving)["ctoffload_connections_ended_total{cause=flushed}"] == 2


def test_fragments_that_are_held_and_packets_that_wait_for_another_loop_are_told_apart(make_lab):
    lab = make_lab(replace(Settings(), ct_offload_loops=2, hw_offload=False), queues=2)

    def told() -> tuple[float, float]:
        with contextlib.closing(Serving(MetricsServer(System(lab.engine), "local", 0))) as serving:
            found = scraped(serving)
        return found["ctoffload_fragments_held"], found["ctoffload_packets_waiting"]

    conn = lab.udp(answered=False)
    whole = scapy.IP(src=conn.src, dst=conn.dst) / scapy.UDP(sport=conn.sport, dport=conn.port) / bytes(3000)
    lab.send(A, Packets.of([bytes(scapy.Ether() / piece) for piece in scapy.fragment(whole, 1240)[:2]]))
    assert told() == (2, 0)
    conns = [UdpConnection(lab, answered=False) for _ in range(16)]
    frames = [bytes(conn.frame(A, scapy.UDP(sport=conn.sport, dport=53) / b"q")) for conn in conns]
    lab.nics[A].wire_send(Packets.of(frames))
    lab.engine.loops[0].run_once(lab.now_ms)
    assert told() == (2, lab.engine.loops[1].handed())
    assert lab.engine.loops[1].handed() > 0
    lab.engine.settle(lab.now_ms)
    assert told() == (2, 0)


def test_each_metric_is_there_and_promtool_finds_nothing_wrong(lab, serving, prometheus):
    lab.tcp()
    with urllib.request.urlopen(url(serving), timeout=10) as answer:
        text = answer.read()
    names = {re.split(r"[{ ]", line)[0] for line in text.decode().splitlines() if not line.startswith("#")}
    empty = {"ctoffload_not_offloaded_total"}  # nothing was refused
    assert names | empty == {described.full_name for described in METRICS}
    done = subprocess.run([prometheus / PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_openmetrics_for_who_asks_for_it(serving):
    request = urllib.request.Request(url(serving), headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def collecting(serving: Serving, prometheus: Path, tmp_path: Path) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """A real Prometheus that scrapes every second; gives what asks it for the result of an expression."""
    target = f"127.0.0.1:{serving.servers[0].port}"
    scrape = {"job_name": "ctoffload", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"scrape_configs": [scrape]}))  # JSON is YAML
    subprocess.run([prometheus / PROMTOOL, "check", "config", config], capture_output=True, check=True)
    port = free_port()
    command = [prometheus / SERVER, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def ask(expression: str) -> list[dict[str, Any]]:
        """Its series; waits until there are any."""
        query = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < until, f"it has nothing for {expression}"
            with contextlib.suppress(urllib.error.URLError):
                with urllib.request.urlopen(query, timeout=5) as answer:
                    if result := json.load(answer)["data"]["result"]:
                        return list(result)
            time.sleep(0.1)

    try:
        yield ask
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_page_has_every_metric():
    assert (ROOT / "docs/metrics.md").read_text().endswith(page())


def targets() -> list[dict[str, str]]:
    """What the panels of the dashboard ask for, with its variables as Grafana fills them in."""
    panels = json.loads((ROOT / "docs/grafana-dashboard.json").read_text())["panels"]
    found = [dict(target) for panel in panels for target in panel["targets"]]
    for target in found:
        target["expr"] = target["expr"].replace("$instance", ".+").replace("$__rate_interval", "1m")
        assert "$" not in target["expr"]
    return found


def test_promtool_reads_every_expression_of_the_dashboard(prometheus, tmp_path):
    rules = [{"record": f"panel:{number}", "expr": target["expr"]} for number, target in enumerate(targets())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run([prometheus / PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout
    file.write_text(file.read_text().replace("rate(", "rat(", 1))
    assert subprocess.run([prometheus / PROMTOOL, "check", "rules", file], capture_output=True, check=False).returncode


def test_a_real_prometheus_collects_them_and_every_panel_of_the_dashboard_shows_something(
    lab, serving, prometheus, tmp_path
):
    lab.tcp()
    gre = scapy.Ether(dst="02:00:00:00:00:0b") / scapy.IP(src="198.51.100.7", dst="198.51.100.8", proto=47) / (b"x" * 8)
    lab.packet(A, gre)
    with collecting(serving, prometheus, tmp_path) as ask:
        (result,) = ask("ctoffload_connections_in_hardware")
        assert result["value"][1] == "1"
        assert result["metric"]["instance"] == f"127.0.0.1:{serving.servers[0].port}"
        for target in targets():
            series = ask(target["expr"].removesuffix(" > 0"))
            for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
                assert all(label in one["metric"] for one in series), target


def test_every_metric_of_the_dashboard_exists():
    dashboard = json.loads((ROOT / "docs/grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
    used = set(re.findall(r"ctoffload_\w+", " ".join(expressions)))
    assert len(used) > 15
    assert used <= {described.full_name for described in METRICS}
    labels = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(dashboard)))
    assert labels <= {label for described in METRICS for label in described.labels} | {"instance"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def asked(serving: Serving, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", serving.servers[0].port), timeout=20) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return received(client)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../etc HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics FTP/1.1\r\n\r\n", b"400"),
        (b"\xff\x00\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n", b"400"),
        (b"", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=x.y\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nAccept: ;;;=,,text/plain;version\r\n\r\n", b"200"),
    ],
)
def test_whatever_is_asked_is_answered(serving, data, status):
    assert asked(serving, data).split(b" ")[1] == status
    assert scraped(serving)["ctoffload_connections"] == 0


def test_a_client_that_says_nothing_is_let_go(serving, monkeypatch):
    monkeypatch.setattr(metrics_http, "LIMIT_S", 0.2)
    with socket.create_connection(("127.0.0.1", serving.servers[0].port), timeout=20) as client:
        client.sendall(b"GET /metr")
        assert received(client) == b""
    assert serving.servers[0].turned_away["slow"] == 1


def test_a_thousand_clients(serving, monkeypatch):
    monkeypatch.setattr(metrics_http, "LIMIT_S", 0.5)
    address = ("127.0.0.1", serving.servers[0].port)
    for _ in range(10):
        clients = [socket.create_connection(address, timeout=20) for _ in range(100)]
        for client in clients:
            client.close()
    for _ in range(50):
        try:
            found = scraped(serving)
        except (OSError, urllib.error.URLError):
            continue
        assert found["ctoffload_connections"] == 0
        return
    pytest.fail("it serves nobody any more")


def test_a_port_that_is_taken_is_said(lab, serving):
    with pytest.raises(UsageError, match="cannot be served at port"):
        Serving(MetricsServer(System(lab.engine), "local", serving.servers[0].port))
