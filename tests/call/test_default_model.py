"""An unavailable model: the default model is replaced, a model named for the call is refused."""

import logging

import pytest
from amplifier_core.llm_errors import NotFoundError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import RESPONSES

MODELS = "/codex/models"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
GONE = "is no longer available; using"


@pytest.fixture
def ask(sim, config, caplog):
    """Make one call with a new provider and return the provider; clear requests and log before."""
    base = {key: value for key, value in config.items() if key != "default_model"}

    async def run(more=None, **kwargs):
        caplog.set_level(logging.INFO, logger="amplifier_module_provider_openai_chatgpt")
        caplog.clear()
        sim.forget()
        provider = ChatGPTProvider({**base, **(more or {})})
        try:
            response = await provider.complete(HELLO, **kwargs)
        finally:
            await provider.close()
        assert response.text
        return provider

    return run


def requested_models(simulator):
    return [request.json["model"] for request in simulator.requests_to(RESPONSES)]


def logged(caplog, words):
    return [
        (record.levelname, record.getMessage()) for record in caplog.records if words in record.getMessage()
    ]


async def test_the_built_in_default_is_replaced_after_one_refusal_and_one_fetch_without_a_warning(
    sim, ask, caplog
):
    provider = await ask()
    assert requested_models(sim) == ["gpt-5.5", "gpt-6-sol"]
    assert len(sim.requests_to(MODELS)) == 1
    assert logged(caplog, GONE) == [("INFO", "The model gpt-5.5 is no longer available; using gpt-6-sol.")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert provider.get_info().defaults["model"] == provider.get_model_info().id == "gpt-6-sol"


async def test_with_a_stored_list_no_call_is_refused(sim, ask):
    """The first call stores the list."""
    await ask()
    await ask()
    assert requested_models(sim) == ["gpt-6-sol"]


async def test_a_configured_model_is_replaced_with_one_warning_for_all_providers(sim, ask, caplog):
    for expected in (["gpt-5.4", "gpt-5.6-terra"], ["gpt-5.6-terra"]):
        await ask({"default_model": "gpt-5.4"})
        assert requested_models(sim) == expected
        if len(expected) == 2:
            [(level, warning)] = logged(caplog, GONE)
            assert level == "WARNING"
            assert "gpt-5.4 is no longer available; using gpt-5.6-terra" in warning
        else:
            assert logged(caplog, GONE) == []


async def test_a_fast_default_stays_fast(sim, ask):
    await ask({"default_model": "gpt-5.5-fast"})
    assert requested_models(sim)[-1] == "gpt-6-sol"
    assert sim.requests_to(RESPONSES)[-1].json["service_tier"] == "priority"


@pytest.mark.parametrize("known", [False, True])
async def test_a_model_named_for_the_call_is_never_replaced_and_the_error_names_live_models(sim, ask, known):
    if known:
        await ask()
    with pytest.raises(
        NotFoundError, match=r"gpt-5\.4: choose another, such as gpt-6\.2-astra, gpt-6\.2-sol"
    ):
        await ask(model="gpt-5.4")
    assert set(requested_models(sim)) == {"gpt-5.4"}


async def test_a_stale_list_that_still_contains_the_model_costs_one_extra_request_once(sim, ask):
    sim.stale_list = True
    await ask()
    assert requested_models(sim) == ["gpt-5.5", "gpt-5.5", "gpt-6-sol"]
    assert sim.requests_to(RESPONSES)[1].headers["version"] == "0.124.0"
    await ask()
    assert requested_models(sim) == ["gpt-6-sol"]


async def test_if_the_list_is_refused_too_the_refusal_of_the_model_is_reported(sim, ask):
    sim.misbehave(MODELS, Fault(status=403, body={"detail": "Forbidden"}), times=None)
    with pytest.raises(NotFoundError, match=r"does not offer the model gpt-5\.4"):
        await ask(model="gpt-5.4")


async def test_a_model_newer_than_the_list_on_disk_is_not_replaced(sim, ask):
    """Only a current list can show that a model is unavailable."""
    hidden = sim.models
    sim.models = [entry for entry in hidden if entry["slug"] != "gpt-6.2-sol"]
    await ask()
    sim.models = hidden
    sim.models_etag = 'W/"simulated-2"'
    await ask({"default_model": "gpt-6-luna"})
    await ask({"default_model": "gpt-6.2-sol"})
    assert requested_models(sim) == ["gpt-6.2-sol"]


async def test_latest_is_the_first_of_the_live_list(sim, ask):
    provider = await ask({"default_model": "latest"})
    assert requested_models(sim) == ["gpt-6.2-astra"]
    assert provider.get_info().defaults["model"] == "gpt-6.2-astra"
