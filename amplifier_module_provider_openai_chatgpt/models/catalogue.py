"""The models of this subscription: the live list, else the last stored one, else a built-in one.

The list is cached per account and shared by all catalogues of one sign-in and backend, because every
sub-agent mounts its own provider. Looking up a model never waits and never uses the network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError, LLMTimeoutError

from ..services import CHATGPT_CODEX, ModelList
from ..settings import PROVIDER
from .cache import BUILT_IN_CATALOGUE, NO_CATALOGUE, CachedCatalogue, cache_file, load, remove, store
from .model import Model, listed, parse_models, split_fast
from .retirement import is_retired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from ..secret import Secret
    from ..settings import Settings
    from .cache import Source

    Fetch = Callable[[str | None], Awaitable[tuple[object, str | None]]]
    FetchKey = tuple[asyncio.AbstractEventLoop, Path | None]

FETCH_TIMEOUT = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The list of one account, which is identified by the path of its copy on disk.

    ``checked_at`` (Unix seconds) is when the backend last confirmed the list; None: it must be fetched.
    """

    path: Path | None
    catalogue: CachedCatalogue
    checked_at: float | None = None


@dataclass(slots=True)
class SharedCache:
    """The cache of one process. ``entry`` is only replaced as a whole, so threads need no lock.

    ``fetches`` are the running ones; each event loop touches only its own. ``refetched_for`` is the last
    ETag that caused a fetch.
    """

    entry: CacheEntry | None = None
    refetched_for: str | None = None
    fetches: dict[FetchKey, asyncio.Task[CachedCatalogue]] = field(default_factory=dict)


