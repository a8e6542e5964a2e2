"""The search for leaks finds planted secrets, and calls of every kind leak none."""

import asyncio
import contextlib
import errno
import importlib
import json
import logging
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import httpcore
import httpx
import pytest
from amplifier_core.llm_errors import LLMError
from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from amplifier_core.testing import MockCoordinator
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.auth.oauth import exchange_code
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.http import _LOGGERS, new_client
from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault, accounts
from tests.conftest import recorded, write_tokens
from tests.event_recorder import EventRecorder
from tests.secret_leaks import Watch, watch

LEAKING_PROGRAM = Path(__file__).with_name("leaking_program.py")
PLANTED = {
    "test_logs_a_message": "log",
    "test_logs_an_argument": "log",
    "test_logs_in_a_thread_and_with_a_traceback": "log",
    "test_logs_a_user_code": "log",
    "test_emits_an_event_without_a_listener": "event",
    "test_emits_a_key": "event",
    "test_raises_and_catches": "exception",
    "test_raises_from_a_hidden_cause": "exception",
    "test_holds_a_local_variable_while_it_fails": "exception",
    "test_keeps_a_secret_in_an_attribute_that_no_repr_shows": "exception",
    "test_prints": "stdout",
    "test_prints_to_stderr": "stderr",
    "test_writes_a_note_next_to_the_token_file": "file",
}
# The simulator's account and person, also as an address spells it.
PERSONAL = (
    "6f1c2a10-0000-4000-8000-000000000001",
    "ada@example.com",
    "Ada%40Example.com",
    "user-simulated",
)
RESPONSES = "/codex/responses"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
CLOCK = ToolSpec(
    name="get_time",
    description="Returns the time.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)


@pytest.mark.long
def test_a_run_with_a_leak_fails_and_names_the_test():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(LEAKING_PROGRAM)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert " 16 passed" in run.stdout
    assert run.returncode == 1
    found = re.findall(r"::(test_\w+): .* leaked into the (\w+):", run.stdout)
    assert dict(found) == PLANTED
    assert len(found) >= len(PLANTED)


@pytest.mark.parametrize(
    ("secret", "text", "leaks"),
    [
        ("rt_0123456789abcdefghijklmnopqrstuv", "it was rt_0123456789abcdefghijklmnopqrstuv.", True),
        ("rt_0123456789abcdefghijklmnopqrstuv", "it was rt_0123456789abcdefghijkl…", True),
        ("rt_0123456789abcdefghijklmnopqrstuv", "it was rt_01234567…", False),
        ("eyJhbGci.eyJleHAiOjEi.c2lnbmF0dXJl", '{"x":"eyJhbGci.eyJleHAiOjEi.c2lnbmF0dXJl"}', True),
        ("eyJhbGci.eyJleHAiOjEi.c2lnbmF0dXJl", "eyJhbGci.eyJleHAiOjEi", False),
        ("gAAAAABaaaaaaaaaabbbbbbbbbbccccccccccdGV4dA==", "gAAAAABaaaaaaaaaabbbbbbbbbb", True),
        ("ABCD-EFGHI", "code=ABCD-EFGHI&x=1", True),
        ("ABCD-EFGHI", "ABCD-EFGHJ", False),
    ],
)
def test_a_secret_is_found_whole_cut_and_inside_other_text(secret, text, leaks):
    own = Watch()
    own.learn(secret)
    own.search("log", text)
    assert bool(own.found) is leaks


def echo(sim):
    """Return an error body with every secret that a server could send back to the client."""
    tokens = " ".join([*PERSONAL, *sorted(sim.secrets | sim.sealed)])
    return {"error": {"message": f"Refused: {tokens}", "code": "bad_request", "param": tokens}}


FAULTS = {
    "nothing": None,
    "an echo of all secrets": lambda sim: Fault(status=400, body=echo(sim)),
    "an echo with a 403": lambda sim: Fault(status=403, body=echo(sim)),
    "an echo with a 429": lambda sim: Fault(status=429, body=echo(sim)),
    "an echo with a 500": lambda sim: Fault(status=500, body=echo(sim)),
    "an echo as text": lambda sim: Fault(status=400, body=json.dumps(echo(sim))),
    "an echo as a page": lambda sim: Fault(status=502, body=f"<html>{json.dumps(echo(sim))}</html>"),
    "an echo in the headers": lambda sim: Fault(
        status=400, body="", headers={"x-error-json": json.dumps(echo(sim)), "www-authenticate": "Bearer"}
    ),
    "an echo in the stream": lambda sim: Fault(
        status=200, body=f"data: {json.dumps({'type': 'response.failed', 'response': echo(sim)})}\n\n"
    ),
    "an echo as an error event": lambda sim: Fault(
        status=200, body=f"data: {json.dumps({'type': 'error', **echo(sim)})}\n\n"
    ),
    "a 401": lambda sim: Fault(status=401, body=echo(sim)),
    "a cut": lambda sim: Fault(cut_after_bytes=900),
}


async def converse(provider, sim, fault):
    """Make two turns with reasoning and a tool, the second with a fault; then renew, then lose the sign-in.

    Returns the texts of the two failures, empty if there was none.
    """
    messages = [Message(role="user", content="What time is it in Tokyo? Use get_time.")]
    request = ChatRequest(messages=messages, tools=[CLOCK], reasoning_effort="medium")
    first = await provider.complete(request)
    messages.append(Message(role="assistant", content=first.content, metadata=first.metadata))
    if fault:
        sim.misbehave(RESPONSES, fault(sim), times=None)
    failures = [await failure(provider.complete(ChatRequest(messages=messages, tools=[CLOCK])))]
    sim.behave(RESPONSES)
    write_tokens(provider.settings.token_file_path, sim.sign_in())
    tokens = provider.credentials.peek()
    sim.revoke_access(tokens.access_token)
    await provider.complete(request)
    sim.accounts.revoke(provider.credentials.peek().refresh_token)
    failures.append(await failure(provider.complete(request)))
    return failures


async def failure(work):
    """Return everything that an error and its causes show; empty if the work does not fail."""
    try:
        await work
    except LLMError as error:
        chain = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        return " ".join(f"{one} {one!r} {vars(one)!r}" for one in chain)
    return ""


@pytest.mark.parametrize("row", FAULTS)
async def test_raw_events_errors_and_reprs_contain_no_secret(sim, in_use, config, row):
    coordinator, recorded = MockCoordinator(), []

    async def record(event, data):
        recorded.append((event, data))

    for event in EVENTS:
        coordinator.hooks.register(event, record, name=f"record:{event}")
    provider = in_use({**config, "raw": True, "max_retries": 1}, coordinator)
    failures = await converse(provider, sim, FAULTS[row])
    reprs = [
        provider,
        provider.credentials,
        provider.credentials.peek(),
        provider.transport,
        provider.settings,
    ]
    names = [event for event, _ in recorded]
    assert names.count("llm:request") == names.count("llm:response") == 4
    assert "revoked" in failures[1]
    assert sim.sealed
    for text in (json.dumps(recorded), *failures, *map(repr, reprs)):
        assert not [secret for secret in {*sim.secrets, *sim.sealed, *PERSONAL} if secret in text]
    assert not [leak for leak in watch.found if row in leak]


async def test_libraries_log_neither_cookies_nor_tokens_in_answers(sim, config, caplog):
    caplog.set_level("DEBUG")
    sent = {"set-cookie": "__cf_bm=ripe-cookie; Path=/", "x-echo": next(iter(sim.secrets))}
    sim.misbehave("/codex/models", Fault(headers=sent))
    assert await ChatGPTProvider(config).list_models()
    assert "x-echo" in caplog.text
    assert "set-cookie" in caplog.text
    assert "ripe-cookie" not in caplog.text
    assert sent["x-echo"] not in caplog.text


def test_every_logger_of_the_http_libraries_is_cleaned():
    names = set()
    for library in (httpx, httpcore):
        for found in pkgutil.walk_packages(library.__path__, f"{library.__name__}."):
            with contextlib.suppress(ImportError):  # HTTP/2, trio and httpx's own command are not installed
                names.add(getattr(importlib.import_module(found.name), "logger", None))
    assert {logger.name for logger in names if logger} <= set(_LOGGERS)


async def test_libraries_log_no_password_of_a_proxy_and_nothing_that_names_the_account(config, caplog):
    caplog.set_level("DEBUG")
    async with new_client(connect=1, silence=1):
        tokens = Tokens.from_dict({"account_id": PERSONAL[0]})
        for name in _LOGGERS:
            logging.getLogger(name).debug("%r", [(b"x-user", tokens.account_id.reveal().encode())])
            for cookie in (b"a=hunter2", b"a='hunter2", b"a='hun\\\"ter2'; b=hunter2", b'"hunter2"'):
                logging.getLogger(name).debug("%r %s", [(b"Set-Cookie", cookie), (b"b", b"c")], "after")
            logging.getLogger(name).debug("setup_socks5_connection.started auth=%r", (b"ada", b"hunter2"))
    assert len(caplog.records) == 6 * len(_LOGGERS)
    assert caplog.text.count("(b'b', b'c')] after") == 4 * len(_LOGGERS)
    assert "x-user" in caplog.text
    assert "hunter2" not in caplog.text
    assert PERSONAL[0] not in caplog.text


@pytest.mark.parametrize("token", ["opaque\nsecret", "opake-geheimtür", "opaque secret", "opaque\x00secret"])
async def test_a_token_that_does_not_fit_a_header_counts_as_signed_out_and_is_not_shown(sim, config, token):
    tokens = recorded(sim, {**sim.sign_in(), "access_token": token, "refresh_token": token})
    write_tokens(config["token_file_path"], tokens)
    shown = await failure(ChatGPTProvider(config).complete(HELLO))
    assert shown.startswith("No valid OAuth tokens: run amplifier-openai-chatgpt login")
    assert token not in shown
    assert not sim.requests


class Ahead:
    """A sign-in at a simulator that echoes, and the ways to make one of its requests fail."""

    def __init__(self, sim, config):
        self.sim, self.config = sim, config
        self.provider = ChatGPTProvider(
            {**config, "raw": True, "max_retries": 0, "timeout": 5}, EventRecorder().coordinator
        )

    def echo(self):
        names = [*PERSONAL, self.sim.accounts.secret("rt_")]
        text = f"Refused: {' '.join(sorted(self.sim.secrets))} {' '.join(names)}"
        return {"error": {"message": text, "code": "bad_request", "param": text}}

    def expired(self, **fault):
        """Let the token expire, so the next call renews it and meets this fault."""
        write_tokens(self.config["token_file_path"], recorded(self.sim, self.sim.sign_in(expires_in=-10)))
        self.sim.misbehave("/oauth/token", Fault(**fault), times=None)
        return self.ask()

    def answered(self, **fault):
        self.sim.misbehave(RESPONSES, Fault(**fault), times=None)
        return self.ask()

    def listed(self, **fault):
        self.sim.misbehave("/wham/usage", Fault(**fault), times=None)
        return self.provider.usage()

    async def ask(self, text="Say hello."):
        await self.provider.complete(ChatRequest(messages=[Message(role="user", content=text)]))

    async def cancelled(self, path, work):
        self.sim.misbehave(path, Fault(stall_before_headers=True))
        task = asyncio.create_task(work)
        await asyncio.to_thread(self.sim.wait_until, lambda: self.sim.stalled)
        task.cancel()
        try:
            await task
        finally:
            self.sim.release()

    async def unsaved(self):
        """Renew a token and find the disk full where the new one is written."""
        path = Path(self.config["token_file_path"])
        write_tokens(path, recorded(self.sim, self.sim.sign_in(expires_in=-10)))

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        TokenFile(path, replace=full).save(Tokens.from_dict(self.sim.sign_in()))

    def device(self, *, path, **fault):
        self.sim.misbehave(path, Fault(**fault), times=None)
        return self.provider.login(lambda _: None)

    async def large(self):
        """Send a request whose body the server does not read before it hangs up."""
        server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        tokens = self.sim.sign_in()
        base_url = f"http://127.0.0.1:{port}/backend-api"
        given = {**tokens, "issuer": base_url, "backend": base_url.removesuffix("/backend-api")}
        write_tokens(self.config["token_file_path"], given)
        self.provider = ChatGPTProvider(
            {**self.config, "max_retries": 0, "base_url": base_url, "auth_url": base_url}
        )
        del tokens, given
        try:
            await self.ask("x" * 1_000_000)
        finally:
            server.close()

    async def exchanged(self, **fault):
        """Exchange an authorization code in a form."""
        self.sim.misbehave("/oauth/token", Fault(**fault), times=None)
        code, verifier = Secret(self.sim.accounts.secret("ac_")), Secret(self.sim.accounts.secret("", 64))
        async with new_client(connect=5, silence=5) as client:
            service = self.provider.credentials.service
            await exchange_code(client, service, code, verifier, "http://localhost:1455/auth/callback")

    async def built(self):
        given = self.sim.sign_in()
        build_badly({**self.config, "timeout": "never"}, given)


def build_badly(config, given):
    ChatGPTProvider(config, tokens=given)


FAILURES = {
    "refused with an echo": lambda it: it.answered(status=400, body=it.echo()),
    "refused in the stream": lambda it: it.answered(
        body=f"data: {json.dumps({'type': 'response.failed', 'response': it.echo()})}\n\n"
    ),
    "hung up": lambda it: it.answered(drop_connection=True),
    "cut before it begins": lambda it: it.answered(body=it.echo(), cut_after_bytes=900),
    "cut in the stream": lambda it: it.answered(
        body=f"data: {json.dumps(it.echo())}\n\n: {'x' * 99}", cut_after_bytes=2700
    ),
    "an illegal header": lambda it: it.answered(headers={"set-cookie": f"__cf_bm={it.echo()}"}, status=503),
    "a request that is too large": lambda it: it.large(),
    "a request of a wrong shape": lambda it: it.provider.complete(HELLO, reasoning_effort="extreme"),
    "a document that is an echo": lambda it: it.listed(body=json.dumps(it.echo())[:-1], status=200),
    "a document that is cut": lambda it: it.listed(body=it.echo(), cut_after_bytes=300),
    "cancelled while it is asked": lambda it: it.cancelled(RESPONSES, it.ask()),
    "a renewal refused with an echo": lambda it: it.expired(status=400, body=it.echo()),
    "a renewal in trouble": lambda it: it.expired(status=500, body=it.echo()),
    "a renewal hung up": lambda it: it.expired(drop_connection=True),
    "a renewal whose answer is cut": lambda it: it.expired(cut_after_bytes=700),
    "a renewal without tokens": lambda it: it.expired(status=200, body=it.echo()),
    "a renewal that cannot be saved": lambda it: it.unsaved(),
    "a provider with a wrong setting and given tokens": lambda it: it.built(),
    "a code whose exchange hung up": lambda it: it.exchanged(drop_connection=True),
    "a code whose answer is cut": lambda it: it.exchanged(
        status=200, body=it.sim.sign_in(), cut_after_bytes=700
    ),
    "a code refused with an echo": lambda it: it.exchanged(status=400, body=it.echo()),
    "a sign-in without a code": lambda it: it.device(path="/usercode", status=400, body=it.echo()),
    "a sign-in cancelled": lambda it: it.cancelled("/deviceauth/token", it.provider.login(lambda _: None)),
}


@pytest.mark.parametrize("row", FAILURES)
async def test_no_traceback_with_local_variables_shows_a_secret(sim, config, row):
    own = Watch()
    logging.getLogger().addHandler(own)
    for secret in sim.secrets:
        own.learn(secret)
    accounts.secret_listeners.append(own.learn)
    for name in PERSONAL:
        own.learn_name(name)
    case = Ahead(sim, config)
    try:
        error = await raised_by(FAILURES[row], case)
    finally:
        await case.provider.close()
        accounts.secret_listeners.remove(own.learn)
        logging.getLogger().removeHandler(own)
    own.search_failure(error)
    assert not own.found
    assert own.searched["log"] > 0


async def raised_by(work, case):
    """Return what a failing case raises, without the frames of the tests, which hold secrets."""
    try:
        await work(case)
    except BaseException as error:  # noqa: BLE001 - also a cancellation
        frames = error.__traceback__
        while frames and "/tests/" in frames.tb_frame.f_code.co_filename:
            frames = frames.tb_next
        return error.with_traceback(frames)
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("fault", [None, "echo"])
@pytest.mark.parametrize("command", [["status", "--json"], ["doctor", "--json"]])
def test_the_json_of_status_and_doctor_shows_no_token_and_no_account(
    sim, token_file, monkeypatch, command, fault
):
    for name, value in (("BASE_URL", sim.base_url), ("AUTH_URL", sim.auth_url), ("TOKEN_FILE", token_file)):
        monkeypatch.setenv(f"OPENAI_CHATGPT_{name}", str(value))
    if fault:
        for path in (RESPONSES, "/codex/models"):
            sim.misbehave(path, Fault(status=403, body=echo(sim)), times=None)
    own = Watch()
    for secret in sim.secrets:
        own.learn(secret)
    own.learn_name(PERSONAL[0])
    ran = CliRunner().invoke(cli, command)
    own.search("output", ran.output)
    assert json.loads(ran.stdout)
    assert "6f1c…0001" in ran.output
    assert not own.found
