"""The routing matrix, resolved as Amplifier's routing hook does it, on catalogues old, new and odd."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model, model_infos
from amplifier_module_provider_openai_chatgpt.settings import EFFORTS, PROVIDER

ROOT = Path(__file__).parents[1]
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


CATALOGUES = {
    "Plus, April 2026": with_twins("gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.3-codex", "gpt-5.2"),
    "the same without gpt-5.5": with_twins(
        "gpt-5.4", "gpt-5.4-mini", "gpt-5.3-codex", "gpt-5.3-codex-spark", "gpt-5.2"
    ),
    "Free, two models": with_twins("gpt-5.4-mini", "gpt-5.2"),
    "August 2026": with_twins("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5", "gpt-5.2"),
    "gpt-6 alone": with_twins("gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol"),
}


def version_key(model_id: str) -> tuple[list[tuple[int, int, str]], int]:
    """Digit runs count as numbers, a trailing date not at all, length only between equals."""
    undated = re.sub(r"-\d{4}-?\d{2}-?\d{2}$", "", model_id)
    parts = re.findall(r"\d+|\D+", undated)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts], len(model_id)


def plain_text_key(model_id: str) -> str:
    """A second resolver in the field sorts ids as texts."""
    return model_id


def resolve(role: str, catalogue: list[str], key: Any = version_key) -> tuple[str, dict[str, Any]] | None:
    """The first candidate that is a plain id, or a pattern that matches; its highest match."""
    for candidate in ROLES[role]["candidates"]:
        model = candidate["model"]
        if not any(sign in model for sign in "*?["):
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


def test_every_candidate_is_looked_up_so_that_the_next_one_can_be_reached():
    assert [pattern for pattern in PATTERNS if not any(sign in pattern for sign in "*?[")] == []


def test_a_role_asks_for_the_same_effort_whichever_model_plays_it():
    efforts = {
        role: {candidate.get("config", {}).get("reasoning_effort") for candidate in spec["candidates"]}
        for role, spec in ROLES.items()
    }
    deep = dict.fromkeys(("security-audit", "reasoning", "research", "critical-ops"), "high")
    assert efforts == {role: {({**deep, "critique": "xhigh"}).get(role)} for role in ALL_ROLES}
    assert {"high", "xhigh"} <= set(EFFORTS)


@pytest.mark.parametrize("key", [version_key, plain_text_key])
@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
@pytest.mark.parametrize("role", ALL_ROLES)
def test_each_role_gets_a_model_that_exists_and_is_no_fast_twin(role, catalogue, key):
    result = resolve(role, catalogue, key)
    assert result is not None
    assert result[0] in catalogue
    assert not result[0].endswith("-fast")


@pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=CATALOGUES)
def test_a_spark_never_writes_the_code_while_there_is_another_model(catalogue):
    assert "spark" not in chosen("coding", catalogue)
    assert chosen("coding", with_twins("gpt-5.10-codex", "gpt-5.10-codex-spark")) == "gpt-5.10-codex"


def test_the_built_in_list_answers_every_role_with_its_first_choice_or_a_listed_successor():
    ids = [info.id for info in model_infos(BUILT_IN)]
    assert {role: chosen(role, ids) for role in ALL_ROLES if role != "fast"} == dict.fromkeys(
        [role for role in ALL_ROLES if role != "fast"], "gpt-5.5"
    )
    assert chosen("fast", ids) == "gpt-5.6-luna"


@pytest.mark.parametrize(
    ("role", "slugs", "winner"),
    [
        ("general", ["gpt-5.5", "gpt-5.55", "gpt-5.5-pro"], "gpt-5.5"),
        ("fast", ["gpt-5-mini", "gpt-5.4-mini", "gpt-5.5"], "gpt-5.4-mini"),
        ("fast", ["gpt-5.10-mini", "gpt-5.9-pro"], "gpt-5.10-mini"),
        ("coding", ["gpt-5-codex", "gpt-5"], "gpt-5-codex"),
        ("coding", ["gpt-10.12-sol", "gpt-9.9-sol", "gpt-9.9-terra"], "gpt-10.12-sol"),
        ("general", ["gpt-7"], "gpt-7"),
        ("general", ["gpt-7-latest"], "gpt-7-latest"),
        ("general", ["gpt-7-flow"], "gpt-7-flow"),
        ("general", ["gpt-7-x"], "gpt-7-x"),
        ("reasoning", ["o9"], "o9"),
        ("writing", ["GPT-6-Terra"], "GPT-6-Terra"),
    ],
)
def test_names_of_other_times_find_their_role(role, slugs, winner):
    assert chosen(role, with_twins(*slugs)) == winner


async def test_a_child_session_gets_the_model_and_the_effort_of_its_role(sim, config):
    """Hosts merge a candidate's config into the mount config of the session that plays the role."""
    provider = ChatGPTProvider(config)
    ids = [info.id for info in await provider.list_models()]
    await provider.close()
    for role in ALL_ROLES:
        model, extra = resolve(role, ids) or ("", {})
        child = {**config, "priority": 0, "default_model": model, **extra}
        session = new_session({"module": f"provider-{PROVIDER}", "config": child})
        async with session:
            await session.execute("Say hello.")
        body = sim.requests_to("/codex/responses")[-1].json
        wanted = {"critique": "xhigh"}.get(role, extra.get("reasoning_effort"))
        assert body["model"] == model
        assert body.get("reasoning", {}).get("effort") == wanted, role
    assert len(sim.requests_to("/codex/responses")) == len(ALL_ROLES)


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


@given(st.lists(_slugs.filter(lambda slug: not re.search(r"f..t$|-.?t$", slug)), min_size=1, max_size=6))
def test_any_catalogue_that_has_a_model_at_all_serves_every_role(slugs):
    ids = with_twins(*slugs)
    for role in ALL_ROLES:
        model = chosen(role, ids)
        assert model in slugs
        assert not model.endswith("-fast")


def table() -> list[list[str]]:
    rows = [["role", "effort", *CATALOGUES]]
    for role in ALL_ROLES:
        found = [resolve(role, ids) for ids in CATALOGUES.values()]
        models = [result[0] if result else "" for result in found]
        (effort,) = {(result[1] if result else {}).get("reasoning_effort", "–") for result in found}
        rows.append([role, effort, *models])
    return rows


def test_the_documented_table_is_what_the_matrix_does():
    text = (ROOT / "docs/routing.md").read_text(encoding="utf-8").splitlines()
    tables = [list(lines) for is_row, lines in groupby(text, lambda line: line.startswith("|")) if is_row]
    documented = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in tables[0]]
    assert [documented[0], *documented[2:]] == table()


def test_the_documented_lists_are_those_that_were_tried():
    text = (ROOT / "docs/routing.md").read_text(encoding="utf-8")
    for name, ids in CATALOGUES.items():
        plain = ", ".join(f"`{model}`" for model in ids if not model.endswith("-fast"))
        assert f"* {name}: {plain}" in text
