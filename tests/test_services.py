"""A service is a value: no other module contains its literals, and a second service is a second value."""

import ast
import asyncio
import dataclasses
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from amplifier_core.llm_errors import AccessDeniedError, InvalidRequestError
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.errors.refusal import Refusal
from amplifier_module_provider_openai_chatgpt.services import (
    CHATGPT_CODEX,
    ModelList,
    RequestHeaders,
    ResponseHeaders,
    Rule,
)
from amplifier_module_provider_openai_chatgpt.transport.base import Document
from tests.event_recorder import EventRecorder
from tests.transport.raw_backend import OPENING, closing, delta, frame

PACKAGE = Path(__file__).parents[1] / "amplifier_module_provider_openai_chatgpt"
HELLO = ChatRequest(messages=[Message(role="user", content="Hi.")])
# Literals of a service that are also words of English, of OAuth or of this project's settings.
COMMON = {
    "originator",
    "version",
    "codex",
    "models",
    "slug",
    "body",
    "input",
    "localhost",
    "true",
    "chatgpt_codex",
    "amplifier-openai-chatgpt login",
}


def literals(value):
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from literals(getattr(value, item.name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from literals(key)
            yield from literals(inner)
    elif isinstance(value, tuple) and not isinstance(value, Rule):
        for inner in value:
            yield from literals(inner)


LITERALS = {
    literal for literal in literals(CHATGPT_CODEX) if literal and literal not in COMMON and "{" not in literal
}


# The simulator, and what the probe claims about the service: a wrong literal in the package fails a test.
OWN_WORDS = {"simulator", "claims"}


def texts_of(path):
    """Return every text constant of a module, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if not OWN_WORDS & {*path.parts} and path.name != "services.py"
    ],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_no_other_module_contains_an_endpoint_client_id_claim_or_header(path):
    """What is in `OWN_WORDS` has its own literals."""
    assert len(LITERALS) > 25
    found = {text for text in texts_of(path) for literal in LITERALS if literal.lower() in text.lower()}
    assert {text.strip(" (") for text in found} <= {"cf-ray"}, "a sentence may name this header"


OTHER = replace(
    CHATGPT_CODEX,
    name="other",
    request=RequestHeaders(session=("x-conversation",)),
    response=ResponseHeaders(quota="acme", request_id=("x-acme-id",)),
    responses_path="/v2/answers",
    models_path="/v2/list",
    usage_path="",
    models=ModelList(entries="data", slug="id", renamed={"display_name": "label"}),
    rules={"no_dogs": Rule(AccessDeniedError, "Dogs are not allowed{status}: leave yours outside.")},
)


@asynccontextmanager
async def other_service(replies):
    """Run an HTTP server with a reply for each path; yield its address and the requests."""
    requests = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        body = await reader.readexactly(int(length[0].split(":")[1])) if length else b""
        path = head.split(" ")[1]
        requests.append((path, head.lower(), body))
        writer.write(replies[path])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


def reply(body, content_type="application/json", status="200 OK", **headers):
    named = {"content-type": content_type, "content-length": str(len(body)), "connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


ANSWER = b"".join(map(frame, [OPENING, delta("Hello."), *closing("Hello.")]))


def provider_for(url, tokens, tmp_path, coordinator=None):
    config = {"base_url": url, "auth_url": url, "token_file_path": str(tmp_path / "t.json"), "max_retries": 0}
    return ChatGPTProvider(config, coordinator or MockCoordinator(), tokens=tokens, service=OTHER)


@pytest.fixture
def tokens(sim):
    return sim.sign_in()


async def test_a_second_service_has_its_own_paths_headers_list_and_limits(tokens, tmp_path):
    replies = {
        "/v2/answers": reply(
            ANSWER,
            "text/event-stream",
            **{"x-acme-primary-used-percent": "95", "x-acme-primary-window-minutes": "300"},
        ),
        "/v2/list": reply(json.dumps({"data": [{"id": "acme-1", "label": "Acme One"}]}).encode()),
    }
    recorder = EventRecorder()
    async with other_service(replies) as (url, requests):
        provider = provider_for(url, tokens, tmp_path, recorder.coordinator)
        [model] = await provider.list_models()
        response = await provider.complete(HELLO, model="acme-1")
        await provider.close()
    assert (model.id, model.display_name) == ("acme-1", "Acme One")
    assert response.text == "Hello."
    (list_path, _, _), (path, head, body) = requests
    assert (list_path, path) == ("/v2/list", "/v2/answers")
    assert "x-conversation: " in head
    assert not any(name in head for name in ("chatgpt-account-id", "originator:", "session-id", "thread-id"))
    assert json.loads(body)["model"] == "acme-1"
    [window] = recorder.response["rate_limits"]["windows"]
    assert (window["name"], window["used_percent"]) == ("5-hour", 95.0)


async def test_the_rules_of_a_second_service_take_precedence(tokens, tmp_path):
    refusal = reply(
        json.dumps({"error": {"code": "no_dogs"}}).encode(), status="403 No", **{"x-acme-id": "q7"}
    )
    async with other_service({"/v2/answers": refusal}) as (url, _):
        with pytest.raises(AccessDeniedError) as raised:
            await provider_for(url, tokens, tmp_path).complete(HELLO)
    assert str(raised.value) == "Dogs are not allowed (HTTP 403): leave yours outside. (request id q7)"


class Replay:
    """A transport that replays lists of events or raises a refusal."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    @asynccontextmanager
    async def open(self, call):
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, Refusal):
            raise answer
        yield ReplayStream(answer)

    async def models(self, client_version):
        return Document({"models": [{"slug": "replayed", "version_asked": client_version}]})

    async def usage(self):
        return Document({})

    async def close(self):
        self.calls.clear()


class ReplayStream:
    quota = None
    models_etag = None

    def __init__(self, events):
        self._events = events

    async def reads(self):
        for event in self._events:
            yield [event]

    async def drain(self):
        """Do nothing: the events are the whole stream."""


EVENTS = [OPENING, delta("Hello."), *closing("Hello.")]


async def test_a_transport_may_be_something_other_than_http(config):
    transport, recorder = Replay(EVENTS), EventRecorder()
    provider = ChatGPTProvider(config, recorder.coordinator, transport=transport)
    response = await provider.complete(HELLO)
    assert response.text == "Hello."
    assert [data["text"] for data in recorder.of("llm:stream_block_delta")] == ["Hello."]
    assert [model.id for model in await provider.list_models()] == ["replayed"]


async def test_refusals_of_any_transport_are_retried_corrected_and_reported(config):
    busy = Refusal(status=503, message="busy")
    tier = Refusal(status=400, param="service_tier", message="Unsupported value.")
    transport = Replay(busy, tier, EVENTS)
    settings = {**config, "max_retries": 1, "min_retry_delay": 0}
    provider = ChatGPTProvider(settings, MockCoordinator(), transport=transport)
    assert (await provider.complete(HELLO, model="gpt-5.5-fast")).text == "Hello."
    assert [call.service_tier for call in transport.calls] == ["priority", "priority", None]
    broken = ChatGPTProvider(config, MockCoordinator(), transport=Replay(Refusal(status=422, message="No.")))
    with pytest.raises(InvalidRequestError, match=r"HTTP 422.*The server says: No\."):
        await broken.complete(HELLO)
