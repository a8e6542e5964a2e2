"""A list of models with its source, and its copy on disk."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic_core import from_json, to_json

from .. import files
from .model import (
    BUILT_IN,
    FAST_SUFFIX,
    LATEST,
    Model,
    listed,
    look_up,
    parse_models,
    split_fast,
    to_entry,
)
from .retirement import successor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from amplifier_core.llm_errors import LLMError

    from ..secret import Secret

Source = Literal["live", "disk", "built-in"]

MAX_AGE = 7 * 24 * 3600.0
_FILE_VERSION = 1
_LARGEST_FILE = 1024 * 1024
_LATEST = 1e11

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedCatalogue:
    """The models of one account. ``fetched_at`` (Unix seconds) is None only for the built-in list.

    ``problem``: why this list is used instead of a current one. ``facts`` are known models of this service.
    """

    models: tuple[Model, ...]
    source: Source
    fetched_at: float | None = None
    etag: str | None = None
    problem: LLMError | None = None
    facts: tuple[Model, ...] = BUILT_IN

    @cached_property
    def _slugs(self) -> frozenset[str]:
        return frozenset(model.slug for model in self.models)

    def has(self, slug: str) -> bool:
        """True if the backend has listed exactly this slug."""
        return self.source != "built-in" and slug in self._slugs

    def lacks(self, slug: str) -> bool:
        """True if the backend has sent a list, and this slug was not in it."""
        return self.source != "built-in" and slug not in self._slugs

    @cached_property
    def known(self) -> Mapping[str, Model]:
        """Return the models by slug, including the built-in ones that are missing in this list."""
        return {model.slug: model for model in (*self.facts, *self.models)}

    def find(self, slug: str) -> Model:
        """Return what is known about a slug; a generic entry if nothing is known."""
        return look_up(self.known, slug)

    def resolve(self, wanted: str, *, gone: Sequence[str] = ()) -> str:
        """Return the model id to use for ``wanted``: the same, or its successor if it is unavailable.

        ``gone`` are models that the backend has refused, even if the list contains them.
        """
        if wanted == LATEST:
            return next((model.slug for model in listed(self.models) if model.slug not in gone), wanted)
        slug, fast = (wanted, False) if self.has(wanted) else split_fast(wanted)
        if slug not in gone and not self.lacks(slug):
            return wanted
        found = successor(slug, {model.slug: model for model in self.models}, gone=gone)
        if found is None:
            return wanted
        return found.slug + (FAST_SUFFIX if fast and found.has_fast else "")

    def is_recent_at(self, now: float) -> bool:
        """True if the list is from the backend and recent enough to be used when it cannot be fetched."""
        return self.fetched_at is not None and abs(now - self.fetched_at) <= MAX_AGE


BUILT_IN_CATALOGUE = CachedCatalogue(BUILT_IN, "built-in")
# For a service whose models are not known before its list is.
NO_CATALOGUE = CachedCatalogue((), "built-in", facts=())


@lru_cache(maxsize=32)
def cache_file(token_path: Path, account_id: Secret[str], base_url: str) -> Path:
    """Return the path of an account's list: next to the tokens, named by a hash of the account id."""
    digest = hashlib.sha256(f"{account_id.reveal()}\n{base_url}".encode()).hexdigest()[:24]
    return token_path.with_name(f"openai-chatgpt-models-{digest}.json")


def load(path: Path) -> CachedCatalogue | None:
    """Return the stored list; a damaged one is renamed to ``*.corrupt``, with a warning."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        logger.debug("The stored list of models could not be read: %s", error)
        return None
    try:
        return _parse(content)
    except ValueError:
        _set_aside(path)
        return None


def store(path: Path, catalogue: CachedCatalogue) -> None:
    """Replace the stored list atomically, readable only by its owner. Errors are only logged.

    A list that would be too large to be loaded is not stored.
    """
    document = {
        "version": _FILE_VERSION,
        "fetched_at": catalogue.fetched_at,
        "etag": catalogue.etag,
        "models": [to_entry(model) for model in catalogue.models],
    }
    content = to_json(document)
    if len(content) > _LARGEST_FILE:
        logger.debug("The list of models is too large to be stored: %d bytes", len(content))
        return
    try:
        files.replace(path, content)
    except OSError as error:
        logger.debug("The list of models could not be stored: %s", error)


def remove(path: Path) -> None:
    """Remove a stored list, if there is one."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.debug("The stored list of models could not be removed: %s", error)


def _parse(content: bytes) -> CachedCatalogue | None:
    """Read a stored list; None if it has another version. Raises ValueError if it is damaged."""
    if len(content) > _LARGEST_FILE:
        raise ValueError("too large")
    document = from_json(content, allow_inf_nan=False)
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004 - damaged, not a wrong argument
    if document.get("version") != _FILE_VERSION:
        return None
    when, etag = document.get("fetched_at"), document.get("etag")
    models = tuple(parse_models(document))
    if not isinstance(when, int | float) or not 0 <= when < _LATEST or not any(m.is_listed for m in models):
        raise ValueError("no time or no model")
    return CachedCatalogue(models, "disk", float(when), etag if isinstance(etag, str) else None)


def _set_aside(path: Path) -> None:
    logger.warning("The stored list of models %s is damaged and is not used.", path)
    try:
        path.replace(path.with_suffix(".corrupt"))
    except OSError as error:
        logger.debug("The damaged list of models could not be renamed: %s", error)
