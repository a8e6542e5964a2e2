"""Models: how the backend's list is read, and how it is described for hosts."""

from __future__ import annotations

import pytest
from amplifier_core import capabilities
from hypothesis import given, settings, strategies as st
from pydantic_core import from_json, to_json

from amplifier_module_provider_openai_chatgpt.models.model import (
    BUILT_IN,
    Model,
    look_up,
    model_infos,
    parse_models,
    split_fast,
    to_entry,
)

SOL = {
    "slug": "gpt-5.6-sol",
    "display_name": "GPT-5.6-Sol",
    "description": "Latest frontier agentic coding model.",
    "visibility": "list",
    "priority": 1,
    "supported_in_api": False,
    "default_reasoning_level": "low",
    "supported_reasoning_levels": [{"effort": "low", "description": "Fast"}, {"effort": "ultra"}],
    "supports_reasoning_summary_parameter": False,
    "support_verbosity": True,
    "default_verbosity": "low",
    "service_tiers": [{"id": "priority", "name": "Fast"}, {"id": "ultrafast"}],
    "additional_speed_tiers": ["fast"],
    "context_window": 272000,
    "max_context_window": 872000,
    "input_modalities": ["text"],
    "supports_parallel_tool_calls": False,
    "use_responses_lite": True,
    "minimal_client_version": [0, 144, 0],
    "available_in_plans": ["plus", "pro"],
    "upgrade": {"model": "gpt-6-sol", "retirement_at": "2027-01-01T00:00:00Z"},
    "base_instructions": "x" * 20_000,
}


def parse_one(**entry: object) -> Model:
    (model,) = parse_models({"models": [{"slug": "m", **entry}]})
    return model


def test_every_field_of_an_entry_is_read():
    assert parse_models({"models": [SOL]}) == [
        Model(
            slug="gpt-5.6-sol",
            display_name="GPT-5.6-Sol",
            description="Latest frontier agentic coding model.",
            priority=1,
            efforts=("low", "ultra"),
            default_effort="low",
            summaries=False,
            verbosity=True,
            default_verbosity="low",
            service_tiers=("priority", "ultrafast"),
            input_modalities=("text",),
            parallel_tool_calls=False,
            lite=True,
            minimal_client_version="0.144.0",
            plans=("plus", "pro"),
            upgrade="gpt-6-sol",
            retires_at="2027-01-01T00:00:00Z",
        )
    ]


@pytest.mark.parametrize(
    ("entry", "field", "value"),
    [
        ({}, "context_window", 272_000),
        ({"context_window": None, "max_context_window": 400_000}, "context_window", 400_000),
        ({"context_window": -1, "max_context_window": 9}, "context_window", 9),
        ({"context_window": "many"}, "context_window", 272_000),
        ({"context_window": True}, "context_window", 272_000),
        ({"context_window": 1e300}, "context_window", 272_000),
        ({"context_window": float("inf")}, "context_window", 272_000),
        ({"context_window": float("nan")}, "context_window", 272_000),
        ({"context_window": 10**400}, "context_window", 272_000),
        ({"context_window": 272000.0}, "context_window", 272_000),
        ({"max_output_tokens": 0}, "max_output_tokens", 128_000),
        ({"max_output_tokens": 64_000}, "max_output_tokens", 64_000),
        ({"priority": "first"}, "priority", 1000),
        ({"priority": -2}, "priority", -2),
        ({"visibility": None}, "visibility", "list"),
        ({"visibility": "hide"}, "visibility", "hide"),
        ({"minimal_client_version": "0.98.0"}, "minimal_client_version", "0.98.0"),
        ({"minimal_client_version": [0, 98]}, "minimal_client_version", "0.98"),
        ({"minimal_client_version": "1\r\nx: y"}, "minimal_client_version", None),
        ({"minimal_client_version": [0, None]}, "minimal_client_version", None),
        ({"minimal_client_version": {"major": 1}}, "minimal_client_version", None),
        ({"supported_reasoning_levels": ["low", "high", "low"]}, "efforts", ("low", "high")),
        ({"supported_reasoning_levels": [{"effort": 3}, None, {"effort": "hyper"}]}, "efforts", ("hyper",)),
        ({"supported_reasoning_levels": "low"}, "efforts", ()),
        ({"service_tiers": None, "additional_speed_tiers": ["fast"]}, "service_tiers", ("priority",)),
        ({"service_tiers": [{"id": "flex"}]}, "service_tiers", ("flex",)),
        ({"input_modalities": []}, "input_modalities", ("text", "image")),
        ({"upgrade": "m2"}, "upgrade", "m2"),
        ({"upgrade": ["m2"]}, "upgrade", None),
        ({"supports_reasoning_summary_parameter": "yes"}, "summaries", True),
        ({"display_name": "A\x1b[31m\n B"}, "display_name", "A [31m B"),
        ({"display_name": ["A"]}, "display_name", ""),
    ],
)
def test_a_field_is_read_leniently_and_checked(entry, field, value):
    assert getattr(parse_one(**entry), field) == value