class Catalogue:
    """The models of the signed-in account.

    ``fetch(client_version)`` returns the backend's document and its ETag, or raises a kernel error.
    ``cache_path()`` returns the path of the stored list for the current account, None when signed out; a
    different path means a different account, and lists are never shared between accounts. ``ttl`` and
    ``timeout`` (of a whole fetch) are in seconds; with ``ttl`` 0, every `list` fetches.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        ttl: float,
        cache_path: Callable[[], Path | None],
        clock: Callable[[], float] = time.time,
        timeout: float = FETCH_TIMEOUT,
        shape: ModelList = CHATGPT_CODEX.models,
        cache: SharedCache | None = None,
    ) -> None:
        self._fetch = fetch
        self._ttl = ttl
        self._cache_path = cache_path
        self._clock = clock
        self._timeout = timeout
        self._list = shape
        self._cache = cache if cache is not None else SharedCache()
        self._initial = BUILT_IN_CATALOGUE if shape.built_in else NO_CATALOGUE
        self._last_returned = self._initial

    @property
    def source(self) -> Source:
        """Return the source of the list that `list` returned last."""
        return self._last_returned.source

    @property
    def fetched_at(self) -> float | None:
        """Return when that list was fetched (Unix seconds); None for the built-in list."""
        return self._last_returned.fetched_at

    @property
    def problem(self) -> LLMError | None:
        """Return why a current list could not be fetched; None if that list is current."""
        return self._last_returned.problem

    async def list(self) -> list[Model]:
        """Return the models to choose from, the preferred one first; never an empty list.

        Raises AuthenticationError when signed out or refused, and ConfigurationError. After any other
        failure it returns an older list, and the next call fetches again; without one, it raises.
        """
        path = self._cache_path()
        catalogue = await self._current(path)
        if self._cache_path() != path:
            # Another account signed in during the fetch.
            catalogue = await self._current(self._cache_path())
        self._last_returned = catalogue
        return listed(catalogue.models)

    async def latest(self, gone: Sequence[str] = ()) -> str:
        """Return the slug that the backend prefers, if possible none of ``gone``. Raises as `list` does."""
        slugs = [model.slug for model in await self.list()]
        return next((slug for slug in slugs if slug not in gone), slugs[0])

    def known(self) -> Sequence[Model]:
        """Return the models to choose from, without the network."""
        return listed(self.cached().models)

    def find(self, slug: str) -> Model:
        """Return what is known about a slug, without the network; a generic entry if nothing is known."""
        return self.cached().find(slug)

    def knows(self, slug: str) -> bool:
        """True if the backend's list for this account contains exactly this slug."""
        return self.cached().has(slug)

    def cached(self) -> CachedCatalogue:
        """Return the list of the signed-in account as it is known now, without the network."""
        return self._cached(self._cache_path())

    @property
    def is_live(self) -> bool:
        """True if the backend has confirmed the list within the TTL."""
        entry = self._cache.entry
        if entry is None or entry.path != self._cache_path() or entry.checked_at is None:
            return False
        return 0 <= self._clock() - entry.checked_at < self._ttl

    def expected_model(self, wanted: str) -> str:
        """Return the model id that calls for ``wanted`` will probably use, without the network."""
        slug, _ = split_fast(wanted)
        catalogue = self.cached()
        return catalogue.resolve(
            wanted, gone=[slug] if catalogue.source == "built-in" and is_retired(slug) else ()
        )

    def notice_etag(self, etag: str | None) -> None:
        """Compare the list's ETag in another answer: if it is the same, the list is confirmed, else expired.

        Each different ETag expires the list only once, in case the two endpoints never agree.
        """
        entry = self._cache.entry
        if not etag or entry is None or entry.catalogue.etag is None or entry.checked_at is None:
            return
        if _bare(etag) == _bare(entry.catalogue.etag):
            self._cache.entry = replace(entry, checked_at=self._clock())
        elif etag != self._cache.refetched_for:
            self._cache.refetched_for = etag
            self._cache.entry = replace(entry, checked_at=None)

    def expire(self) -> None:
        """Make the next `list` fetch, because the backend has contradicted the cached list."""
        entry = self._cache.entry
        if entry is not None:
            self._cache.entry = replace(entry, checked_at=None)

    async def _current(self, path: Path | None) -> CachedCatalogue:
        entry = self._cache.entry
        if entry is None or entry.path != path or entry.checked_at is None:
            return await self._shared_fetch(path)
        # Negative after the clock was set back: the list must not be kept forever.
        is_fresh = 0 <= self._clock() - entry.checked_at < self._ttl
        return entry.catalogue if is_fresh else await self._shared_fetch(path)

    async def _shared_fetch(self, path: Path | None) -> CachedCatalogue:
        """Wait for the running fetch of this loop and account, or start one."""
        fetches = self._cache.fetches
        key = (asyncio.get_running_loop(), path)
        if key not in fetches:
            fetches[key] = asyncio.create_task(self._fetch_or_fall_back(path))
            fetches[key].add_done_callback(lambda task: _remove_fetch(fetches, key, task))
        return await asyncio.shield(fetches[key])

    async def _fetch_or_fall_back(self, path: Path | None) -> CachedCatalogue:
        try:
            async with asyncio.timeout(self._timeout):
                catalogue = await self._fetch_list()
        except AuthenticationError:
            self._forget(path)
            raise
        except ConfigurationError:
            raise
        except (LLMError, TimeoutError) as error:
            return self._fallback(path, error if isinstance(error, LLMError) else self._timed_out())
        if self._cache_path() == path:
            self._cache.entry = CacheEntry(path, catalogue, self._clock())
            if path is not None:
                store(path, catalogue)
        return catalogue

    async def _fetch_list(self) -> CachedCatalogue:
        """Fetch the list; one without models to choose from, as sent by a version gate, is a failure."""
        for version in self._list.client_versions or (None,):
            payload, etag = await self._fetch(version)
            models = tuple(parse_models(payload, self._list))
            if any(model.is_listed for model in models):
                return CachedCatalogue(models, "live", self._clock(), etag, facts=self._initial.facts)
        raise LLMError(
            "The backend's list contains no models to choose from: try again later; calls may still work.",
            provider=PROVIDER,
        )

    def _timed_out(self) -> LLMError:
        return LLMTimeoutError(f"No answer within {self._timeout:g} seconds.", provider=PROVIDER)

    def _fallback(self, path: Path | None, problem: LLMError) -> CachedCatalogue:
        cached = self._cached(path)
        if cached.source == "built-in":
            # Another process may have stored a list in the meantime.
            cached = self._load(path)
        last = replace(cached, source="disk") if cached.is_recent_at(self._clock()) else self._initial
        if not last.models:
            raise problem
        logger.warning("The list of models could not be fetched, using the %s one: %s", last.source, problem)
        return replace(last, problem=problem)

    def _cached(self, path: Path | None) -> CachedCatalogue:
        """Return the cached list; the disk is read once per account."""
        entry = self._cache.entry
        if entry is None or entry.path != path:
            entry = self._cache.entry = CacheEntry(path, self._load(path))
        return entry.catalogue

    def _load(self, path: Path | None) -> CachedCatalogue:
        catalogue = load(path) if path else None
        if catalogue and catalogue.is_recent_at(self._clock()):
            return replace(catalogue, facts=self._initial.facts)
        return self._initial

    def _forget(self, path: Path | None) -> None:
        """Remove the list of a refused account, which may no longer use these models."""
        entry = self._cache.entry
        if entry and entry.path == path:
            self._cache.entry = None
        if path is not None:
            remove(path)


def _remove_fetch(
    fetches: dict[FetchKey, asyncio.Task[CachedCatalogue]], key: FetchKey, task: asyncio.Task[CachedCatalogue]
) -> None:
    fetches.pop(key, None)
    if not task.cancelled():
        # Retrieved here, in case everyone who waited was cancelled.
        task.exception()


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


_shared_caches: dict[tuple[Path, str, str], SharedCache] = {}


def shared_catalogue(settings: Settings, fetch: Fetch, account: Callable[[], Secret[str]]) -> Catalogue:
    """Return a catalogue that shares its cache with all others of this token file and backend.

    ``fetch(client_version)`` fetches the list and its ETag for the signed-in account; ``account()``
    returns the id of that account, empty when signed out. It is called at every look-up, so it must be
    cheap.
    """

    def cache_path() -> Path | None:
        account_id = account()
        return cache_file(settings.token_file_path, account_id, settings.base_url) if account_id else None

    version = settings.models_client_version
    key = (settings.token_file_path, settings.base_url, version)
    shape = settings.service.models
    if shape.client_versions:
        shape = replace(shape, client_versions=tuple(dict.fromkeys((version, *shape.client_versions[1:]))))
    cache = _shared_caches.setdefault(key, SharedCache())
    return Catalogue(
        fetch,
        ttl=settings.models_cache_ttl,
        cache_path=cache_path,
        shape=shape,
        cache=cache,
    )
