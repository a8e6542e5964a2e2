"""Connections that cannot be made, that break, or that do not speak HTTP."""

import json
import re
import socket
import ssl
import struct
from pathlib import Path

import httpx
import pytest
import respx
from amplifier_core.llm_errors import (
    ConfigurationError,
    InvalidRequestError,
    LLMTimeoutError,
    NetworkError,
    StreamError,
)
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import RESPONSES, ask

from ..transport.raw_backend import listening
from .harness import GOOD, QUESTION, TEXT, Row, Run, rows, run_retried, run_to_its_error

CLOSED = "The server closed the connection before it answered: try again."
BROKE = "The connection to ChatGPT broke before an answer arrived: try again."
UNREACHED = "ChatGPT cannot be reached: check the network, then try again."
WITHIN = "The connection to ChatGPT broke in the middle of the answer: try again."
NO_ANSWER = " Cause: Server disconnected without sending a response."
CUT = " Cause: peer closed connection without sending complete message body (incomplete chunked read)"


def broken(name, says, *, error=NetworkError, released=False, **fault):
    return Row(name=name, fault=Fault(**fault), error=error, says=says, retryable=True, released=released)


TABLE = [
    broken("closed before the head", CLOSED + NO_ANSWER, drop_connection=True),
    broken("reset before the head", BROKE, drop_connection=True, reset=True),
    broken("closed after the head", CLOSED + CUT, cut_after_event=0),
    broken("reset after the head", BROKE, cut_after_event=0, reset=True),
    broken("closed within the first event", CLOSED + CUT, cut_after_bytes=10),
    *(
        broken(
            f"closed {size} bytes into the answer, in pieces of {piece}",
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
        "closed behind an event of a packed answer",
        WITHIN + CUT,
        error=StreamError,
        released=True,
        stall_after_event=14,
        cut_after_event=14,
        gzip=True,
    ),
]


@pytest.mark.parametrize("row", **rows(TABLE))
async def test_a_connection_that_breaks_is_reported_in_one_sentence(service, settings, row):
    await run_to_its_error(service, settings, row)


@pytest.mark.parametrize("row", **rows(TABLE))
async def test_a_connection_that_breaks_once_is_retried(service, settings, row):
    run = await run_retried(service, settings, row)
    assert ("llm:stream_aborted" in run.names()) is (row.error is StreamError)


def answering(*pieces):
    """A server that sends these bytes to any request and closes the connection."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)content-length: (\d+)", head) or [0]
        await reader.readexactly(int(length))
        for piece in pieces:
            writer.write(piece)
        await writer.drain()

    return listening(serve)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
EVENT = b'data: {"type":"response.created"}\n\n'
NOT_HTTP = {
    "another protocol": ((b"SSH-2.0-OpenSSH_9.9\r\n",), NetworkError, f"{re.escape(CLOSED)} Cause: .+"),
    "bytes": ((b"\x00\xff" * 40 + b"\r\n\r\n",), NetworkError, f"{re.escape(CLOSED)} Cause: .+"),
    "half a head": ((HEAD,), NetworkError, re.escape(CLOSED + NO_ANSWER)),
    "too little for its length": (
        (HEAD + b"content-length: 9999\r\n\r\n", EVENT),
        StreamError,
        rf"{re.escape(WITHIN)} Cause: peer closed connection .+ \(received \d+ bytes, expected 9999\)",
    ),
    "a chunk of nonsense length": (
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n"),
        NetworkError,
        f"{re.escape(CLOSED)} Cause: illegal chunk header: .+",
    ),
    "a head without end": (
        (HEAD + b"x-long: " + b"x" * 300_000,),
        NetworkError,
        f"{re.escape(CLOSED)} Cause: .+",
    ),
}


@pytest.mark.parametrize("case", NOT_HTTP)
async def test_an_answer_that_is_not_http_is_reported_as_a_broken_connection(service, settings, case):
    pieces, error, says = NOT_HTTP[case]
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


INSECURE = "A secure connection to ChatGPT cannot be made: check any proxy, VPN or firewall in between."


async def test_a_server_without_tls_is_not_a_secure_connection(service, settings):
    run = Run(service, {**settings, "base_url": service.base_url.replace("http:", "https:")})
    await run.call()
    assert type(run.error) is NetworkError
    assert str(run.error).startswith(f"{INSECURE} Cause: ")


def reset(writer):
    """Close a connection so the other side reads "connection reset by peer"."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("end", "says"),
    [
        pytest.param(reset, UNREACHED, id="reset"),
        pytest.param(lambda writer: writer.close(), INSECURE, id="closed"),
    ],
)
async def test_a_tls_handshake_that_breaks_is_retried_and_reported(service, settings, end, says):
    async def serve(reader, writer):
        await reader.readexactly(5)  # the header of the TLS record with which a client begins
        end(writer)

    async with listening(serve) as port:
        run = await Run(service, {**settings, "base_url": f"https://127.0.0.1:{port}"}).call()
    assert type(run.error) is NetworkError
    assert str(run.error).startswith(says)
    assert len(run.recorder.of("provider:retry")) == 1