@pytest.mark.parametrize(
    "payload", [None, 3, "models", [], {}, {"models": None}, {"models": {"slug": "m"}}, {"data": []}]
)
def test_anything_but_a_list_of_models_is_an_empty_list(payload):
    assert parse_models(payload) == []


def test_bad_entries_are_skipped():
    bad: list[object] = [
        None,
        7,
        "m",
        [],
        {},
        {"slug": ""},
        {"slug": None},
        {"slug": "a b"},
        {"slug": "x" * 200},
    ]
    assert [model.slug for model in parse_models({"models": [*bad, SOL, {"slug": "m"}]})] == [
        "gpt-5.6-sol",
        "m",
    ]


def test_the_first_of_two_entries_for_one_model_wins():
    assert parse_models([{"slug": "m", "priority": 1}, {"slug": "m", "priority": 2}]) == [
        Model("m", priority=1)
    ]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


_entries = st.fixed_dictionaries(
    {"slug": st.just("m") | _json}, optional={key: _json for key in SOL if key != "slug"}
)


@settings(max_examples=40)
@given(st.lists(_entries, max_size=3))
@pytest.mark.long
def test_reading_never_raises_and_the_result_can_be_stored(entries):
    models = parse_models({"models": entries})
    assert parse_models(from_json(to_json([to_entry(model) for model in models]))) == models
    model_infos(models)


def test_the_built_in_list_contains_what_most_plans_offer_in_november_2026():
    assert [(model.slug, model.name) for model in BUILT_IN] == [
        ("gpt-6-sol", "GPT-6-Sol"),
        ("gpt-6.1-sol", "GPT-6.1-Sol"),
        ("gpt-6-astra", "GPT-6-Astra"),
        ("gpt-6-luna", "GPT-6-Luna"),
        ("gpt-5.6-sol", "GPT-5.6-Sol"),
        ("gpt-5.6-terra", "GPT-5.6-Terra"),
        ("gpt-5.6-luna", "GPT-5.6-Luna"),
    ]
    assert {model.context_window for model in BUILT_IN} == {272_000}
    assert all(model.has_fast for model in BUILT_IN)
    assert all(model.default_effort in model.efforts for model in BUILT_IN)
    assert parse_models([to_entry(model) for model in BUILT_IN]) == list(BUILT_IN)


def test_hosts_get_listed_models_by_priority_each_fast_one_with_its_variant():
    models = parse_models(
        [
            {"slug": "late", "priority": 9, "supported_in_api": False},
            {"slug": "hidden", "visibility": "hide", "priority": 0},
            {"slug": "none", "visibility": "none", "priority": 0},
            {"slug": "early", "display_name": "Early", "priority": 1, "additional_speed_tiers": ["fast"]},
        ]
    )
    infos = model_infos(models)
    assert [(info.id, info.display_name) for info in infos] == [
        ("early", "Early"),
        ("early-fast", "Early (fast)"),
        ("late", "late"),
    ]
    assert infos[0].context_window == infos[1].context_window == 272_000


