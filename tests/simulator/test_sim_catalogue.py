"""The simulated catalogues: which models each world lists, and which of them each plan may call."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.cli.commands import SIMULATED_WORLDS
from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, parse_models
from amplifier_module_provider_openai_chatgpt.simulator import CODEX_WORLDS, DEFAULT_WORLD, WORLDS, Simulator
from amplifier_module_provider_openai_chatgpt.simulator.catalogue import served_models
from amplifier_module_provider_openai_chatgpt.simulator.worlds import AUGUST_2026, NOVEMBER_2026

from .requests import classic, headers_of

BEFORE, AFTER = datetime(2026, 8, 30, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
RESPONSES = "/codex/responses"


def offered(models):
    return [model.slug for model in models if model.visibility == "list"]


@pytest.fixture(params=CODEX_WORLDS)
def world(request):
    """A simulator of each world."""
    with Simulator(world=request.param) as simulator:
        yield simulator


@pytest.fixture
def november():
    with Simulator(world="november-2026") as simulator:
        yield simulator


def client_of(sim, **sign_in):
    return httpx.Client(base_url=sim.base_url, headers=headers_of(sim.sign_in(**sign_in)), trust_env=False)


def slugs(http, version):
    answer = http.get("/codex/models", params={"client_version": version})
    return [model["slug"] for model in answer.json()["models"]]


def ask(sim, model, headers=(), **fields):
    with client_of(sim) as http:
        return http.post(RESPONSES, json=classic(model=model, **fields), headers=dict(headers))


@pytest.mark.parametrize("name", WORLDS)
def test_every_entry_is_parsed(name):
    entries = [*WORLDS[name].catalogue(), *WORLDS[name].retired_entries()]
    assert [model.slug for model in parse_models({"models": entries})] == [entry["slug"] for entry in entries]


def test_the_list_of_november_says_of_the_built_in_models_what_is_built_in():
    listed = {model.slug: model for model in parse_models({"models": NOVEMBER_2026.catalogue()})}
    assert {model.slug for model in BUILT_IN} <= set(offered(listed.values()))
    for model in BUILT_IN:
        there = listed[model.slug]
        assert replace(model, priority=0, max_output_tokens=0) == replace(
            there, priority=0, max_output_tokens=0, description="", plans=(), upgrade=None
        )


def test_each_call_returns_new_entries():
    AUGUST_2026.catalogue()[0]["slug"] = "changed"
    AUGUST_2026.catalogue()[-1]["some_future_field"]["x"] = "changed"
    assert AUGUST_2026.catalogue()[0]["slug"] == "gpt-5.6-sol"
    assert AUGUST_2026.catalogue()[-1]["some_future_field"] == {"x": 1}


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
    assert (slug in served_models(AUGUST_2026.catalogue(), plan, now)) == served


def test_an_entry_without_a_slug_is_skipped():
    assert served_models([{"display_name": "?"}, {"slug": "one"}], "plus", AFTER) == {"one": {"slug": "one"}}


def test_the_commands_worlds_are_the_simulators():
    assert set(SIMULATED_WORLDS) == set(WORLDS)
    assert Simulator().world is DEFAULT_WORLD


def test_the_list_depends_on_the_client_version(world):
    """Rule catalogue.client-version."""
    with client_of(world) as http:
        everything = [model["slug"] for model in world.models]
        assert slugs(http, "0.0.0") == slugs(http, "99.99.99") == everything
        assert slugs(http, "0.0.1") == slugs(http, "0.60.0") == slugs(http, "junk") == []


@pytest.mark.parametrize(("version", "count"), [("0.100.0", 4), ("0.143.0", 6), ("0.144.0", 9), ("1.0.0", 9)])
def test_the_list_of_august_has_the_reported_length(version, count):
    with Simulator(world="august-2026") as sim, client_of(sim) as http:
        assert len(slugs(http, version)) == count


@pytest.mark.parametrize(
    ("version", "slug"), [("0.153.0", "gpt-6-astra"), ("0.155.0", "gpt-6-luna"), ("0.169.1", "gpt-6.2-astra")]
)
def test_november_hides_newer_models_from_older_clients(november, version, slug):
    one, two, three = map(int, version.split("."))
    with client_of(november) as http:
        assert slug in slugs(http, version)
        assert slug not in slugs(http, f"{one}.{two - 1}.{three}")


def test_november_lists_the_new_models_and_not_the_retired_ones(november):
    listed = offered(parse_models({"models": november.models}))
    assert listed[:2] == ["gpt-6.2-astra", "gpt-6.2-sol"]
    assert {"gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-terra"} <= set(listed)
    assert not {"gpt-5.5", "gpt-5.5-pro", "gpt-5.4", "gpt-5.4-mini", "gpt-5.2"} & set(listed)


@pytest.mark.parametrize("slug", [row.slug for row in NOVEMBER_2026.retired])
@pytest.mark.parametrize("stale", [False, True])
def test_a_retired_model_is_refused_also_while_a_stale_list_names_it(november, slug, stale):
    """Rule catalogue.served."""
    november.stale_list = stale
    answer = ask(november, slug)
    text = f"The '{slug}' model is not supported when using Codex with a ChatGPT account."
    assert (answer.status_code, answer.json()) == (400, {"detail": text})
    with client_of(november) as http:
        assert (slug in slugs(http, "0.0.0")) == stale


def test_a_stale_list_names_the_successors(november):
    november.stale_list = True
    entries = {entry["slug"]: entry for entry in november.listed_models()}
    successors = {slug: entry["upgrade"]["model"] for slug, entry in entries.items() if entry.get("upgrade")}
    assert (successors["gpt-5.5"], successors["gpt-5.5-pro"]) == ("gpt-6-sol", "gpt-6-astra")
    assert successors["gpt-5.6-sol"] == "gpt-6-sol"
    assert set(successors.values()) <= {model["slug"] for model in november.models}


@pytest.mark.parametrize("slug", [row.slug for row in NOVEMBER_2026.models])
def test_november_serves_its_models_to_a_client_without_a_version(november, slug):
    assert ask(november, slug).status_code == 200


def test_a_new_model_is_not_on_every_plan_yet(november):
    november.plan = "go"
    assert ask(november, "gpt-6.2-astra").status_code == 400
    assert ask(november, "gpt-6-astra").status_code == 200


@pytest.mark.parametrize("effort", ["none", "minimal", "ultra"])
@pytest.mark.parametrize("slug", ["gpt-6-sol", "gpt-6.2-astra"])
def test_gpt_6_refuses_the_lowest_efforts_and_ultra_with_the_accepted_set(november, slug, effort):
    error = ask(november, slug, reasoning={"effort": effort}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "reasoning.effort")
    assert error["message"].endswith("values are: 'low', 'medium', 'high', 'xhigh', 'max'.")


def test_ultra_is_refused_elsewhere_with_the_efforts_of_the_endpoint(november):
    error = ask(november, "gpt-5.6-sol", reasoning={"effort": "ultra"}).json()["error"]
    assert error["code"] == "invalid_value"
    assert "'none', 'minimal', 'low', 'medium'" in error["message"]


VOICES = {
    "not_found": "Model not found gpt-6-sol",
    "not_supported": "The 'gpt-6-sol' model is not supported when using Codex with a ChatGPT account.",
    "upgrade": "The 'gpt-6-sol' model requires a newer version of Codex. Please upgrade to the latest app or "
    "CLI and try again.",
}


@pytest.mark.parametrize("voice", VOICES)
def test_the_gate_and_a_lite_only_model_refuse_in_each_voice(november, voice):
    november.gate_voice = voice
    november.version_gate = "strict"
    absent, old = ask(november, "gpt-6-sol"), ask(november, "gpt-6-sol", {"version": "0.133.0"})
    assert ask(november, "gpt-6-sol", {"version": "0.155.0"}).status_code == 200
    november.version_gate = "open"
    november.require_lite = {"gpt-6-sol"}
    classic_shape = ask(november, "gpt-6-sol")
    for answer in (absent, old, classic_shape):
        assert answer.status_code == (404 if voice == "not_found" else 400)
        assert answer.json()["detail"] == VOICES[voice]


def test_without_a_voice_an_old_version_is_named_and_a_missing_one_hides_the_model(november):
    november.version_gate = "strict"
    assert ask(november, "gpt-6-sol").json()["detail"] == VOICES["not_found"]
    assert ask(november, "gpt-6-sol", {"version": "0.133.0"}).json()["detail"] == VOICES["upgrade"]


def test_the_strict_gate_serves_models_before_5_6_without_a_version():
    with Simulator(world="august-2026") as sim:
        sim.version_gate = "strict"
        assert ask(sim, "gpt-5.5").status_code == 200
        assert ask(sim, "gpt-5.6-sol").status_code == 404