def signed_in_at(base_url, settings):
    """Return settings of another backend, where the sign-in was obtained."""
    path = Path(settings["token_file_path"])
    record = {"issuer": settings["auth_url"], "backend": base_url.removesuffix("/backend-api")}
    path.write_text(json.dumps({**json.loads(path.read_text()), **record}))
    return {**settings, "base_url": base_url}


NEEDS_SIGN_IN = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"


async def test_a_proxy_that_requires_a_sign_in_is_named(service, settings, monkeypatch):
    """The backend is never contacted: everything goes to the proxy, which is on this machine."""
    async with answering(NEEDS_SIGN_IN) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        run = await Run(service, signed_in_at(CHATGPT, settings)).call()
    assert type(run.error) is ConfigurationError
    assert str(run.error) == (
        "The proxy requires a sign-in (HTTP 407): put its user name and password into HTTPS_PROXY."
    )
    assert run.recorder.of("provider:retry") == []


CHATGPT = "https://chatgpt.com/backend-api"
UNKNOWN_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_NAME = (
    f"The address of ChatGPT cannot be looked up: check the network and its DNS server. Cause: {UNKNOWN_NAME}"
)


@pytest.fixture
def names(monkeypatch):
    """Let every host name be unknown, or have the addresses that are put into the list."""
    addresses: list[str] = []

    def look_up(_host, port, *_args, **_options):
        if not addresses:
            raise UNKNOWN_NAME
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return addresses


@pytest.mark.usefixtures("names")
async def test_an_address_that_cannot_be_looked_up_is_retried_and_reported(service, settings):
    run = await Run(service, signed_in_at(CHATGPT, settings)).call()
    assert type(run.error) is NetworkError
    assert str(run.error) == NO_NAME
    assert len(run.recorder.of("provider:retry")) == 1


@pytest.mark.usefixtures("names")
async def test_a_session_lists_the_built_in_models_while_the_address_cannot_be_looked_up(settings):
    provider = ChatGPTProvider(signed_in_at(CHATGPT, settings), MockCoordinator())
    assert "gpt-6-sol" in {model.id for model in await provider.list_models()}