def test_an_id_is_listed_once_even_if_the_backend_has_a_model_named_like_a_fast_variant():
    models = [Model("m", service_tiers=("priority",)), Model("m-fast")]
    assert [info.id for info in model_infos(models)] == ["m", "m-fast"]


def test_hidden_models_are_described_on_request():
    assert [info.id for info in model_infos([Model("m", visibility="hide")], hidden=True)] == ["m"]


@pytest.mark.parametrize(
    ("model", "extra", "missing"),
    [
        (Model("m"), {"thinking", "vision", "long_context"}, {"fast"}),
        (Model("m", efforts=("none",)), set(), {"thinking"}),
        (Model("m", input_modalities=("text",)), set(), {"vision"}),
        (Model("m", context_window=128_000), set(), {"long_context"}),
        (Model("gpt-9-luna"), {"fast"}, set()),
    ],
)
def test_capabilities_are_those_that_amplifier_defines(model, extra, missing):
    (info,) = model_infos([model])
    assert {"tools", "streaming", "json_mode"} | extra <= set(info.capabilities)
    assert set(info.capabilities) <= set(capabilities.ALL_WELL_KNOWN_CAPABILITIES) - missing


def test_only_the_fast_variant_has_the_capability_fast():
    plain, fast = model_infos([Model("m", service_tiers=("priority",))])
    assert ("fast" in plain.capabilities, "fast" in fast.capabilities) == (False, True)


def test_defaults_contain_only_what_the_backend_sent():
    (info, _) = model_infos(parse_models([SOL]))
    assert info.defaults == {
        "reasoning_effort": "low",
        "reasoning_efforts": ["low", "ultra"],
        "text_verbosity": "low",
        "service_tiers": ["priority", "ultrafast"],
        "input_modalities": ["text"],
        "priority": 1,
        "plans": ["plus", "pro"],
        "upgrade": "gpt-6-sol",
        "retires_at": "2027-01-01T00:00:00Z",
        "description": "Latest frontier agentic coding model.",
    }
    (generic,) = model_infos([Model("m")])
    assert generic.defaults == {"input_modalities": ["text", "image"], "priority": 1000}


@pytest.mark.parametrize(
    ("model_id", "parts"),
    [
        ("gpt-5.5", ("gpt-5.5", False)),
        ("gpt-5.5-fast", ("gpt-5.5", True)),
        ("gpt-5.5-FAST", ("gpt-5.5-FAST", False)),
        ("breakfast", ("breakfast", False)),
        ("-fast", ("-fast", False)),
        ("", ("", False)),
    ],
)
def test_the_fast_suffix_is_split_off(model_id, parts):
    assert split_fast(model_id) == parts


@pytest.mark.parametrize(
    ("slug", "window"),
    [
        ("gpt-5.5", 55),
        ("gpt-5.5-pro", 555),
        ("gpt-5.5-pro-2026-01-01", 555),
        ("gpt-5.5-2026-01-01", 55),
        ("openai/gpt-5.5", 55),
        ("openai/gpt-5.5-2026-01-01", 55),
        ("a/b/gpt-5.5", 272_000),
        ("gpt-5", 272_000),
        ("unheard-of", 272_000),
        ("/", 272_000),
        ("", 272_000),
    ],
)
def test_a_slug_is_looked_up_by_its_longest_known_prefix_without_a_namespace(slug, window):
    known = {
        "gpt-5.5": Model("gpt-5.5", context_window=55),
        "gpt-5.5-pro": Model("gpt-5.5-pro", context_window=555),
    }
    found = look_up(known, slug)
    assert (found.slug, found.context_window) == (slug, window)
