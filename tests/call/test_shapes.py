"""What is learnt about a model: for which account, for how long, and how the model list overrides it."""

import logging

import pytest

from amplifier_module_provider_openai_chatgpt import provider as provider_module
from amplifier_module_provider_openai_chatgpt.call.shapes import LEARNT_FOR, LearntShapes, RequestShape
from amplifier_module_provider_openai_chatgpt.simulator.rules import LITE_HEADER
from tests.conftest import MODEL, write_tokens
from tests.event_recorder import RESPONSES, ask

PACKAGE = "amplifier_module_provider_openai_chatgpt"
LITE_SHAPE = RequestShape(lite=True)


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(sim):
    """The clock of the shapes learnt about the simulator."""
    clock = Clock()
    provider_module._shapes[sim.base_url] = LearntShapes(clock)
    return clock


def versions(sim):
    return [request.headers.get("version") for request in sim.requests_to(RESPONSES)]


def test_a_shape_is_forgotten_after_an_hour():
    clock = Clock()
    shapes = LearntShapes(clock)
    shapes.learn("acc", "gpt-6-sol", LITE_SHAPE)
    clock.now += LEARNT_FOR - 1
    assert shapes.get("acc", "gpt-6-sol") == LITE_SHAPE
    clock.now += 1
    assert shapes.get("acc", "gpt-6-sol") == RequestShape()


def test_an_unavailable_model_is_tried_again_after_an_hour():
    clock = Clock()
    shapes = LearntShapes(clock)
    shapes.learn("acc", "gpt-5.5", RequestShape(gone=True))
    assert (shapes.gone("acc"), shapes.gone("other")) == (["gpt-5.5"], [])
    clock.now += LEARNT_FOR
    assert shapes.gone("acc") == []


def test_learning_a_shape_again_does_not_extend_it():
    """Otherwise a model in daily use would never be tried in the default shape again."""
    clock = Clock()
    shapes = LearntShapes(clock)
    for _ in range(2):
        shapes.learn("acc", "gpt-6-sol", LITE_SHAPE)
        assert shapes.get("acc", "gpt-6-sol") == LITE_SHAPE
        clock.now += LEARNT_FOR / 2
    assert shapes.get("acc", "gpt-6-sol") == RequestShape()


def test_learning_and_forgetting_are_logged_once(caplog):
    caplog.set_level(logging.INFO, logger=PACKAGE)
    shapes = LearntShapes(Clock())
    shape = RequestShape(lite=True, version="0.155.0", tierless=True, efforts=("low", "high"))
    for _ in range(2):
        shapes.learn("acc", "gpt-6-sol", shape)
    for _ in range(2):
        shapes.forget("acc", "gpt-6-sol")
    assert caplog.messages == [
        (
            "Learnt about the model gpt-6-sol: it requires the Lite request shape; "
            "it requires client version 0.155.0; "
            "it has no fast tier for this account; its efforts are low, high."
        ),
        "What was learnt about the model gpt-6-sol is no longer true.",
    ]


async def test_after_an_hour_the_default_shape_is_tried_again(sim, config, in_use, clock):
    sim.version_gate = "strict"
    provider = in_use(config)
    for _ in range(2):
        await provider.complete(ask())
    clock.now += LEARNT_FOR
    sim.version_gate = "open"
    await provider.complete(ask())
    assert versions(sim) == [None, "0.155.0", "0.155.0", None]


async def test_shapes_are_learnt_per_account(sim, config, in_use, tmp_path):
    sim.version_gate = "strict"
    second = write_tokens(tmp_path / "second.json", sim.sign_in(account_id="another-account"))
    for settings in (config, {**config, "token_file_path": str(second)}, config):
        await in_use(settings).complete(ask())
    assert versions(sim) == [None, "0.155.0", None, "0.155.0", "0.155.0"]


async def test_all_providers_of_an_account_share_a_shape(sim, config, in_use):
    sim.version_gate = "strict"
    for _ in range(2):
        await in_use(config).complete(ask())
    assert versions(sim) == [None, "0.155.0", "0.155.0"]


async def test_a_learnt_version_is_raised_when_the_lists_minimum_rises(sim, config, in_use):
    sim.version_gate = "strict"
    provider = in_use(config)
    await provider.complete(ask())
    [entry] = (entry for entry in sim.models if entry["slug"] == MODEL)
    entry["minimal_client_version"] = "0.1000.0"
    await in_use({**config, "models_cache_ttl": 0}).list_models()
    assert (await provider.complete(ask())).text
    assert versions(sim) == [None, "0.155.0", "0.1000.0"]


async def test_a_learnt_version_is_not_lowered(sim, config, in_use):
    sim.version_gate = "strict"
    provider = in_use(config)
    await provider.complete(ask())
    [entry] = (entry for entry in sim.models if entry["slug"] == MODEL)
    entry["minimal_client_version"] = "0.99.0"
    await in_use({**config, "models_cache_ttl": 0}).list_models()
    await provider.complete(ask())
    assert versions(sim) == [None, "0.155.0", "0.155.0"]


@pytest.mark.parametrize("listed", [False, True], ids=["list outdated", "list fetched"])
async def test_a_model_that_no_longer_takes_the_lite_shape_gets_the_classic_one(sim, config, in_use, listed):
    """If the list was fetched in between, there is no refusal."""
    sim.require_lite = {MODEL}
    provider = in_use(config)
    await provider.complete(ask())
    [entry] = (entry for entry in sim.models if entry["slug"] == MODEL)
    sim.require_lite, entry["use_responses_lite"] = set(), False
    if listed:
        await in_use({**config, "models_cache_ttl": 0}).list_models()
    before = len(sim.requests_to(RESPONSES))
    assert (await provider.complete(ask())).text
    assert [LITE_HEADER in request.headers for request in sim.requests_to(RESPONSES)[before:]] == (
        [False] if listed else [True, False]
    )
