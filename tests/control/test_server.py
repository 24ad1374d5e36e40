"""The stream socket, driven as clients drive it: well, badly, and with bad intent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
import resource
import socket
import stat
import threading

import pytest
from serving import Serving, connected, received

from ctoffload_dpdk.base import errors
from ctoffload_dpdk.base.errors import CtoffloadError, SettingsError, UsageError
from ctoffload_dpdk.control import protocol, server
from ctoffload_dpdk.control.client import Client, parsed
from ctoffload_dpdk.control.server import Server
from ctoffload_dpdk.control.system import System

pytestmark = pytest.mark.eal


class ControlServing(Serving):
    """The control room's own server, and where it listens."""

    def __init__(self, system, path):
        self.server = Server(system, path)
        self.path = path
        super().__init__(self.server)


@pytest.fixture
def serving(lab, tmp_path):
    serving = ControlServing(System(lab.engine), tmp_path / "control.sock")
    yield serving
    serving.close()
    assert not serving.path.exists()


def exchange(path, data, *, half_close=True):
    """What comes back for these bytes, until the server closes."""
    with connected(path) as client:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        said = received(client)
    return [json.loads(line) for line in said.splitlines()]


def still_serves(serving):
    with Client(serving.path) as client:
        return client.call("count")["connections"] >= 0


def test_documents_rows_and_errors_come_back_under_the_requests_id(lab, serving):
    lab.tcp(sport=40_001)
    with Client(serving.path) as client:
        assert client.call("count") == {"connections": 1}
        (row,) = client.rows("dump")
        assert row["orig"]["sport"] == 40_001
        (text,) = client.texts("dump")
        assert text.startswith("tcp,orig=(src=198.51.100.1,")
        with pytest.raises(UsageError) as refused:
            client.call("dump", zones=5)
        assert (refused.value.message, refused.value.errno) == ("dump has no parameter 'zones'", errno.EINVAL)
        assert client.call("count") == {"connections": 1}
    (answer,) = exchange(serving.path, b'{"id": "mine", "command": "count"}\n')
    assert answer == {"id": "mine", "schema": 1, "result": {"connections": 1}}


class Refusing:
    """A configuration that refuses every change with one error."""

    def set(self, name, value, where):
        raise self.error


def test_every_error_arrives_as_what_it_is(lab, tmp_path):
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CtoffloadError)]
    assert {errors.ClosedError, SettingsError, errors.RuleGone} < set(kinds)
    of_a_room = type("OfARoom", (SettingsError,), {})
    refusing = Refusing()
    served = contextlib.closing(Serving(Server(System(lab.engine, refusing), tmp_path / "errors.sock")))
    with served as serving, Client(serving.servers[0].path) as client:
        for kind, arrives_as in [*((kind, kind) for kind in kinds), (of_a_room, SettingsError)]:
            refusing.error = kind("no", errno=errno.EBUSY, op="set", provider="dpdk", port="eth0", hint="wait")
            with pytest.raises(CtoffloadError) as caught:
                client.call("config", name="hw-offload", value="true")
            assert type(caught.value) is arrives_as
            assert caught.value.as_dict() == refusing.error.as_dict() | {"error": arrives_as.__name__}


@pytest.mark.parametrize(
    "line", [b"", b"7", b"[" * 100_000, b'{"error": 7}', b'{"error": {"error": [], "errno": "x", "message": {}}}']
)
def test_whatever_a_daemon_answers_is_an_error_of_ours(line):
    with pytest.raises(CtoffloadError):
        parsed(line)