async def test_a_name_whose_addresses_all_refuse_is_reported_as_refusing(service, settings, names):
    names += ["127.0.0.1", "127.0.0.2"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = await Run(service, signed_in_at(f"https://chatgpt.com:{port}", settings)).call()
    assert type(run.error) is NetworkError
    assert str(run.error) == "The server refuses connections: check base_url and any proxy."


async def test_a_certificate_that_is_not_trusted_is_reported_with_the_clock_and_the_proxy(
    service, settings, monkeypatch
):
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(Path(__file__).with_name("untrusted.pem"))
    async with listening(hang_up, ssl=secure) as port:
        run = await Run(service, {**settings, "base_url": f"https://127.0.0.1:{port}"}).call()
    assert type(run.error) is NetworkError
    assert str(run.error).startswith(
        "ChatGPT's certificate cannot be verified: check this machine's clock, and any proxy that inspects "
        "TLS (set SSL_CERT_FILE to its certificate). Cause: "
    )
    assert len(run.recorder.of("provider:retry")) == 1


async def hang_up(_reader, writer):
    writer.close()


UNSENDABLE = "The request cannot be sent: check base_url, or run `amplifier-openai-chatgpt login` again."
# Raised inside httpx, where no server or name server has a hand in it.
WITHIN_HTTPX = {
    "no network has a route": (
        httpx.ConnectError("All connection attempts failed"),
        NetworkError,
        UNREACHED,
    ),
    "a failed close": (httpx.CloseError(""), NetworkError, BROKE),
    "no free connection": (
        httpx.PoolTimeout(""),
        LLMTimeoutError,
        "No connection to ChatGPT became free in time: try again.",
    ),
    "a header that HTTP does not allow": (
        httpx.LocalProtocolError("Illegal header value b'Bearer SECRET'"),
        InvalidRequestError,
        UNSENDABLE,
    ),
    "a header that is not ASCII": (
        UnicodeEncodeError("ascii", "Bearer SECRET", 0, 1, "ordinal not in range"),
        InvalidRequestError,
        UNSENDABLE,
    ),
    "a scheme that is not HTTP": (httpx.UnsupportedProtocol("no"), InvalidRequestError, UNSENDABLE),
    "an address that is not a URL": (httpx.InvalidURL("no"), InvalidRequestError, UNSENDABLE),
}


@pytest.mark.parametrize("case", WITHIN_HTTPX)
async def test_a_fault_within_httpx_has_its_class_and_sentence_and_quotes_no_header(service, settings, case):
    raised, error, says = WITHIN_HTTPX[case]
    with respx.mock as router:
        route = router.post(f"{CHATGPT}/codex/responses").mock(side_effect=raised)
        run = await Run(service, signed_in_at(CHATGPT, settings)).call()
    assert type(run.error) is error
    assert str(run.error) == says
    assert run.error.retryable is (error is not InvalidRequestError)
    assert route.call_count == (2 if run.error.retryable else 1)


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


async def test_a_request_that_is_not_read_ends_after_timeout(service, settings):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        base_url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        run = Run(service, {**settings, "base_url": base_url, "timeout": 0.1, "max_retries": 0})
        long = Message(role="user", content="long " * 1_000_000)
        await run.call(ChatRequest(messages=[long] * 4))
    assert type(run.error) is LLMTimeoutError
    assert str(run.error) == "ChatGPT stopped reading the request: try again."


async def test_a_stored_token_that_does_not_fit_a_header_is_renewed_without_a_retry(
    service, settings, tmp_path
):
    path = tmp_path / "tokens.json"
    tokens = json.loads(path.read_text())
    path.write_text(json.dumps({**tokens, "access_token": tokens["access_token"] + "\u2603"}))
    run = Run(service, signed_in_at(settings["base_url"], settings))
    await run.call()
    assert run.error is None
    assert run.recorder.of("provider:retry") == []
    assert len(service.requests_to("/oauth/token")) == 1


async def test_a_connection_closed_while_idle_is_replaced(service, settings):
    service.reply_with(GOOD, GOOD)
    run = Run(service, settings)
    await run.provider.complete(ask(QUESTION))
    service.misbehave(RESPONSES, Fault(drop_connection=True))
    again = await run.provider.complete(ask(QUESTION))
    await run.provider.close()
    assert again.text == TEXT
    assert len(run.recorder.of("provider:retry")) == 1
