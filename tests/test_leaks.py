"""The search for leaks finds planted secrets, and calls of every kind leak none."""

import contextlib
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

from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.http import _LOGGERS, new_client
from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import recorded, write_tokens
from tests.secret_leaks import PERSONAL, Watch, watch

LEAKING_PROGRAM = Path(__file__).with_name("leaking_program.py")
PLANTED = {
    "test_logs_a_message": "log",
    "test_logs_an_argument": "log",
    "test_logs_in_a_thread_and_with_a_traceback": "log",
    "test_logs_a_user_code": "log",
    "test_logs_an_app": "log",
    "test_logs_a_machine": "log",
    "test_logs_a_plan_token": "log",
    "test_prints_an_address_with_an_id_token_hint": "stdout",
    "test_raises_with_a_plan_token": "exception",
    "test_writes_a_plan_token_into_a_lock": "file",
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
OF_PLAN = ("access_token", "refresh_token", "id_token", "client_id", "ext_agent_host_id")
RESPONSES, RESPONSES_PLAN = "/codex/responses", "/v1/responses"
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
    assert " 23 passed" in run.stdout
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


PLAN_FAULTS = {
    "an error": (RESPONSES_PLAN, lambda body: Fault(status=400, body=body)),
    "a 403": (RESPONSES_PLAN, lambda body: Fault(status=403, body=body)),
    "a 401": (RESPONSES_PLAN, lambda body: Fault(status=401, body=body)),
    "a page": (RESPONSES_PLAN, lambda body: Fault(status=502, body=f"<html>{json.dumps(body)}</html>")),
    "the stream": (
        RESPONSES_PLAN,
        lambda body: Fault(
            status=200, body=f"data: {json.dumps({'type': 'response.failed', 'response': body})}\n\n"
        ),
    ),
    "the token endpoint": ("/oauth/token", lambda body: Fault(status=400, body=body)),
    "the addresses": ("/openid-configuration", lambda body: Fault(status=400, body=body)),
    "other addresses": ("/openid-configuration", lambda body: Fault(body=body)),
    "the keys": ("/jwks.json", lambda body: Fault(status=500, body=body)),
}


@pytest.mark.world("plan")
@pytest.mark.parametrize("row", PLAN_FAULTS)
async def test_in_plan_mode_nothing_contains_a_token_an_app_a_machine_or_a_person(sim, in_use, tmp_path, row):
    """Calls with a token that is valid and with one that has expired, while a server echoes all secrets."""
    coordinator, recorded = MockCoordinator(), []

    async def record(event, data):
        recorded.append((event, data))

    for event in EVENTS:
        coordinator.hooks.register(event, record, name=f"record:{event}")
    path, addresses = tmp_path / "plan.json", {"base_url": sim.base_url, "auth_url": sim.auth_url}
    config = {"auth_mode": "chatgpt_plan", "token_file_path": str(path), **addresses, "min_retry_delay": 0}
    provider = in_use({**config, "raw": True, "max_retries": 1}, coordinator)
    ending, fault = PLAN_FAULTS[row]
    failures = []
    for expires_in in (3600, -60):
        own = sim.connect(expires_in=expires_in)
        write_tokens(path, own)
        named = [own[name] for name in (*OF_PLAN, "subject", "email")]
        error = {"message": f"Refused: {' '.join(named)}", "code": "bad_request", "param": named[0]}
        sim.misbehave(ending, fault({"error": error}), times=None)
        failures.append(await failure(provider.complete(HELLO, model="gpt-6-sol")))
        shown = [provider, provider.credentials, provider.credentials.peek(), provider.settings]
        for text in (json.dumps(recorded), *failures, *map(repr, shown)):
            assert not [name for name in named if name in text]
    assert failures[1]
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
    assert shown.startswith("Run amplifier-openai-chatgpt login: you are not signed in")
    assert token not in shown
    assert not sim.requests


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
