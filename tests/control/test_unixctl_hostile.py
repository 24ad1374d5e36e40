"""The unixctl socket under clients of bad intent: no bytes end the daemon, nor keep others from being served."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Serving, connected, received

from ctoffload_dpdk.control import unixctl
from ctoffload_dpdk.control.unixctl import MAX_CLIENTS, MAX_REQUEST_BYTES

pytestmark = pytest.mark.eal


def request(method: str, *params: object, number: object = 1) -> bytes:
    return json.dumps({"id": number, "method": method, "params": list(params)}).encode()


def exchange(unixctl_server: Serving, data: bytes) -> list[dict[str, object]]:
    """What comes back for these bytes, until the server closes."""
    with connected(unixctl_server.servers[0].path) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        text = received(client).decode()
    answers, decoder = [], json.JSONDecoder()
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:]
    return answers


def still_serves(unixctl_server: Serving) -> bool:
    (answer,) = exchange(unixctl_server, request("dpctl/ct-get-nconns"))
    return answer == {"id": 1, "error": None, "result": "0\n"}


def test_requests_sent_at_once_are_answered_in_order(unixctl_server):
    asked = b"".join(request("version", number=i) for i in range(100))
    assert [answer["id"] for answer in exchange(unixctl_server, asked)] == list(range(100))


def test_an_id_is_given_back_whatever_it_is(unixctl_server):
    for number in ("text", 0, -1.5, [1, {"a": 2}], {"x": None}, False):
        (answer,) = exchange(unixctl_server, request("version", number=number))
        assert answer["id"] == number


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello ", "no-json"),
        (b"[]", "no-request"),
        (b'"x"', "no-json"),
        (b"{}", "no-request"),
        (b'{"id": null, "method": "version", "params": []}', "no-request"),
        (b'{"id": 1, "method": "version"}', "no-request"),
        (b'{"id": 1, "method": 5, "params": []}', "no-request"),
        (b'{"id": 1, "method": "version", "params": {}}', "no-request"),
        (b'{"id": 1, "result": "unasked"}', "no-request"),
        (b'{"id": 1, "method": "version", "params": [], "more": 1}', "no-request"),
        (b"\xff\xfe\x00", "not-utf-8"),
        (b"[" * 5000, "no-json"),
        (b"9" * 20000 + b" ", "no-json"),
        (b'{"id": 1e99999999999999999999}', "no-json"),
        (b'{"id": "\\u0000"}', "no-json"),
        (b'{"id": 1, "method": "' + b"x" * (2 * MAX_REQUEST_BYTES), "too-long"),
        (b" " * (2 * MAX_REQUEST_BYTES), "too-long"),
    ],
)
def test_what_is_no_request_ends_its_connection_only(unixctl_server, data, reason):
    assert exchange(unixctl_server, data) == []
    assert unixctl_server.servers[0].turned_away[reason] == 1
    assert still_serves(unixctl_server)


def test_half_a_request_is_no_request(unixctl_server):
    assert exchange(unixctl_server, request("version")[:-1]) == []
    assert still_serves(unixctl_server)


def test_a_word_that_is_none_is_refused(unixctl_server):
    (answer,) = exchange(unixctl_server, request("dpctl/dump-conntrack", 5))
    assert answer == {"id": 1, "error": '"dpctl/dump-conntrack" command has non-string argument'}


def test_clients_that_say_nothing_do_not_keep_others_out(unixctl_server):
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CLIENTS // 2):
            stack.enter_context(connected(unixctl_server.servers[0].path))
        assert still_serves(unixctl_server)


def test_a_thousand_clients(unixctl_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip("too few files may be open for 1,000 clients: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connected(unixctl_server.servers[0].path)) for _ in range(1000)]
            answered = 0
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(request("version"))
                    answered += bool(client.recv(4096))
        assert answered == MAX_CLIENTS
        assert unixctl_server.servers[0].turned_away["too-many"] == 1000 - MAX_CLIENTS
        for _ in range(200):
            if unixctl_server.call(lambda: len(unixctl_server.servers[0]._clients)) == 0:
                break
        assert still_serves(unixctl_server)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_never_reads_is_let_go(lab, unixctl_server, monkeypatch):
    monkeypatch.setattr(unixctl, "WRITE_LIMIT_S", 0.3)
    for sport in range(2000):
        lab.udp(sport=20_000 + sport, answered=False)
    with connected(unixctl_server.servers[0].path) as client:
        client.sendall(request("dpctl/dump-conntrack", "-m") * 20)
        until = time.monotonic() + 20
        while not unixctl_server.servers[0].turned_away["gone"]:
            assert time.monotonic() < until, "it was not let go"
            (answer,) = exchange(unixctl_server, request("dpctl/ct-get-nconns"))
            assert answer["result"] == "2000\n"


def test_random_bytes_never_end_the_server(unixctl_server):
    dice = random.Random(1)
    words = [b'{"id": 1, ', b'"method": ', b'"version"', b'"params": [', b"]", b"}", b"\x00", b'"', b"1e9", b"\\u"]
    for _ in range(200):
        junk = [dice.choice([*words, dice.randbytes(dice.randint(1, 40))]) for _ in range(dice.randint(1, 40))]
        exchange(unixctl_server, b"".join(junk))
    assert still_serves(unixctl_server)


KNOWN = """zone=1 zone= mark=1/2 labels=0x1 ct_nw_proto=1 ct_nw_proto=6 ct_nw_src=1.2.3.4 ct_tp_src=1 icmp_id=1
icmp_type=3 v4 v6 default=1 default zone=1,limit=2 gt=1 -m -s -ms --more netdev@ctoffload verbose 1200 0 -1"""
WORDS = st.one_of(
    st.sampled_from(KNOWN.split()),
    st.text(max_size=30),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None)
@given(st.data())
def test_no_words_are_a_bug(unixctl_server, data):
    method = data.draw(st.sampled_from(sorted(unixctl_server.servers[0].commands)))
    params = data.draw(st.lists(WORDS, max_size=5))
    params = [word.encode("utf-8", "ignore").decode().replace("\0", "") for word in params]
    (answer,) = exchange(unixctl_server, request(method, *params))
    assert "bug" not in str(answer.get("error"))
