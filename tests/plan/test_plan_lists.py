"""Lists of models of the plan service, whatever is in them: which models are offered, and in which order."""

import logging
from typing import Any

import pytest
from amplifier_core.llm_errors import LLMError
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt import provider as provider_module
from amplifier_module_provider_openai_chatgpt.models import catalogue
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import ask

pytestmark = pytest.mark.world("plan")
LISTED = "list"


def entry(slug: object, **more: object) -> dict[str, object]:
    return {"slug": slug, "visibility": LISTED, **more}


def answers(sim, content):
    sim.misbehave("/models", Fault(body=to_json(content), headers={"content-type": "application/json"}), None)


MANY = [entry(f"gpt-{number}") for number in range(10_000)]
# By what is odd: the list, and the models that are offered.
LISTS: dict[str, tuple[Any, list[str]]] = {
    "duplicates": (
        [entry("b", display_name="First"), entry("a"), entry("b", display_name="Second", visibility="hide")],
        ["b", "a"],
    ),
    "no slug": (
        [{"visibility": LISTED}, entry(""), entry(None), entry(5), entry("a b"), entry("ok")],
        ["ok"],
    ),
    "not objects": ([None, "gpt-6-sol", 7, ["x"], entry("ok")], ["ok"]),
    "no visibility": (
        [{"slug": "a"}, entry("b", visibility=None), entry("c", visibility=7)],
        ["a", "b", "c"],
    ),
    "hidden": ([entry("a", visibility="hide"), entry("b", visibility="LIST"), entry("c")], ["c"]),
    "priorities": ([entry("b", priority=9), entry("a", priority=1)], ["b", "a"]),
    "tiers": ([entry("gpt-6-sol", service_tiers=["priority"])], ["gpt-6-sol"]),
    "gates": ([entry("a", use_responses_lite=True, minimal_client_version="9.9.9")], ["a"]),
    "ten thousand": (MANY, [f"gpt-{number}" for number in range(1_000)]),
}


@pytest.mark.parametrize(("models", "offered"), LISTS.values(), ids=LISTS)
async def test_an_odd_list_offers_what_can_be_used_in_the_servers_order(sim, plan, in_use, models, offered):
    answers(sim, {"models": models})
    provider = in_use(plan)
    assert [model.id for model in await provider.list_models()] == offered
    assert provider.get_model_info().id == offered[0]


@pytest.mark.parametrize(
    "content",
    [{"data": [{"id": "gpt-6-sol"}]}, {"models": []}, {"models": {}}, {"models": None}, "list", None, 7],
    ids=lambda content: str(content)[:20],
)
async def test_a_list_without_models_is_an_error_and_nothing_is_guessed(sim, plan, in_use, content):
    answers(sim, content)
    provider = in_use(plan)
    with pytest.raises(LLMError, match="contains no models to choose from"):
        await provider.list_models()
    with pytest.raises(LLMError, match="contains no models to choose from"):
        await provider.complete(ask())
    assert sim.requests_to("/responses") == []
    sim.behave("/models")
    assert (await provider.complete(ask())).text


async def test_a_list_that_is_too_large_to_be_stored_is_used_and_not_damaged(sim, plan, in_use, caplog):
    caplog.set_level(logging.DEBUG, logger="amplifier_module_provider_openai_chatgpt")
    answers(sim, {"models": [{**one, "display_name": "n" * 500, "description": "d" * 200} for one in MANY]})
    assert len(await in_use(plan).list_models()) == 1_000
    assert "too large to be stored" in caplog.text
    catalogue._shared_caches.clear()
    provider_module._shapes.clear()
    assert list(in_use(plan).catalogue.known()) == []
    assert "damaged" not in caplog.text


async def test_the_list_of_another_person_is_not_used(sim, plan, in_use, tmp_path):
    """Each person's list is stored under a name of its own."""
    await in_use(plan).list_models()
    catalogue._shared_caches.clear()
    assert list(in_use(plan).catalogue.known())
    sim.sharing.subject = "user-other"
    path = tmp_path / "plan.json"
    path.write_bytes(to_json(sim.connect()))
    assert list(in_use(plan).catalogue.known()) == []
