"""Remotes of every kind: TLS, a cluster that loses its leader, servers that lie."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from contextlib import closing

import pytest
from ovsdb_lab import client_remotes, cluster, free_port, leader, single, until

from ctoffload_dpdk.config import OvsdbSource, Tls

RATE = "ct-offload-rate"


def rate(source):
    return source.given[RATE].value if RATE in source.given else None


def follow(source, condition, complaint):
    until(condition, complaint, lambda: (source.wait(50), source.run()))


def test_many_hosts_follow_a_cluster_that_loses_its_leader(tmp_path):
    servers = cluster(tmp_path)
    hosts = [OvsdbSource(client_remotes(servers), host=f"host{i}") for i in range(3)]

    def turn():
        for host in hosts:
            host.wait(5)
            host.run()

    try:
        servers[0].vsctl("set", "Open_vSwitch", ".", "other_config:ct-offload-rate=5")
        until(lambda: all(rate(h) == 5 for h in hosts), "not all hosts follow", turn)
        first = leader(servers)
        first.stop()
        second = leader(servers)
        assert second is not first
        second.set(ct_offload_rate="6")
        until(lambda: all(rate(h) == 6 for h in hosts), "not all hosts follow the new leader", turn)
        for i, host in enumerate(hosts):
            host.set_status(f"host {i}")
        keys = [host.status_key for host in hosts]
        until(lambda: all(k in second.vsctl("get", "Open_vSwitch", ".", "external_ids") for k in keys), "status", turn)
    finally:
        for host in hosts:
            host.close()
        for server in servers:
            server.stop()


@pytest.fixture
def certificates(tmp_path):
    """An authority and a certificate it signed: (key, certificate, authority)."""

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path, timeout=60)

    new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    openssl(*new, "/CN=authority", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "/CN=us", "-keyout", "us.key", "-out", "us.csr")
    openssl("x509", "-req", "-in", "us.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "us.pem")
    return [str(tmp_path / name) for name in ("us.key", "us.pem", "ca.pem")]


@pytest.fixture
def tls_server(tmp_path, certificates):
    key, certificate, authority = certificates
    options = [f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={authority}"]
    port = free_port()
    server = single(tmp_path, f"pssl:{port}:127.0.0.1", options=options)
    yield server, f"ssl:127.0.0.1:{port}"
    server.stop()


def test_a_remote_by_tls(tls_server, certificates):
    server, remote = tls_server
    server.set(ct_offload_rate="5")
    with closing(OvsdbSource(remote, tls=Tls(*certificates))) as source:
        follow(source, lambda: rate(source) == 5, source.state)


def test_an_authority_that_did_not_sign_the_servers_certificate(tls_server, certificates, tmp_path):
    _, remote = tls_server
    words = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-x509", "-keyout", "o.key", "-out", "o.pem"]
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path, timeout=60)
    key, certificate, _ = certificates
    with closing(OvsdbSource(remote, tls=Tls(key, certificate, str(tmp_path / "o.pem")))) as source:
        for _ in range(20):
            source.wait(10)
            source.run()
        assert not source.is_connected
        assert not source.was_read


class Liar:
    """A server that answers whatever it gets with bytes of ours."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.n_clients = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.remote = f"tcp:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                self.n_clients += 1
                client.recv(65536)
                try:
                    client.sendall(self.answer)
                    client.recv(65536)
                except OSError:
                    continue


def reply(result) -> bytes:
    """Answers with the ids a new client uses first."""
    return b"".join(json.dumps({"id": i, "result": result, "error": None}).encode() for i in range(20))


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xfe\xfd" * 100,
        b"{" * 100_000,
        b"[" * 100_000,
        b"not json at all",
        b'{"id":0}',
        reply(None),
        reply([]),
        reply({"tables": 3}),
        reply([True, "x", {"Open_vSwitch": {"no uuid": {"initial": 1}}}]),
        json.dumps({"method": "update3", "params": [None, "x", {"Open_vSwitch": 7}], "id": None}).encode(),
        json.dumps({"method": "update2", "params": [[], []], "id": None}).encode(),
        b"",
    ],
    ids=range(12),
)
def test_a_server_that_lies_changes_nothing(answer):
    liar = Liar(answer)
    with closing(liar.listener), closing(OvsdbSource(liar.remote)) as source:
        for _ in range(30):
            source.wait(20)
            assert not source.run()
        assert liar.n_clients
        assert source.given == {}
        assert not source.is_connected
