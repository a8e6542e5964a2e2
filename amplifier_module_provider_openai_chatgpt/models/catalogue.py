"""Which models this subscription has: asked live, else the last good list on disk, else a built-in few.

What is known is kept per account and shared by all catalogues of one sign-in and backend, since every
sub-agent mounts a provider of its own. Looking a model up never waits and never uses the network.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError, LLMTimeoutError

from ..services import CHATGPT_CODEX, ModelList
from ..settings import PROVIDER
from .cache import BUILT_IN_CATALOGUE, CachedCatalogue, load, place_of, remove, store
from .model import FAST_SUFFIX, LATEST, Model, listed, look_up, parse_models, split_fast
from .retirement import is_retired, successor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from ..settings import Settings
    from .cache import Source

    Fetch = Callable[[str | None], Awaitable[tuple[object, str | None]]]

FETCH_LIMIT = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is known for one account, for which the place of its disk copy stands.

    ``checked_at`` is when the backend last confirmed the list; None: it must be asked again.
    """

    path: Path | None
    listing: CachedCatalogue
    checked_at: float | None = None


@dataclass(slots=True)
class SharedCache:
    """What one process remembers. ``knowledge`` is only ever replaced as a whole: threads need no lock."""

    knowledge: CacheEntry | None = None
    refetched_for: str | None = None
    flights: dict[Any, asyncio.Task[CachedCatalogue]] = field(default_factory=dict)


