"""``-fast`` asks for the priority tier, unless it is part of the model's own name."""

import pytest

from tests.event_recorder import RESPONSES, ask


@pytest.mark.parametrize(
    ("model", "slug", "tier"),
    [
        ("gpt-6-sol-fast", "gpt-6-sol", "priority"),
        ("swift-fast", "swift-fast", None),
        ("swift-fast-fast", "swift-fast", "priority"),
    ],
)
async def test_a_listed_slug_that_ends_in_fast_is_sent_whole(sim, config, in_use, model, slug, tier):
    [entry] = [entry for entry in sim.models if entry["slug"] == "gpt-6-sol"]
    sim.models = [*sim.models, {**entry, "slug": "swift-fast"}]
    provider = in_use(config)
    assert model in {listed.id for listed in await provider.list_models()}
    await provider.complete(ask(), model=model)
    sent = sim.requests_to(RESPONSES)[-1].json
    assert (sent["model"], sent.get("service_tier")) == (slug, tier)
