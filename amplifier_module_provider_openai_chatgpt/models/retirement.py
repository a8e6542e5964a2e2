"""The successor of a model that is no longer available. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .model import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .model import Model

# Successors that OpenAI's clients name, and the next generation for the 5.6 family (docs/backend.md, Models).
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
    """True if the backend is known to refuse this model."""
    return slug in RETIRED


def successor(slug: str, known: Mapping[str, Model], *, gone: Sequence[str] = ()) -> Model | None:
    """Return the listed model that replaces an unavailable one, or None for an empty list.

    In this order: the one the catalogue names, the one OpenAI's clients name, the first listed model of
    the same family, the first listed model. ``gone`` are models that the backend has refused, even if
    the list contains them.
    """
    offered = {model.slug: model for model in listed(known.values()) if model.slug not in {slug, *gone}}
    for name in _successors(slug, known):
        if name in offered:
            return offered[name]
    family = _family(slug)
    relatives = (model for model in offered.values() if family and _family(model.slug) == family)
    return next(relatives, next(iter(offered.values()), None))


def _successors(slug: str, known: Mapping[str, Model]) -> list[str]:
    """List the successors of a slug and their successors, each once."""
    chain: list[str] = []
    current: str | None = slug
    while current is not None and current not in chain:
        chain.append(current)
        entry = known.get(current)
        current = (entry.upgrade if entry else None) or SUCCESSORS.get(current)
    return chain[1:]


def _family(slug: str) -> str:
    """Return the name after the version in a slug: ``sol`` for gpt-6-sol; empty if there is none."""
    found = re.fullmatch(r"[a-z]+-[0-9.]+-([a-z]+)", slug)
    return found[1] if found else ""
