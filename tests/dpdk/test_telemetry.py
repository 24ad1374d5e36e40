"""Python answers on DPDK's telemetry socket, as any telemetry client sees it."""

from __future__ import annotations

import json
import os
import socket
import tempfile

from dpdk_lab import in_a_process

ARGS = ["--no-pci", "--no-huge", "-m", "64", "--no-shconf"]


def ask(eal, *commands):
    """What the socket answers to each command."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"{eal.runtime_dir}/dpdk_telemetry.v2")
        limit = json.loads(client.recv(16384))["max_output_len"]
        answers = []
        for command in commands:
            client.send(command.encode())
            answers.append(json.loads(client.recv(limit)))
        return answers


def serve() -> list[object]:
    from ctoffload_dpdk.base.errors import UsageError  # noqa: PLC0415 - only the child loads DPDK
    from ctoffload_dpdk.dpdk import Eal  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        os.environ["RUNTIME_DIRECTORY"] = directory
        os.environ["XDG_RUNTIME_DIR"] = directory
        eal = Eal.start([*ARGS, "--file-prefix", f"t{os.getpid()}"])
        values = {"many": 2**40, "less": -5, "name": "x", "list": [1, 2**40], "dicts": [{"a": 1}, {"b": 2}],
                  "words": ["a", "b"], "a-name": 1, "long": "x" * 500}  # fmt: skip
        eal.on_telemetry("/ctoffload/echo", lambda params: {"params": params}, "Says its parameters.")
        eal.on_telemetry("/ctoffload/values", lambda params: values, "Says every kind of value.")
        eal.on_telemetry("/ctoffload/text", lambda params: "a text", "Says a text.")
        eal.on_telemetry("/ctoffload/fails", lambda params: {"x": 1 // 0}, "Fails.")
        paths = ["/ctoffload/echo,a,b", "/ctoffload/values", "/ctoffload/text", "/ctoffload/fails", "/ctoffload/echo"]
        answers = ask(eal, *paths)
        eal.on_telemetry("/ctoffload/text", lambda params: ["another"], "Says another.")
        answers += ask(eal, "/ctoffload/text", "/")
        for wrong, function in (("no-slash", str), ("/" + "x" * 60, str), ("/ctoffload/text", 5)):
            try:
                eal.on_telemetry(wrong, function, "x")
            except UsageError as error:
                answers.append(error.message)
        eal.close()
    return answers


def test_commands_are_answered_by_python_and_a_failing_one_does_no_harm():
    echo, values, text, fails, bare, again, known, *refused = in_a_process(serve).answer
    assert echo == {"/ctoffload/echo": {"params": "a,b"}}
    assert values == {"/ctoffload/values": {"many": 2**40, "less": -5, "name": "x", "list": [1, 2**40],
                                            "dicts": {"0": {"a": 1}, "1": {"b": 2}}, "words": ["a", "b"],
                                            "a_name": 1, "long": "x" * 127}}  # fmt: skip
    assert text == {"/ctoffload/text": "a text"}
    assert fails == {"/ctoffload/fails": None}
    assert bare == {"/ctoffload/echo": {"params": ""}}
    assert again == {"/ctoffload/text": ["another"]}
    assert "/ctoffload/values" in known["/"]
    assert refused.pop() == "5 cannot be called"
    assert len(refused) == 2 and all("no telemetry command" in words for words in refused)
