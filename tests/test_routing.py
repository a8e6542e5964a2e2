"""The routing matrix, resolved as Amplifier's routing hook does it, on catalogues old, new and odd."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from amplifier_core.message_models import ChatRequest, Message
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.cli.roles import highest
from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model, model_infos
from amplifier_module_provider_openai_chatgpt.settings import EFFORTS, PROVIDER
from amplifier_module_provider_openai_chatgpt.simulator import CODEX_WORLDS, Simulator

ROOT = Path(__file__).parents[1]
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
MATRIX = yaml.safe_load((ROOT / "routing/openai-chatgpt.yaml").read_text(encoding="utf-8"))
ROLES: dict[str, dict[str, Any]] = MATRIX["roles"]
ALL_ROLES = [
    *("general", "fast", "coding", "ui-coding", "security-audit", "reasoning", "critique"),
    *("creative", "writing", "research", "vision", "image-gen", "critical-ops"),
]
PATTERNS = sorted({candidate["model"] for role in ROLES.values() for candidate in role["candidates"]})


def with_twins(*slugs: str) -> list[str]:
    """Ids as a host sees them; every model has the fast tier here, the worst case."""
    return [info.id for info in model_infos(Model(slug, service_tiers=("priority",)) for slug in slugs)]


PLAN_USE = "Plan use, October 2026"
CATALOGUES = {
    "Plus, April 2026": with_twins("gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.3-codex", "gpt-5.2"),
    "the same without gpt-5.5": with_twins(
        "gpt-5.4", "gpt-5.4-mini", "gpt-5.3-codex", "gpt-5.3-codex-spark", "gpt-5.2"
    ),
    "Free, two models": with_twins("gpt-5.4-mini", "gpt-5.2"),
    "August 2026": with_twins("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5", "gpt-5.2"),
    "gpt-6 only": with_twins("gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol"),
    "September 2026": with_twins(
        *("gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5")
    ),
    "November 2026": with_twins(
        *(
            "gpt-6.1-sol",
            "gpt-6-astra",
            "gpt-6-sol",
            "gpt-6-luna",
            "gpt-5.6-sol",
            "gpt-5.6-terra",
            "gpt-5.6-luna",
        )
    ),
    "November 2026 with 6.2": with_twins(
        *("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"),
        *("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"),
    ),
    # What one client found for plan use: no priorities, efforts or tiers, and so no twins.
    PLAN_USE: [
        *("gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-reserve"),
        *("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-daybreak-blue-latest", "gpt-5.5"),
        "codex-auto-review",
    ],
    "invented": with_twins("gpt-7.1-nova", "gpt-7-nova", "gpt-7-pico", "gpt-7-flint"),
}


def version_key(model_id: str) -> tuple[list[int | str], int]:
    """The routing hook's order: digits compare as numbers, dates do not count, of equals the shorter wins."""
    undated = re.sub(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$", "", model_id)
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", undated)], -len(model_id)


def plain_text_key(model_id: str) -> str:
    """The order of the resolver for spawned agents: ids are plain texts."""
    return model_id


def resolve(role: str, catalogue: list[str], key: Any = version_key) -> tuple[str, dict[str, Any]] | None:
    """The first candidate that is a plain id, or a pattern that matches; its highest match."""
    for candidate in ROLES[role]["candidates"]:
        model = candidate["model"]
        if not any(character in model for character in "*?["):
            return model, candidate.get("config", {})
        matches = [name for name in catalogue if fnmatch(name.lower(), model.lower())]
        if matches:
            return max(matches, key=key), candidate.get("config", {})
    return None


def chosen(role: str, catalogue: list[str]) -> str:
    result = resolve(role, catalogue)
    assert result is not None, f"{role} finds nothing"
    return result[0]


def test_the_matrix_has_the_shape_that_amplifier_reads():
    assert MATRIX["name"] == "openai-chatgpt"
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", MATRIX["updated"])
    assert set(MATRIX) == {"name", "description", "updated", "roles"}
    assert list(ROLES) == ALL_ROLES
    for role in ROLES.values():
        assert role["description"]
        assert {candidate["provider"] for candidate in role["candidates"]} == {PROVIDER}


@pytest.mark.parametrize("role", ALL_ROLES)
def test_no_role_names_a_model_twice(role):
    models = [candidate["model"] for candidate in ROLES[role]["candidates"]]
    assert len(models) == len(set(models))


def test_every_candidate_is_a_pattern_and_leaves_the_next_one_reachable():
    assert [pattern for pattern in PATTERNS if not any(character in pattern for character in "*?[")] == []


EFFORT = {
    "fast": "low",
    **dict.fromkeys(("security-audit", "reasoning", "research", "critical-ops"), "high"),
    "critique": "xhigh",
}


def test_a_role_sets_the_same_effort_in_all_its_candidates():
    efforts = {
        role: {candidate.get("config", {}).get("reasoning_effort") for candidate in spec["candidates"]}
        for role, spec in ROLES.items()
    }
    assert efforts == {role: {EFFORT.get(role)} for role in ALL_ROLES}
    assert set(EFFORT.values()) <= set(EFFORTS)


@pytest.mark.parametrize("key", [version_key, plain_text_key])
@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
@pytest.mark.parametrize("role", ALL_ROLES)
def test_each_role_gets_a_model_that_exists_and_is_not_a_fast_twin(role, catalogue, key):
    result = resolve(role, catalogue, key)
    assert result is not None
    assert result[0] in catalogue
    assert not result[0].endswith("-fast")


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
def test_a_spark_never_writes_the_code_while_there_is_another_model(catalogue):
    assert "spark" not in chosen("coding", catalogue)
    assert chosen("coding", with_twins("gpt-5.10-codex", "gpt-5.10-codex-spark")) == "gpt-5.10-codex"


@pytest.mark.parametrize(
    "name", ["gpt-6 only", "September 2026", "November 2026", "November 2026 with 6.2", PLAN_USE]
)
def test_after_generation_5_fast_plays_luna_hard_roles_astra_and_the_others_sol(name):
    def newest(family):
        return max((slug for slug in CATALOGUES[name] if fnmatch(slug, f"gpt-6*-{family}")), key=version_key)

    families = {"fast": "luna", **dict.fromkeys(set(EFFORT) - {"fast"}, "astra")}
    assert {role: chosen(role, CATALOGUES[name]) for role in ALL_ROLES} == {
        role: newest(families.get(role, "sol")) for role in ALL_ROLES
    }


def test_the_built_in_list_serves_the_roles_as_the_list_of_the_month_does():
    built_in = [info.id for info in model_infos(BUILT_IN)]
    assert {role: chosen(role, built_in) for role in ALL_ROLES} == {
        role: chosen(role, CATALOGUES["November 2026"]) for role in ALL_ROLES
    }


@pytest.mark.parametrize(
    ("role", "slugs", "winner"),
    [
        ("general", ["gpt-5.5", "gpt-5.55", "gpt-5.5-pro"], "gpt-5.5"),
        ("general", ["gpt-6-sol", "gpt-5.6-terra", "gpt-5.5"], "gpt-6-sol"),
        ("general", ["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"], "gpt-5.6-terra"),
        ("general", ["gpt-6.1-sol", "gpt-6.1-sol-2026-10-02", "gpt-6-sol"], "gpt-6.1-sol"),
        ("coding", ["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna"], "gpt-5.6-sol"),
        ("critique", ["gpt-6.2-sol", "gpt-6-astra"], "gpt-6-astra"),
        ("critique", ["gpt-6-sol", "gpt-6-luna"], "gpt-6-sol"),
        ("fast", ["gpt-5-mini", "gpt-5.4-mini", "gpt-5.5"], "gpt-5.4-mini"),
        ("fast", ["gpt-5.10-mini", "gpt-5.9-pro"], "gpt-5.10-mini"),
        ("fast", ["gpt-6-luna", "gpt-5.4-mini"], "gpt-6-luna"),
        ("fast", ["gpt-6.2-sol", "gpt-6.2-astra", "gpt-5.6-luna"], "gpt-5.6-luna"),
        ("fast", ["gpt-6.2-sol", "gpt-6.2-astra"], "gpt-6.2-sol"),
        ("coding", ["gpt-5-codex", "gpt-5"], "gpt-5-codex"),
        ("coding", ["gpt-6-sol", "gpt-5.3-codex"], "gpt-6-sol"),
        ("coding", ["gpt-10.12-sol", "gpt-9.9-sol", "gpt-9.9-terra"], "gpt-10.12-sol"),
        ("general", ["gpt-7"], "gpt-7"),
        ("general", ["gpt-7-latest"], "gpt-7-latest"),
        ("general", ["chatgpt-4o-latest"], "chatgpt-4o-latest"),
        ("general", ["gpt-7-flow"], "gpt-7-flow"),
        ("general", ["gpt-7-x"], "gpt-7-x"),
        ("general", ["gpt-7-t"], "gpt-7-t"),
        ("reasoning", ["o9"], "o9"),
        ("writing", ["GPT-6-Terra"], "GPT-6-Terra"),
    ],
)
def test_names_of_other_times_find_their_role(role, slugs, winner):
    assert chosen(role, with_twins(*slugs)) == winner


@pytest.fixture(params=CODEX_WORLDS)
def sim(request):
    """A simulator of each world."""
    with Simulator(world=request.param) as simulator:
        yield simulator


async def roles_on(config):
    """What a host finds for each role on the list of the simulator."""
    provider = ChatGPTProvider(config)
    ids = [info.id for info in await provider.list_models()]
    await provider.close()
    return {role: resolve(role, ids) or ("", {}) for role in ALL_ROLES}


def last_body(sim):
    return sim.requests_to("/codex/responses")[-1].json


async def test_a_child_session_gets_the_model_and_the_effort_of_its_role(sim, config):
    """Hosts merge a candidate's config into the mount config of the session that plays the role."""
    for role, (model, extra) in (await roles_on(config)).items():
        child = {**config, "priority": 0, "default_model": model, **extra}
        async with new_session({"module": f"provider-{PROVIDER}", "config": child}) as session:
            await session.execute("Say hello.")
        assert last_body(sim)["model"] == model
        assert last_body(sim).get("reasoning", {}).get("effort") == EFFORT.get(role), role
    assert len(sim.requests_to("/codex/responses")) == len(ALL_ROLES)


async def test_the_effort_a_person_configured_reaches_only_the_roles_that_set_none(sim, config, in_use):
    """The setup wizard stores its effort in the config that every child session inherits."""
    own = {**config, "reasoning_effort": "xhigh"}
    for role, (model, extra) in (await roles_on(config)).items():
        await in_use({**own, "priority": 0, "default_model": model, **extra}).complete(HELLO)
        assert last_body(sim)["reasoning"]["effort"] == EFFORT.get(role, "xhigh"), role


async def test_a_utility_call_gets_the_effort_of_fast_from_its_keyword_arguments(sim, config, in_use):
    """Session naming and the like pass a role's model and config to a provider of the main session."""
    provider = in_use({**config, "reasoning_effort": "xhigh"})
    model, extra = (await roles_on(config))["fast"]
    await provider.complete(HELLO, model=model, **extra)
    assert (last_body(sim)["model"], last_body(sim)["reasoning"]["effort"]) == (model, "low")
    await provider.complete(HELLO, model=model, **extra, extended_thinking=False)
    assert "effort" not in last_body(sim).get("reasoning", {})


# Only letters that make words like the field's, and like -fast.
_words = st.text("abcdefgilmnorstuxyz", min_size=1, max_size=8)
_slugs = st.builds(
    lambda version, words: "-".join([f"gpt-{version}", *words]),
    st.one_of(st.integers(1, 30), st.decimals(1, 30, places=1)).map(str),
    st.lists(_words, max_size=3),
)


@given(st.sampled_from(PATTERNS), st.one_of(_slugs, st.text(max_size=20)))
def test_no_pattern_can_match_a_fast_twin(pattern, slug):
    assert not fnmatch(f"{slug}-fast".lower(), pattern.lower())


@given(st.lists(_slugs.filter(lambda slug: not re.search(r"f..t$", slug)), min_size=1, max_size=6))
def test_any_catalogue_that_has_a_model_at_all_serves_every_role(slugs):
    ids = with_twins(*slugs)
    for role in ALL_ROLES:
        model = chosen(role, ids)
        assert model in slugs
        assert not model.endswith("-fast")


def groups() -> list[tuple[str, str, list[str]]]:
    """Roles with the same effort and models: their names, their effort, the model on each list."""
    plays = {
        role: (EFFORT.get(role, "your own"), tuple(chosen(role, ids) for ids in CATALOGUES.values()))
        for role in ALL_ROLES
    }
    return [
        (", ".join(role for role in ALL_ROLES if plays[role] == (effort, models)), effort, list(models))
        for effort, models in dict.fromkeys(plays.values())
    ]


@given(st.sampled_from(PATTERNS), st.lists(_slugs, min_size=1, max_size=6))
def test_the_command_that_shows_the_roles_chooses_as_the_routing_hook_does(pattern, slugs):
    matching = [slug for slug in with_twins(*slugs) if fnmatch(slug, pattern)]
    assert highest(pattern, with_twins(*slugs)) == max(matching, key=version_key, default=None)


def table() -> list[list[str]]:
    columns = [[roles, f"effort: {effort}", *models] for roles, effort, models in groups()]
    return [list(row) for row in zip(["list", "", *CATALOGUES], *columns, strict=True)]


def documented_tables() -> list[list[list[str]]]:
    lines = (ROOT / "docs/routing.md").read_text(encoding="utf-8").splitlines()
    tables = [list(rows) for is_row, rows in groupby(lines, lambda line: line.startswith("|")) if is_row]
    return [[[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows] for rows in tables]


def test_the_documented_table_is_what_the_matrix_does():
    head, _, *rows = documented_tables()[0]
    assert [head, *rows] == table()


def test_the_documented_lists_are_those_that_were_tried():
    text = (ROOT / "docs/routing.md").read_text(encoding="utf-8")
    for name, ids in CATALOGUES.items():
        plain = ", ".join(f"`{model}`" for model in ids if not model.endswith("-fast"))
        assert f"* {name}: {plain}" in text
