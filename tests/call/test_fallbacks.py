"""A refused call is sent again with a correction; only a correction that worked is kept for later calls."""

import logging

import pytest
from amplifier_core.llm_errors import InvalidRequestError, LLMError, NotFoundError

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.conftest import MODEL
from tests.event_recorder import RESPONSES, ask

MODELS = "/codex/models"
PACKAGE = "amplifier_module_provider_openai_chatgpt"
LITE = "x-openai-internal-codex-responses-lite"
WORDINGS = ("not_found", "not_supported", "upgrade")
REFUSAL = {"code": "invalid_prompt", "message": "No."}
FAILURES = {
    "refused": Fault(status=400, body={"error": REFUSAL}),
    "failed in its stream": Fault(
        pieces=(encode({"type": "response.failed", "response": {"error": REFUSAL}}),)
    ),
}
# What the backend requires: model, status and message of the refusal.
CORRECTIONS = {
    "without the fast tier": ("gpt-6-luna-fast", 400, "Unsupported value for service_tier"),
    "in the lite shape": ("gpt-6-luna", 404, "Model not found gpt-6-luna"),
    "with a version": ("gpt-6-sol", 400, "The model requires a newer version of Codex."),
}


def shape_of(request):
    """Return the fields and headers by which corrected requests differ."""
    headers = ("version", LITE)
    return request.json.get("service_tier"), *map(request.headers.get, headers)


def versions(sim):
    return [request.headers.get("version") for request in sim.requests_to(RESPONSES)]


def efforts(sim):
    return [request.json["reasoning"]["effort"] for request in sim.requests_to(RESPONSES)]


def not_supported(model):
    text = f"The '{model}' model is not supported when using Codex with a ChatGPT account."
    return Fault(status=400, body={"detail": text})


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("case", CORRECTIONS)
async def test_a_correction_whose_call_failed_is_not_kept(sim, config, in_use, caplog, case, failure):
    model, status, detail = CORRECTIONS[case]
    provider = in_use(config)
    for fault in (Fault(status=status, body={"detail": detail}), FAILURES[failure]):
        sim.misbehave(RESPONSES, fault)
    with pytest.raises(LLMError, match=detail):
        await provider.complete(ask(), model=model)
    await provider.complete(ask(), model=model)
    first, corrected, next_call = map(shape_of, sim.requests_to(RESPONSES))
    assert corrected != first
    assert next_call == first
    assert "fast tier" not in caplog.text


# The version gate and the Lite shape


@pytest.mark.parametrize("known", [False, True], ids=["list unknown", "list known"])
@pytest.mark.parametrize("named", [False, True], ids=["default", "named"])
@pytest.mark.parametrize("wording", WORDINGS)
async def test_a_gated_model_is_reached_with_the_version_in_the_list_whatever_the_wording(
    sim, config, in_use, caplog, wording, named, known
):
    caplog.set_level(logging.INFO, logger=PACKAGE)
    sim.version_gate, sim.gate_voice = "strict", wording
    provider = in_use(config)
    if known:
        await provider.list_models()
    kwargs = {"model": MODEL} if named else {}
    for _ in range(2):
        assert (await provider.complete(ask(), **kwargs)).text
    assert versions(sim) == [None, "0.155.0", "0.155.0"]
    assert len(sim.requests_to(MODELS)) == 1
    learnt = [line for line in caplog.messages if line.startswith("Learnt")]
    assert learnt == [f"Learnt about the model {MODEL}: it requires client version 0.155.0."]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("gate", ["open", "strict"])
@pytest.mark.parametrize("wording", ["not_found", "not_supported"])
async def test_a_lite_model_is_reached_with_the_third_request(sim, config, in_use, wording, gate):
    sim.version_gate, sim.gate_voice, sim.require_lite = gate, wording, {MODEL}
    provider = in_use(config)
    for _ in range(2):
        assert (await provider.complete(ask())).text
    assert [shape_of(request)[1:] for request in sim.requests_to(RESPONSES)] == [
        (None, None),
        ("0.155.0", None),
        ("0.155.0", "true"),
        ("0.155.0", "true"),
    ]


@pytest.mark.parametrize("model", ["gpt-5.5", MODEL], ids=["retired, on a stale list", "listed"])
@pytest.mark.parametrize("named", [False, True], ids=["default", "named"])
async def test_one_refusal_costs_three_requests_at_most(sim, config, in_use, model, named):
    sim.stale_list = True
    sim.misbehave(RESPONSES, not_supported(model), times=None)
    provider = in_use({**config, "default_model": model})
    with pytest.raises(
        NotFoundError, match=f"does not offer the model {model}: choose another, such as gpt-6"
    ):
        await provider.complete(ask(), **({"model": model} if named else {}))
    assert 2 <= len(sim.requests_to(RESPONSES)) <= 3
    assert len(sim.requests_to(MODELS)) == 1


