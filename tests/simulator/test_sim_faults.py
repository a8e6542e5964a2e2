"""Faults: every way the simulator can misbehave, as a client sees it."""

import gzip
import itertools
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply, Simulator

from .requests import CLIENT, headers_of

RESPONSES = "/codex/responses"
SCRIPT = Reply(events=[{"type": "a", "n": 1}, {"type": "b", "n": 2}, {"type": "c", "n": 3}])
BODY = {
    "model": "gpt-6-sol",
    "instructions": "Be brief.",
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}],
    "store": False,
    "stream": True,
}
NORMAL = b"".join(
    b'event: %b\ndata: {"type":"%b","n":%d}\n\n' % (name, name, number)
    for number, name in enumerate([b"a", b"b", b"c"], 1)
)
EVENT = len(NORMAL) // 3


@pytest.fixture
def http(sim):
    headers = headers_of(sim.sign_in())
    with httpx.Client(base_url=sim.base_url, headers=headers, trust_env=False, verify=False) as client:
        yield client


def ask(sim, http, fault=None):
    sim.reply_with(SCRIPT)
    if fault is not None:
        sim.misbehave(RESPONSES, fault)
    return http.post(RESPONSES, json=BODY)


def read_broken(sim, http, fault):
    """Return what arrives before the connection breaks, which is required."""
    sim.reply_with(SCRIPT)
    sim.misbehave(RESPONSES, fault)
    arrived = b""
    with http.stream("POST", RESPONSES, json=BODY) as answer, pytest.raises(httpx.RemoteProtocolError):
        for piece in answer.iter_raw():
            arrived += piece
    return arrived


def test_without_a_fault_the_script_arrives_unchanged(sim, http):
    assert ask(sim, http).content == NORMAL


def test_a_status_and_body_replace_the_answer(sim, http):
    error = {"error": {"code": "server_is_overloaded"}}
    answer = ask(sim, http, Fault(status=503, body=error, headers={"Retry-After": "3"}))
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, error, "3")
    assert answer.headers["content-type"] == "application/json"
    page = ask(sim, http, Fault(status=403, body="<html>Just a moment...</html>"))
    assert page.headers["content-type"].startswith("text/html")


def test_headers_alone_are_added_to_the_normal_answer(sim, http):
    answer = ask(sim, http, Fault(headers={"X-Models-Etag": "new"}))
    assert (answer.headers["x-models-etag"], answer.content) == ("new", NORMAL)


def test_faults_of_a_path_are_used_in_order_or_stay_until_removed(sim, http):
    sim.misbehave("/wham/usage", Fault(status=500), times=2)
    sim.misbehave("/wham/usage", Fault(status=502))
    statuses = [http.get("/wham/usage").status_code for _ in range(4)]
    assert statuses == [500, 500, 502, 200]
    sim.misbehave("/wham/usage", Fault(status=503), times=None)
    assert {http.get("/wham/usage").status_code for _ in range(3)} == {503}
    sim.behave("/wham/usage")
    assert http.get("/wham/usage").status_code == 200


def test_a_dropped_connection_sends_no_byte(sim, http):
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask(sim, http, Fault(drop_connection=True))
    assert http.get("/wham/usage").status_code == 200


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        (Fault(cut_after_event=0), 0),
        (Fault(cut_after_event=2), 2 * EVENT),
        (Fault(cut_after_bytes=EVENT + 5), EVENT + 5),
        (Fault(cut_after_bytes=7, piece_size=1), 7),
    ],
)
def test_a_cut_breaks_the_body_at_exactly_its_place(sim, http, fault, arrives):
    assert read_broken(sim, http, fault) == NORMAL[:arrives]


def test_a_stream_may_end_properly_but_too_early(sim, http):
    assert ask(sim, http, Fault(end_after_event=2)).content == NORMAL[: 2 * EVENT]


def test_exact_pieces_are_sent_unchanged(sim, http):
    answer = ask(sim, http, Fault(pieces=(b"da", b"ta: 1\r", b"\n\n")))
    assert answer.content == b"data: 1\r\n\n"
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_body_cut_into_single_bytes_is_the_same_body(sim, http):
    assert ask(sim, http, Fault(piece_size=1)).content == NORMAL