class Catalogue:
    """The models of whoever is signed in.

    ``fetch(client_version)`` returns the backend's document and its ETag, or raises a kernel error.
    ``cache_path()`` returns the disk copy's place for the account of this moment, None without one;
    another path means another account, which never sees what was known of the first. ``ttl`` and
    ``limit`` (of a whole fetch) are seconds; with ``ttl`` 0 every `list` asks the backend.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        ttl: float,
        cache_path: Callable[[], Path | None],
        clock: Callable[[], float] = time.time,
        limit: float = FETCH_LIMIT,
        shape: ModelList = CHATGPT_CODEX.models,
        memory: SharedCache | None = None,
    ) -> None:
        self._fetch = fetch
        self._ttl = ttl
        self._cache_path = cache_path
        self._clock = clock
        self._limit = limit
        self._list = shape
        self._memory = memory if memory is not None else SharedCache()
        self._shown = BUILT_IN_CATALOGUE

    @property
    def source(self) -> Source:
        """Return where the list that `list` returned last came from."""
        return self._shown.source

    @property
    def fetched_at(self) -> float | None:
        """Return when that list was fetched (seconds since 1970); None for the built-in one."""
        return self._shown.fetched_at

    @property
    def problem(self) -> LLMError | None:
        """Return why that list is not a new one, if it is not."""
        return self._shown.problem

    async def list(self) -> list[Model]:
        """Return the models a person may choose, the preferred one first; never an empty list.

        Raises AuthenticationError when signed out or refused, and ConfigurationError; every other
        failure is answered from what was known before, and the next call asks again.
        """
        path = self._cache_path()
        listing = await self._listing(path)
        if self._cache_path() != path:
            # Somebody else signed in meanwhile.
            listing = await self._listing(self._cache_path())
        self._shown = listing
        return listed(listing.models)

    async def latest(self) -> str:
        """Return the slug that the backend prefers. Raises as `list` does."""
        return (await self.list())[0].slug

    def known(self) -> Sequence[Model]:
        """Return at once the models a person may choose, as far as they are known."""
        return listed(self._held(self._cache_path()).models)

    def find(self, slug: str) -> Model:
        """Return the best knowledge about a slug at once, a generic entry if there is none."""
        return look_up(self._held(self._cache_path()).known, slug)

    def knows(self, slug: str) -> bool:
        """Return whether the backend itself listed exactly this slug for this account."""
        listing = self._held(self._cache_path())
        return listing.source != "built-in" and slug in listing.slugs

    @property
    def is_live(self) -> bool:
        """Return whether the backend confirmed the list within the TTL."""
        known = self._memory.knowledge
        if known is None or known.path != self._cache_path() or known.checked_at is None:
            return False
        return 0 <= self._clock() - known.checked_at < self._ttl

    def lacks(self, slug: str) -> bool:
        """Return whether the backend's last list leaves this slug out; False while there is no list."""
        listing = self._held(self._cache_path())
        return listing.source != "built-in" and slug not in listing.slugs

    def expected(self, wanted: str) -> str:
        """Return the id that calls for a configured one will probably end up with, offline."""
        slug, _ = split_fast(wanted)
        listing = self._held(self._cache_path())
        return self.present(wanted, gone=[slug] if listing.source == "built-in" and is_retired(slug) else ())

    def present(self, wanted: str, *, gone: Sequence[str] = ()) -> str:
        """Return the id that a configured one means now: itself, or the successor of a model that is gone.

        ``gone`` are slugs that a refusal has ruled out, whatever the list says.
        """
        if wanted == LATEST:
            return self.known()[0].slug
        slug, fast = (wanted, False) if self.knows(wanted) else split_fast(wanted)
        if slug not in gone and not self.lacks(slug):
            return wanted
        listing = self._held(self._cache_path())
        found = successor(slug, {model.slug: model for model in listing.models}, gone=gone)
        if found is None:
            return wanted
        return found.slug + (FAST_SUFFIX if fast and found.has_fast else "")

    def notice_etag(self, etag: str | None) -> None:
        """Hear the list's ETag from another answer: the same one keeps our list fresh, another ends it.

        Each other ETag does so once, in case the two places never agree.
        """
        known = self._memory.knowledge
        if not etag or known is None or known.listing.etag is None or known.checked_at is None:
            return
        if _bare(etag) == _bare(known.listing.etag):
            self._memory.knowledge = replace(known, checked_at=self._clock())
        elif etag != self._memory.refetched_for:
            self._memory.refetched_for = etag
            self._memory.knowledge = replace(known, checked_at=None)

    def expire(self) -> None:
        """Let the next `list` ask the backend, which has just contradicted what is known."""
        known = self._memory.knowledge
        if known is not None:
            self._memory.knowledge = replace(known, checked_at=None)

    async def _listing(self, path: Path | None) -> CachedCatalogue:
        known = self._memory.knowledge
        if known is None or known.path != path or known.checked_at is None:
            return await self._join_fetch(path)
        # Below 0: the clock was set back, which must not keep a list for ever.
        is_fresh = 0 <= self._clock() - known.checked_at < self._ttl
        return known.listing if is_fresh else await self._join_fetch(path)

    async def _join_fetch(self, path: Path | None) -> CachedCatalogue:
        """Wait for the fetch of this loop and account, begun by whoever came first."""
        flights = self._memory.flights
        key = (asyncio.get_running_loop(), path)
        if key not in flights:
            flights[key] = asyncio.create_task(self._fetch_or_fall_back(path))
            flights[key].add_done_callback(lambda task: _landed(flights, key, task))
        return await asyncio.shield(flights[key])

    async def _fetch_or_fall_back(self, path: Path | None) -> CachedCatalogue:
        try:
            async with asyncio.timeout(self._limit):
                listing = await self._fetch_listing()
        except AuthenticationError:
            self._forget(path)
            raise
        except ConfigurationError:
            raise
        except (LLMError, TimeoutError) as error:
            return self._last_good(path, error if isinstance(error, LLMError) else self._too_late())
        if self._cache_path() == path:
            self._memory.knowledge = CacheEntry(path, listing, self._clock())
            if path is not None:
                store(path, listing)
        return listing

    async def _fetch_listing(self) -> CachedCatalogue:
        """A list without one model to choose counts as a failure: a version gate answers like that."""
        for version in self._list.client_versions or (None,):
            payload, etag = await self._fetch(version)
            models = tuple(parse_models(payload, self._list))
            if any(model.is_listed for model in models):
                return CachedCatalogue(models, "live", self._clock(), etag)
        raise LLMError(
            "The backend's list names no model to choose: try again later; calls may still work.",
            provider=PROVIDER,
        )

    def _too_late(self) -> LLMError:
        return LLMTimeoutError(f"No answer within {self._limit:g} seconds.", provider=PROVIDER)

    def _last_good(self, path: Path | None, problem: LLMError) -> CachedCatalogue:
        held = self._held(path)
        if held.source == "built-in":
            # Another process may have stored a list since.
            held = self._stored(path)
        last = replace(held, source="disk") if held.is_kept_at(self._clock()) else BUILT_IN_CATALOGUE
        logger.warning("The list of models could not be fetched, using the %s one: %s", last.source, problem)
        return replace(last, problem=problem)

    def _held(self, path: Path | None) -> CachedCatalogue:
        """What is known without the network; the disk is asked once per account."""
        known = self._memory.knowledge
        if known is None or known.path != path:
            known = self._memory.knowledge = CacheEntry(path, self._stored(path))
        return known.listing

    def _stored(self, path: Path | None) -> CachedCatalogue:
        listing = load(path) if path else None
        return listing if listing and listing.is_kept_at(self._clock()) else BUILT_IN_CATALOGUE

    def _forget(self, path: Path | None) -> None:
        """A refused account must not look as if it still had its models."""
        known = self._memory.knowledge
        if known and known.path == path:
            self._memory.knowledge = None
        if path is not None:
            remove(path)


def _landed(
    flights: dict[Any, asyncio.Task[CachedCatalogue]], key: Any, task: asyncio.Task[CachedCatalogue]
) -> None:
    flights.pop(key, None)
    if not task.cancelled():
        # Retrieved here too, for all who waited may have been cancelled.
        task.exception()


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


_memories: dict[tuple[Path, str], SharedCache] = {}


def shared_catalogue(settings: Settings, fetch: Fetch, account: Callable[[], str]) -> Catalogue:
    """Return a catalogue that shares its memory with all others of this token file and backend.

    ``fetch(client_version)`` fetches the list and its ETag as the signed-in person;
    ``account()`` returns the account id of this moment, empty when signed out. It is asked at every
    look-up, so it must be cheap.
    """

    def cache_path() -> Path | None:
        account_id = account()
        return place_of(settings.token_file_path, account_id, settings.base_url) if account_id else None

    memory = _memories.setdefault((settings.token_file_path, settings.base_url), SharedCache())
    return Catalogue(
        fetch,
        ttl=settings.models_cache_ttl,
        cache_path=cache_path,
        shape=settings.service.models,
        memory=memory,
    )