def test_requests_sent_at_once_and_a_half_closed_connection_are_answered_in_order(serving):
    asked = b"".join(b'{"id": %d, "command": "count"}\n' % i for i in range(200))
    assert [answer["id"] for answer in exchange(serving.path, asked)] == list(range(200))
    # the last line without its end
    assert exchange(serving.path, asked[:-1])[-1]["id"] == 199


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[]",
        b"null",
        b"{}",
        b'{"command": 5}',
        b'{"command": "count", "parameters": []}',
        b'{"id": [1], "command": "count"}',
        b'{"id": true, "command": "count"}',
        b'{"id": "' + b"x" * 100 + b'", "command": "count"}',
        b'{"command": "count", "parameters": {"zone": 1e400}}',
        b'{"command": "count", "parameters": {"zone": null, "mark": {"a": 1}}}',
        b"\xff\xfe\x00",
        b"[" * 30000,
        b'{"command": "\\ud800"}',
        b'{"command": "get", "parameters": {"id": "' + b"9" * 5000 + b'"}}',
        b'{"command": "get", "parameters": {"id": "1_0"}}',
        b'{"command": "dump", "parameters": {"src": "' + b"1" * 60000 + b'"}}',
    ],
)
def test_a_wrong_request_is_refused_and_the_next_one_answered(serving, line):
    refused, answered = exchange(serving.path, line + b'\n{"id": 2, "command": "count"}\n')
    assert set(refused) == {"id", "schema", "error"}
    assert refused["error"]["message"]
    assert "bug" not in refused["error"]["message"]
    assert answered["id"] == 2


def test_an_endless_line_is_cut_with_a_reason(serving):
    with connected(serving.path) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                client.sendall(b"x" * 65536)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            received = client.recv(65536)
    if received:
        assert json.loads(received)["error"]["errno"] == errno.EMSGSIZE
    assert serving.server.turned_away["line-too-long"] == 1
    assert still_serves(serving)


def test_random_bytes_never_end_the_server(serving):
    dice = random.Random(1)
    words = [
        b'{"id": 1, ',
        b'"command": ',
        b'"dump"',
        b'"count"',
        b"}",
        b"\n",
        b"\x00",
        b"[",
        b'"',
        b'"parameters": {',
        b"1e9",
    ]
    for _ in range(150):
        junk = b"".join(dice.choice([*words, dice.randbytes(dice.randint(1, 40))]) for _ in range(dice.randint(1, 60)))
        with contextlib.suppress(ConnectionError, TimeoutError):
            exchange(serving.path, junk)
    assert still_serves(serving)


def test_a_thousand_clients_are_served_or_told_that_there_are_too_many(serving):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(1000):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.connect(str(serving.path))
            client.settimeout(20)
            clients.append(client)
        served = refused = 0
        for client in clients:
            with contextlib.suppress(ConnectionError):
                client.sendall(b'{"id": 1, "command": "count"}\n')
            answer = json.loads(client.recv(65536).splitlines()[0])
            served += "result" in answer
            refused += "error" in answer and answer["error"]["errno"] == errno.EAGAIN
    assert served + refused == 1000
    assert served == protocol.MAX_CLIENTS
    assert still_serves(serving)


def test_a_client_that_reads_nothing_is_cut_and_holds_up_nobody(lab, serving, monkeypatch):
    monkeypatch.setattr(protocol, "READ_LIMIT_S", 0.5)
    for port in range(20):
        lab.udp(sport=50_000 + port)
    with connected(serving.path) as slow:
        asked = b'{"id": 1, "command": "dump", "parameters": {"format": "json"}}\n' * 200
        slow.sendall(asked)
        assert still_serves(serving)
        until = threading.Event()
        for _ in range(100):
            if serving.server.turned_away["slow"]:
                break
            until.wait(0.1)
    assert serving.server.turned_away["slow"] == 1
    assert still_serves(serving)


def test_an_idle_client_is_told_why_it_is_let_go(serving, monkeypatch):
    monkeypatch.setattr(protocol, "IDLE_LIMIT_S", 0.2)
    (told,) = exchange(serving.path, b"", half_close=False)
    assert told["error"]["message"].startswith("nothing was asked for")


def test_the_socket_is_its_owners_alone(serving):
    assert stat.S_IMODE(serving.path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as somebody else")
def test_another_user_is_refused_by_permissions(serving, tmp_path):
    tmp_path.chmod(0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            Client(serving.path)
            os.write(writer, b"0")
        except CtoffloadError as error:
            os.write(writer, str(error.errno).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 16)) == errno.EACCES
    os.close(reader)
    os.close(writer)


def test_a_second_daemon_is_refused_and_a_killed_ones_socket_taken_over(serving, lab, tmp_path):
    with pytest.raises(UsageError, match=f"a daemon serves this socket already .process {os.getpid()}"):
        asyncio.run(Server(System(lab.engine), serving.path).start())
    left = tmp_path / "left.sock"
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(left))
    dead.close()
    again = ControlServing(System(lab.engine), left)
    assert still_serves(again)
    again.close()


