"""What takes the place of a model that is gone. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .model import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .model import Model

# Successors that OpenAI's own clients name, and of the 5.6 family the next ones (docs/backend.md, Models).
SUCCESSORS: Mapping[str, str] = {
    "gpt-5.2": "gpt-5.5",
    "gpt-5.4": "gpt-5.6-terra",
    "gpt-5.4-mini": "gpt-5.6-luna",
    "gpt-5.5": "gpt-6-sol",
    "gpt-5.5-pro": "gpt-6-astra",
    "gpt-5.6-sol": "gpt-6-sol",
    "gpt-5.6-terra": "gpt-6-sol",
    "gpt-5.6-luna": "gpt-6-luna",
}


RETIRED = frozenset({"gpt-5.2", "gpt-5.4", "gpt-5.4-mini", "gpt-5.5", "gpt-5.5-pro"})


def is_retired(slug: str) -> bool:
    """Return whether a ChatGPT sign-in is known to be refused this model."""
    return slug in RETIRED


def successor(slug: str, known: Mapping[str, Model], *, gone: Sequence[str] = ()) -> Model | None:
    """Return the listed model that replaces one that is gone, or None for an empty list.

    In order: what the catalogue itself names, what OpenAI's clients name, the first listed model of the
    same family, the first listed model. ``gone`` are slugs that a refusal has ruled out, whatever the
    list says.
    """
    offered = {model.slug: model for model in listed(known.values()) if model.slug not in {slug, *gone}}
    for name in _line(slug, known):
        if name in offered:
            return offered[name]
    family = _family(slug)
    kin = (model for model in offered.values() if family and _family(model.slug) == family)
    return next(kin, next(iter(offered.values()), None))


def _line(slug: str, known: Mapping[str, Model]) -> list[str]:
    """List the successors of a slug, and theirs, each once."""
    line: list[str] = []
    current: str | None = slug
    while current is not None and current not in line:
        line.append(current)
        entry = known.get(current)
        current = (entry.upgrade if entry else None) or SUCCESSORS.get(current)
    return line[1:]


def _family(slug: str) -> str:
    """Return the name behind a slug's version: ``sol`` of gpt-6-sol; empty where there is none."""
    found = re.fullmatch(r"[a-z]+-[0-9.]+-([a-z]+)", slug)
    return found[1] if found else ""
