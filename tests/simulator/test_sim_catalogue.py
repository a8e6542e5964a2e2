"""The simulated catalogue: which models are listed, and which of them each plan may call."""

from datetime import UTC, datetime

import pytest

from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, parse_models
from amplifier_module_provider_openai_chatgpt.simulator.catalogue import default_models, served_models

BEFORE, AFTER = datetime(2026, 8, 30, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)


def offered(models):
    return [model.slug for model in models if model.visibility == "list"]


def test_every_default_entry_is_parsed_and_the_listed_ones_are_the_built_in_ones():
    entries = default_models()
    models = parse_models({"models": entries})
    assert [model.slug for model in models] == [entry["slug"] for entry in entries]
    assert set(offered(models)) == set(offered(BUILT_IN))


def test_each_call_returns_new_entries():
    default_models()[0]["slug"] = "changed"
    default_models()[-1]["some_future_field"]["x"] = "changed"
    assert default_models()[0]["slug"] == "gpt-5.6-sol"
    assert default_models()[-1]["some_future_field"] == {"x": 1}


@pytest.mark.parametrize(
    ("slug", "plan", "now", "served"),
    [
        ("gpt-5.4-mini", "free", BEFORE, True),
        ("gpt-5.4-mini", "free", AFTER, False),
        ("codex-auto-review", "free", AFTER, False),
        ("codex-auto-review", "pro", AFTER, True),
        ("codex-auto-review", "a future plan", AFTER, True),
        ("gpt-5.3-codex-spark", "free", AFTER, True),
    ],
)
def test_a_listed_model_serves_its_plans_until_it_is_retired(slug, plan, now, served):
    assert (slug in served_models(default_models(), plan, now)) == served


def test_an_entry_without_a_slug_is_skipped():
    assert served_models([{"display_name": "?"}, {"slug": "one"}], "plus", AFTER) == {"one": {"slug": "one"}}