def test_a_pace_puts_time_between_events(sim, http):
    began = time.monotonic()
    assert ask(sim, http, Fault(pace=0.02)).content == NORMAL
    assert time.monotonic() - began >= 0.04


def test_a_compressed_answer_can_be_read_event_by_event(sim, http):
    assert ask(sim, http, Fault(gzip=True)).content == NORMAL
    sim.reply_with(SCRIPT)
    sim.misbehave(RESPONSES, Fault(gzip=True, stall_after_event=1))
    with http.stream("POST", RESPONSES, json=BODY) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        arrives = answer.iter_bytes()
        assert next(arrives) == NORMAL[:EVENT]


def test_a_replaced_answer_can_be_compressed_too(sim, http):
    sim.misbehave(RESPONSES, Fault(status=500, body="down", gzip=True))
    with http.stream("POST", RESPONSES, json=BODY) as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == b"down"


def test_a_stalled_stream_continues_when_released(sim, http):
    sim.reply_with(SCRIPT)
    sim.misbehave(RESPONSES, Fault(stall_after_event=1))
    with http.stream("POST", RESPONSES, json=BODY) as answer:
        arrives = answer.iter_raw()
        assert next(arrives) == NORMAL[:EVENT]
        assert sim.wait_until(lambda: sim.stalled == sim.connections_open == 1)
        sim.release()
        assert b"".join(arrives) == NORMAL[EVENT:]
    assert sim.wait_until(lambda: sim.connections_open == 0)


def test_a_client_that_leaves_a_stalled_stream_is_detected(sim, http):
    sim.reply_with(SCRIPT)
    sim.misbehave(RESPONSES, Fault(stall_after_event=1))
    with http.stream("POST", RESPONSES, json=BODY) as answer:
        arrives = answer.iter_raw()
        next(arrives)
        assert sim.connections_open == 1
    assert sim.wait_until(lambda: sim.connections_open == sim.stalled == 0)


def test_headers_may_be_held_back(sim, http):
    sim.misbehave("/wham/usage", Fault(stall_before_headers=True))
    with pytest.raises(httpx.ReadTimeout):
        http.get("/wham/usage", timeout=0.05)
    assert sim.wait_until(lambda: sim.stalled == 0)
    sim.misbehave("/wham/usage", Fault(stall_before_headers=True))
    freeing = threading.Thread(target=lambda: sim.wait_until(lambda: sim.stalled) and sim.release())
    freeing.start()
    assert http.get("/wham/usage").status_code == 200
    freeing.join()


def test_waiting_for_a_state_that_never_comes_is_an_error(sim):
    with pytest.raises(TimeoutError):
        sim.wait_until(lambda: sim.connections_open == 1, timeout=0.01)


def test_closing_breaks_a_stalled_stream(sim, http):
    sim.reply_with(SCRIPT)
    sim.misbehave(RESPONSES, Fault(stall_after_event=1))
    with http.stream("POST", RESPONSES, json=BODY) as answer:
        arrives = answer.iter_raw()
        next(arrives)
        sim.close()
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            next(arrives)
    assert sim.connections_open == 0
    assert len(sim.requests) == 1


def test_a_simulator_starts_and_stops_quickly_and_can_start_again():
    simulator = Simulator()
    with pytest.raises(RuntimeError, match="call start"):
        _ = simulator.base_url
    began = time.monotonic()
    for _ in range(5):
        with simulator.start() as running:
            assert running.base_url.startswith("http://127.0.0.1:")
    simulator.close()
    assert time.monotonic() - began < 2


def test_a_taken_port_is_an_error_immediately():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Simulator(taken.getsockname()[1]).start()


def test_the_command_says_how_to_use_it_and_ends_on_interrupt():
    program = "from amplifier_module_provider_openai_chatgpt.simulator import serve; serve(0, print)"
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, map(str.strip, running.stdout)))
        exported = dict(line[7:].split("=", 1) for line in lines if line.startswith("export "))
        usage = httpx.get(
            exported["OPENAI_CHATGPT_BASE_URL"] + "/wham/usage", headers=CLIENT, trust_env=False
        )
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert usage.status_code == 401
    assert "OPENAI_CHATGPT_TOKEN_FILE" in exported
    assert (running.returncode, rest) == (0, "The simulator has stopped.\n")
