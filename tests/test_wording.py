"""The ten most frequent errors, word for word, as a session and the command line show them.

A session shows one line for an error: its class and its sentence.
"""

import json
import re

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import DEAD, MODEL, write_tokens
from tests.event_recorder import RESPONSES

VARIES = {
    "CLOCK": r"(?:on \d+ \w{3}(?: \d{4})? )?at \d\d:\d\d",
    "REQUEST": r"\(request id req_[0-9a-f]{32}\)",
}


def sign_out(sim, path):
    path.unlink()


def end_the_sign_in(sim, path):
    tokens = sim.sign_in(expires_in=-60)
    sim.accounts.revoke(tokens["refresh_token"])
    write_tokens(path, tokens)


def use_up_the_limit(sim, path):
    sim.exhaust(resets_in=2 * 3600 + 13 * 60 - 20)


def refuse(status, headers=None, **error):
    fault = Fault(status=status, headers=headers or {}, body={"error": error})
    return lambda sim, path: sim.misbehave(RESPONSES, fault, times=None)


def cut(sim, path):
    sim.misbehave(RESPONSES, Fault(cut_after_event=9), times=None)


def nothing(sim, path):
    """The backend cannot be reached."""


# Longer than the provider waits.
LATER = {"retry-after": "300"}
BUSY = refuse(429, LATER, code="rate_limit_exceeded", message="Rate limit reached.")
DOWN = refuse(503, LATER, message="upstream connect error")
TOO_LONG = refuse(400, code="context_length_exceeded", message="Your input exceeds the context window.")
UNSAFE = refuse(400, code="cyber_policy", message="This request was flagged.")
FAILURES = {
    sign_out: "AuthenticationError: Run amplifier-openai-chatgpt login: you are not signed in.",
    end_the_sign_in: "AuthenticationError: Run amplifier-openai-chatgpt login: you are not signed in. "
    "The stored sign-in cannot be renewed: it was revoked.",
    use_up_the_limit: "QuotaExceededError: ChatGPT usage limit reached on the Plus plan (5-hour window): "
    "resets CLOCK, in 2 h 13 min. See https://chatgpt.com/codex/settings/usage REQUEST",
    BUSY: "RateLimitError: Too many requests in a short time (this is not the usage limit): "
    "try again in 5 min. The server says: Rate limit reached.",
    DOWN: "ProviderUnavailableError: The ChatGPT backend failed (HTTP 503): try again in a few minutes. "
    "The server says: upstream connect error",
    TOO_LONG: f"ContextLengthError: The conversation is too long for the model {MODEL}: compact it, "
    "or start a new one. The server says: Your input exceeds the context window.",
    UNSAFE: "ContentFilterError: OpenAI's safety policy stopped this request: rephrase it, "
    "or start a new conversation. The server says: This request was flagged.",
    nothing: "NetworkError: The server refuses connections: check base_url and any proxy.",
    cut: "StreamError: The connection to ChatGPT broke in the middle of the answer: try again. "
    "Cause: peer closed connection without sending complete message body (incomplete chunked read)",
}
# These are retried: the command line waits seconds before each retry.
REPEATED = {nothing, cut}
NAMES = {BUSY: "busy", DOWN: "down", TOO_LONG: "too long", UNSAFE: "unsafe"}


def rows(*, fast):
    """Yield the table; if not ``fast``, retried errors take seconds and are marked long."""
    for prepare, line in FAILURES.items():
        marks = [] if fast or prepare not in REPEATED else [pytest.mark.long]
        name = NAMES.get(prepare) or prepare.__name__
        yield pytest.param(prepare, *line.split(": ", 1), id=name, marks=marks)


def pattern(sentence):
    """Return a pattern for a sentence; words in capitals are the parts that vary."""
    return re.sub("|".join(VARIES), lambda found: VARIES[found[0]], re.escape(sentence))


@pytest.fixture
def cause(sim, token_file):
    """A function that causes an error and returns the backend's address."""

    def prepared(prepare):
        prepare(sim, token_file)
        return f"{DEAD}/backend-api" if prepare is nothing else sim.base_url

    return prepared


@pytest.mark.parametrize(("prepare", "kind", "sentence"), [*rows(fast=True)])
async def test_a_session_shows_one_line_that_says_what_happened_and_what_to_do(
    cause, config, prepare, kind, sentence
):
    settings = {**config, "base_url": cause(prepare)}
    session = new_session({"module": "provider-openai-chatgpt", "config": settings})
    await session.initialize()
    with pytest.raises(RuntimeError) as raised:
        await session.execute("Say hello.")
    await session.cleanup()
    assert re.fullmatch(f"Execution failed: {kind}: {pattern(sentence)}", str(raised.value))


@pytest.mark.parametrize(("prepare", "kind", "sentence"), [*rows(fast=False)])
def test_the_command_line_shows_the_same_sentence_and_fails(
    sim, cause, token_file, monkeypatch, prepare, kind, sentence
):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", cause(prepare))
    done = CliRunner().invoke(cli, ["ask", "Say hello.", "--json", "--model", MODEL])
    assert done.exit_code == (4 if kind == "AuthenticationError" else 1)
    assert done.stdout == ""
    assert re.fullmatch(f"Error: {pattern(sentence)}\n", done.stderr)
    assert "Traceback" not in done.output


async def test_no_line_contains_a_secret_or_markup(cause, config, sim, token_file):
    """Whatever the server's message contains, users read one clean line."""
    tokens = json.loads(token_file.read_text())
    echo = f"<b>Bearer {tokens['access_token']}</b>\n\x1b[31mfor {tokens['refresh_token']}" + "x" * 1000
    cause(refuse(400, message=echo))
    session = new_session({"module": "provider-openai-chatgpt", "config": config})
    await session.initialize()
    with pytest.raises(RuntimeError) as raised:
        await session.execute("Say hello.")
    await session.cleanup()
    line = str(raised.value)
    assert line.isprintable()
    assert len(line) < 500
    assert not [secret for secret in sim.secrets if secret in line]
    assert "<b>" not in line
