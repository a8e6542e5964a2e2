"""The successors of models that are no longer available."""

import pytest

from amplifier_module_provider_openai_chatgpt.models.model import Model
from amplifier_module_provider_openai_chatgpt.models.retirement import SUCCESSORS, is_retired, successor

SOL = Model("gpt-6-sol", priority=1)
LUNA = Model("gpt-6-luna", priority=2)
ASTRA = Model("gpt-6-astra", priority=3)
NEW = Model("gpt-9", priority=0)


def known(*models):
    return {model.slug: model for model in models}


@pytest.mark.parametrize(
    ("slug", "offered", "expected"),
    [
        ("gpt-5.5", (LUNA, SOL), "gpt-6-sol"),
        ("gpt-5.4-mini", (SOL, LUNA), "gpt-6-luna"),
        ("gpt-5.5-pro", (SOL, ASTRA), "gpt-6-astra"),
        ("gpt-5.5", (Model("gpt-5.5", visibility="hide", upgrade="gpt-6-luna"), SOL, LUNA), "gpt-6-luna"),
        ("gpt-7-sol", (NEW, SOL), "gpt-6-sol"),
        ("gpt-7", (SOL, NEW), "gpt-9"),
        ("unheard-of", (SOL, LUNA), "gpt-6-sol"),
        ("gpt-5.5", (), None),
        ("gpt-5.5", (Model("gpt-5.5"),), None),
    ],
)
def test_the_successor_comes_from_the_list_then_openais_clients_then_the_family(slug, offered, expected):
    found = successor(slug, known(*offered))
    assert (found.slug if found else None) == expected


def test_a_refused_model_is_never_the_successor():
    assert successor("gpt-5.5", known(SOL, LUNA), gone=["gpt-6-sol"]) == LUNA


def test_a_circle_of_upgrades_ends():
    circle = known(
        Model("a", visibility="hide", upgrade="b"), Model("b", visibility="hide", upgrade="a"), SOL
    )
    assert successor("a", circle) == SOL


def test_successors_never_form_a_circle():
    assert all(is_retired(slug) for slug in ("gpt-5.5", "gpt-5.4", "gpt-5.2"))
    assert not any(is_retired(slug) for slug in ("gpt-6-sol", "gpt-5.6-terra"))
    for slug in SUCCESSORS:
        chain = [slug]
        while chain[-1] in SUCCESSORS:
            assert SUCCESSORS[chain[-1]] not in chain
            chain.append(SUCCESSORS[chain[-1]])
