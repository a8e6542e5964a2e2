"""The first use with settings that do not name a model, or name a retired one: everything works."""

import json
import logging
import os
import subprocess

import pytest

from amplifier_module_provider_openai_chatgpt.settings import Settings
from tests.cli.terminal import COMMAND, in_pipe
from tests.event_recorder import RESPONSES
from tests.hosts import Host

MODELS = "/codex/models"
DEFAULT = Settings().default_model
GONE = "is no longer available; using"


@pytest.fixture
def service(sim, token_file, monkeypatch):
    """A simulator that only the environment names: there are no settings."""
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    return sim


def requested_models(sim):
    return [request.json["model"] for request in sim.requests_to(RESPONSES)]


def in_own_process(*arguments):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )


def replacements(caplog):
    return [record.levelname for record in caplog.records if GONE in record.getMessage()]


def test_the_default_model_is_one_that_the_service_has_retired(service):
    """All tests in this module depend on it."""
    assert DEFAULT not in {entry["slug"] for entry in service.models}


def test_the_first_question_is_answered_without_any_other_output(service):
    done = in_pipe("ask", "Say hello.")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout
    assert requested_models(service) == [DEFAULT, "gpt-6-sol"]
    assert len(service.requests_to(MODELS)) == 1


def test_a_second_process_needs_no_refused_call(service):
    for number in (1, 2, 3):
        done = in_own_process("ask", "Say hello.")
        assert (done.returncode, done.stderr) == (0, "")
        assert requested_models(service) == [DEFAULT, *["gpt-6-sol"] * number]
    assert len(service.requests_to(MODELS)) == 1


async def test_the_first_session_is_answered_with_one_note(service, caplog):
    caplog.set_level(logging.INFO, logger="amplifier_module_provider_openai_chatgpt")
    async with Host({}) as host:
        assert await host.say("Say hello.")
        assert await host.say("Say goodbye.")
    assert requested_models(service) == [DEFAULT, "gpt-6-sol", "gpt-6-sol"]
    assert replacements(caplog) == ["INFO"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [data["status"] for event, data in host.heard if event == "llm:response"] == ["ok", "ok"]


async def test_a_retired_model_in_the_settings_causes_one_warning_for_all_sessions(service, caplog):
    for _ in range(2):
        async with Host({"default_model": "gpt-5.4"}) as host:
            assert await host.say("Say hello.")
    assert requested_models(service) == ["gpt-5.4", "gpt-5.6-terra", "gpt-5.6-terra"]
    assert replacements(caplog) == ["WARNING"]


def test_doctor_passes_without_a_refused_call(service):
    done = in_pipe("doctor", "--json")
    assert done.exit_code == 0, done.stdout
    checks = {check["check"]: check for check in json.loads(done.stdout)}
    assert "gpt-6-sol answered" in str(checks["test request"])
    assert requested_models(service) == ["gpt-6-sol"]


def test_a_retired_model_named_in_a_command_is_refused_and_live_ones_are_suggested(service):
    done = in_pipe("ask", "Say hello.", "--model", "gpt-5.4")
    assert done.exit_code == 1
    assert "does not offer the model gpt-5.4: choose another, such as gpt-6.2-astra" in " ".join(
        done.stderr.split()
    )
    assert set(requested_models(service)) == {"gpt-5.4"}


def test_the_demo_succeeds_and_shows_no_warning():
    done = in_own_process("demo")
    assert done.returncode == 0, done.stderr
    assert "Tokyo" in done.stdout.split("get_time")[-1]
    assert "available" not in done.stderr + done.stdout