@pytest.mark.parametrize("wording", WORDINGS)
async def test_a_minimum_version_that_rose_since_the_list_was_fetched_is_looked_up(
    sim, config, in_use, wording
):
    sim.version_gate, sim.gate_voice = "strict", wording
    provider = in_use(config)
    await provider.complete(ask())
    [entry] = (entry for entry in sim.models if entry["slug"] == MODEL)
    entry["minimal_client_version"] = "0.170.0"
    assert (await provider.complete(ask())).text
    assert versions(sim)[2:] == ["0.155.0", "0.170.0"]
    assert len(sim.requests_to(MODELS)) == 2


async def test_a_minimum_version_that_rose_before_anything_was_learnt_is_looked_up(sim, config, in_use):
    sim.version_gate = "strict"
    provider = in_use(config)
    await provider.list_models()
    [entry] = (entry for entry in sim.models if entry["slug"] == MODEL)
    entry["minimal_client_version"] = "0.170.0"
    assert (await provider.complete(ask())).text
    assert versions(sim) == [None, "0.155.0", "0.170.0"]


# A list that cannot be fetched


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_version_gate_is_reported_as_such_if_the_list_is_refused_too(sim, config, in_use, status):
    model = "gpt-6.2-sol"
    sim.version_gate, sim.gate_voice = "strict", "upgrade"
    sim.misbehave(MODELS, Fault(status=status, body={"detail": "No."}), times=None)
    with pytest.raises(NotFoundError, match=r"OpenAI restricts the model gpt-6\.2-sol to newer clients"):
        await in_use(config).complete(ask(), model=model)
    assert versions(sim) == [None]


async def test_a_retired_default_is_replaced_even_if_the_list_is_refused(sim, config, in_use):
    sim.misbehave(MODELS, Fault(status=403, body={"detail": "No."}), times=None)
    assert (await in_use({**config, "default_model": "gpt-5.5"}).complete(ask())).text
    assert [request.json["model"] for request in sim.requests_to(RESPONSES)] == ["gpt-5.5", "gpt-6-sol"]


# Efforts


@pytest.mark.parametrize(("effort", "sent"), [("none", "low"), ("minimal", "low"), ("ultra", "max")])
async def test_with_a_list_an_effort_is_never_refused(sim, config, in_use, effort, sent):
    provider = in_use(config)
    await provider.list_models()
    await provider.complete(ask(), model="gpt-6.2-sol", reasoning_effort=effort)
    assert efforts(sim) == [sent]


@pytest.mark.parametrize(
    ("effort", "sent"), [("none", ["none", "low"]), ("minimal", ["minimal", "low"]), ("ultra", ["max"])]
)
async def test_without_a_list_the_refusal_names_the_efforts(sim, config, in_use, effort, sent):
    """gpt-6.2-sol is not built in: nothing is known about it before the first answer."""
    provider = in_use(config)
    for _ in range(2):
        assert (await provider.complete(ask(), model="gpt-6.2-sol", reasoning_effort=effort)).text
    assert efforts(sim) == [*sent, sent[-1]]
    assert sim.requests_to(MODELS) == []


@pytest.mark.parametrize("known", [False, True], ids=["list unknown", "list known"])
@pytest.mark.parametrize("code", ["invalid_value", "unsupported_value"])
async def test_if_the_refusal_names_no_efforts_they_come_from_the_list(sim, config, in_use, code, known):
    provider = in_use(config)
    if known:
        await provider.list_models()
    error = {"message": "Invalid value.", "param": "reasoning.effort", "code": code}
    sim.misbehave(RESPONSES, Fault(status=400, body={"error": error}))
    assert (await provider.complete(ask(), model="gpt-6.2-sol", reasoning_effort="xhigh")).text
    assert efforts(sim) == ["xhigh", "high"]
    assert len(sim.requests_to(MODELS)) == 1


async def test_a_second_refused_effort_is_reported(sim, config, in_use):
    error = {"message": "Invalid value: 'xhigh'.", "param": "reasoning.effort", "code": "invalid_value"}
    sim.misbehave(RESPONSES, Fault(status=400, body={"error": error}), times=None)
    with pytest.raises(InvalidRequestError, match="'xhigh'"):
        await in_use(config).complete(ask(), reasoning_effort="xhigh")
    assert efforts(sim) == ["xhigh", "high"]


async def test_two_corrections_of_one_call_are_both_remembered(sim, config, in_use):
    efforts_refused = {"message": "Invalid value.", "param": "reasoning.effort", "code": "invalid_value"}
    tier_refused = {"message": "Unsupported.", "param": "service_tier", "code": "unsupported_value"}
    for error in (tier_refused, efforts_refused):
        sim.misbehave(RESPONSES, Fault(status=400, body={"error": error}))
    provider = in_use(config)
    for _ in range(2):
        assert (await provider.complete(ask(), model="gpt-6-luna-fast", reasoning_effort="xhigh")).text
    tiers = [request.json.get("service_tier") for request in sim.requests_to(RESPONSES)]
    assert tiers == ["priority", None, None, None]
    assert efforts(sim) == ["xhigh", "xhigh", "high", "high"]