def test_what_is_no_socket_is_left_where_it_is(lab, tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("of somebody")
    link.symlink_to(file)
    for path in (file, link, tmp_path):
        with pytest.raises(UsageError, match="something is there that is no socket") as refused:
            asyncio.run(Server(System(lab.engine), path).start())
        assert refused.value.errno == errno.EADDRINUSE
        assert "--socket" in refused.value.hint
    assert file.read_text() == "of somebody"
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_no_daemon_is_said_with_what_to_do(tmp_path):
    with pytest.raises(CtoffloadError, match="no daemon can be reached at") as missing:
        Client(tmp_path / "nothing")
    assert missing.value.errno == errno.ENOENT
    assert "ctoffload run" in missing.value.hint
    with pytest.raises(UsageError, match="the path of a socket has 107 bytes at most"):
        Client(tmp_path / ("x" * 200))


def test_other_threads_run_functions_on_the_control_thread(serving):
    assert serving.server.call(lambda: threading.current_thread() is serving._thread)
    with pytest.raises(UsageError):
        serving.server.call(lambda: serving.server.system.setting("hw-offload", True, "a test"))


def test_a_half_closed_connection_ends_its_streams_and_the_rest_is_answered(serving):
    asked = b'{"id": 1, "command": "events"}\n{"id": 2, "command": "events"}\n{"id": 3, "command": "count"}\n'
    answers = exchange(serving.path, asked)
    assert [(one["id"], "end" in one or "result" in one) for one in answers] == [(1, True), (2, True), (3, True)]
    assert still_serves(serving)


def test_an_answer_that_takes_long_says_how_far_it_is(lab, serving, monkeypatch):
    for port in range(5):
        lab.udp(sport=50_000 + port)
    monkeypatch.setattr(server, "PROGRESS_AFTER_S", 0.0)
    monkeypatch.setattr(server, "PROGRESS_EVERY_S", 0.0)
    line = b'{"id": 3, "command": "count", "parameters": {"sport": 50001}}\n'
    progress, result = exchange(serving.path, line)
    assert progress == {"id": 3, "schema": 1, "progress": {"connections": 1, "looked_at": 5, "of": 5}}
    assert result["result"] == {"connections": 1}
    told = []
    with Client(serving.path) as client:
        assert client.call("count", sport=50_001) == {"connections": 1}
        found = client.call("top", rows=2, told=told.append)
        assert client.call("flush", proto="udp", told=told.append) == {"flushed": 5}
    counted, searched, flushed = told
    assert counted["offload"] == searched["offload"] == found["offload"]
    assert (counted["busiest"], searched["busiest"]) == ([], found["busiest"])
    assert flushed == {"flushed": 5, "looked_at": 5, "of": 5}


def test_a_dump_that_asks_the_nic_first_says_how_far_it_is(lab, serving, monkeypatch):
    lab.udp()
    monkeypatch.setattr(server, "PROGRESS_AFTER_S", 0.0)
    with Client(serving.path) as client:
        first, *_, last = client.answers("dump", {"fresh": True, "format": "json"})
        assert first["progress"] == {"asked": 1, "looked_at": 1, "of": 1}
        assert last["end"] == {"n": 1}
        assert len(list(client.rows("dump", fresh=True))) == 1


def test_a_stream_goes_on_until_the_client_leaves(lab, serving):
    with connected(serving.path) as listening:
        listening.sendall(b'{"id": 1, "command": "events"}\n')
        with Client(serving.path) as client:
            while not client.call("status")["listeners"]:
                pass
        lab.udp(sport=50_001)
        line = json.loads(listening.makefile("rb").readline())
    assert line["rows"][0]["event"] == "new"
    with Client(serving.path) as client:
        while client.call("status")["listeners"]:
            pass
