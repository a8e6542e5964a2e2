"""Connections that cannot be made, break, or speak something else than HTTP."""

import asyncio
import json
import re
import socket
from contextlib import asynccontextmanager

import pytest
from amplifier_core.llm_errors import (
    LLMTimeoutError,
    NetworkError,
    StreamError,
)

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import RESPONSES, ask

from .harness import GOOD, QUESTION, TEXT, Row, Run, rows, run_healed, run_to_its_error

HUNG_UP = "The server closed the connection before it answered: try again."
BROKE = "The connection to ChatGPT broke before an answer arrived: try again."
WITHIN = "The connection to ChatGPT broke in the middle of the answer: try again."
NO_ANSWER = " Cause: Server disconnected without sending a response."
CUT = " Cause: peer closed connection without sending complete message body (incomplete chunked read)"


def broken(name, says, *, error=NetworkError, released=False, **fault):
    return Row(name=name, fault=Fault(**fault), error=error, says=says, retryable=True, released=released)


TABLE = [
    broken("hung up before the head", HUNG_UP + NO_ANSWER, drop_connection=True),
    broken("reset before the head", BROKE, drop_connection=True, reset=True),
    broken("hung up after the head", HUNG_UP + CUT, cut_after_event=0),
    broken("reset after the head", BROKE, cut_after_event=0, reset=True),
    broken("hung up within the first event", HUNG_UP + CUT, cut_after_bytes=10),
    *(
        broken(
            f"hung up {size} bytes into the answer, in pieces of {piece}",
            WITHIN + CUT,
            error=StreamError,
            cut_after_bytes=size,
            piece_size=piece,
        )
        for size, piece in ((2_500, 7), (2_501, 1), (3_000, 1_000))
    ),
    *(
        broken(
            f"reset {events} events after the first text",
            WITHIN,
            error=StreamError,
            released=True,
            stall_after_event=14,
            cut_after_event=14 + events,
            reset=True,
        )
        for events in (0, 1, 5)
    ),
    broken(
        "hung up behind an event of a packed answer",
        WITHIN + CUT,
        error=StreamError,
        released=True,
        stall_after_event=14,
        cut_after_event=14,
        gzip=True,
    ),
]


@pytest.mark.parametrize("row", **rows(TABLE))
async def test_a_connection_that_breaks_is_told_in_one_sentence(service, settings, row):
    await run_to_its_error(service, settings, row)


@pytest.mark.parametrize("row", **rows(TABLE))
async def test_a_connection_that_breaks_once_heals(service, settings, row):
    run = await run_healed(service, settings, row)
    assert ("llm:stream_aborted" in run.names()) is (row.error is StreamError)


@asynccontextmanager
async def answering(*pieces):
    """A server that sends these bytes to whoever connects, whatever they say, and hangs up."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length))
        for piece in pieces:
            writer.write(piece)
        try:
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
EVENT = b'data: {"type":"response.created"}\n\n'
NO_HTTP = {
    "another protocol": ((b"SSH-2.0-OpenSSH_9.9\r\n",), NetworkError, f"{re.escape(HUNG_UP)} Cause: .+"),
    "bytes": ((b"\x00\xff" * 40 + b"\r\n\r\n",), NetworkError, f"{re.escape(HUNG_UP)} Cause: .+"),
    "half a head": ((HEAD,), NetworkError, re.escape(HUNG_UP + NO_ANSWER)),
    "too little for its length": (
        (HEAD + b"content-length: 9999\r\n\r\n", EVENT),
        StreamError,
        rf"{re.escape(WITHIN)} Cause: peer closed connection .+ \(received \d+ bytes, expected 9999\)",
    ),
    "a chunk of nonsense length": (
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n"),
        NetworkError,
        f"{re.escape(HUNG_UP)} Cause: illegal chunk header: .+",
    ),
    "a head without end": (
        (HEAD + b"x-long: " + b"x" * 300_000,),
        NetworkError,
        f"{re.escape(HUNG_UP)} Cause: .+",
    ),
}


@pytest.mark.parametrize("case", NO_HTTP)
async def test_what_is_no_http_is_told_as_a_broken_connection(service, settings, case):
    pieces, error, says = NO_HTTP[case]
    async with answering(*pieces) as port:
        run = Run(service, {**settings, "base_url": f"http://127.0.0.1:{port}"})
        await run.call()
    assert type(run.error) is error
    assert re.fullmatch(says, str(run.error)), run.error
    assert len(run.recorder.of("provider:retry")) == 1


async def test_a_refused_connection_names_the_address_and_the_proxy(service, settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = Run(service, {**settings, "base_url": f"http://127.0.0.1:{port}"})
    await run.call()
    assert type(run.error) is NetworkError
    assert str(run.error) == "The server refuses connections: check base_url and any proxy."
    assert len(run.recorder.of("provider:retry")) == 1


async def test_a_server_without_tls_is_no_secure_connection(service, settings):
    run = Run(service, {**settings, "base_url": service.base_url.replace("http:", "https:")})
    await run.call()
    assert type(run.error) is NetworkError
    says = (
        "A secure connection to ChatGPT cannot be made: check any proxy, VPN or firewall in between. Cause: "
    )
    assert str(run.error).startswith(says)


async def test_a_connection_that_is_never_accepted_ends_after_connect_timeout(service, settings):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}"
        run = Run(service, {**settings, "base_url": base_url, "connect_timeout": 0.05})
        await run.call()
        for one in waiting:
            one.close()
    assert type(run.error) is LLMTimeoutError
    assert str(run.error) == "No connection to ChatGPT in time: check the network, or raise connect_timeout."
    assert len(run.recorder.of("provider:retry")) == 1


async def test_a_request_that_nobody_takes_in_ends_after_timeout(service, settings):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        base_url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        run = Run(service, {**settings, "base_url": base_url, "timeout": 0.1, "max_retries": 0})
        await run.call(ask("long " * 4_000_000))
    assert type(run.error) is LLMTimeoutError
    assert str(run.error) == "ChatGPT stopped reading the request: try again."


async def test_a_stored_token_that_fits_no_header_is_renewed_unseen(service, settings, tmp_path):
    path = tmp_path / "tokens.json"
    tokens = json.loads(path.read_text())
    path.write_text(json.dumps({**tokens, "access_token": tokens["access_token"] + "\u2603"}))
    run = Run(service, settings)
    await run.call()
    assert run.error is None
    assert run.recorder.of("provider:retry") == []
    assert len(service.requests_to("/oauth/token")) == 1


async def test_a_connection_closed_while_idle_is_replaced_unseen(service, settings):
    service.reply_with(GOOD, GOOD)
    run = Run(service, settings)
    await run.provider.complete(ask(QUESTION))
    service.misbehave(RESPONSES, Fault(drop_connection=True))
    again = await run.provider.complete(ask(QUESTION))
    await run.provider.close()
    assert again.text == TEXT
    assert len(run.recorder.of("provider:retry")) == 1
