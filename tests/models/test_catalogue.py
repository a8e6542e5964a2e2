"""The catalogue: fetched, cached for its TTL, stored per account, and built in as a last resort."""

from __future__ import annotations

import asyncio
import logging
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NetworkError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.models.cache import CachedCatalogue, cache_file, load, store
from amplifier_module_provider_openai_chatgpt.models.catalogue import Catalogue, SharedCache, shared_catalogue
from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600.0
BUILT_IN_SLUGS = [model.slug for model in BUILT_IN]


class Backend:
    """Returns the given models, or raises; records the client version of each fetch."""

    def __init__(self, *slugs: str, etag: str | None = '"1"') -> None:
        self.models = [{"slug": slug} for slug in slugs]
        self.etag = etag
        self.error: Exception | None = None
        self.only_for: str | None = None
        self.fetches: list[str | None] = []

    async def fetch(self, client_version: str | None) -> tuple[object, str | None]:
        self.fetches.append(client_version)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.only_for not in (None, client_version):
            return {"models": []}, self.etag
        return {"models": self.models}, self.etag


class World:
    """A catalogue whose clock and account a test can change."""

    def __init__(self, folder: Path, backend: Backend, ttl: float = 3600) -> None:
        self.folder = folder
        self.backend = backend
        self.now = 1_800_000_000.0
        self.account = "ada"
        self.ttl = ttl
        self.catalogue = self.new_catalogue()

    def new_catalogue(self, cache: SharedCache | None = None) -> Catalogue:
        """Return another process's catalogue, or with ``cache`` one of another provider in this process."""
        return Catalogue(
            self.backend.fetch,
            ttl=self.ttl,
            cache_path=self.path,
            clock=lambda: self.now,
            cache=cache,
        )

    def path(self) -> Path | None:
        return (
            cache_file(self.folder / "tokens.json", Secret(self.account), "https://x")
            if self.account
            else None
        )

    @property
    def file(self) -> Path:
        path = self.path()
        assert path is not None
        return path

    async def slugs(self) -> list[str]:
        return [model.slug for model in await self.catalogue.list()]

    async def slugs_in_next_process(self) -> list[str]:
        self.catalogue = self.new_catalogue()
        return await self.slugs()


@pytest.fixture
def backend() -> Backend:
    return Backend("gpt-9", "gpt-9-mini")


@pytest.fixture
def world(tmp_path: Path, backend: Backend) -> World:
    return World(tmp_path, backend)


FAILURES = [
    NetworkError("no route"),
    ProviderUnavailableError("502"),
    RateLimitError("slow down"),
    InvalidRequestError("client_version"),
    TimeoutError(),
]


async def test_the_list_is_fetched_once_within_the_ttl_and_again_after_it(world, backend):
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    world.now += 3599
    await world.slugs()
    assert backend.fetches == ["0.0.0"]
    world.now += 1
    backend.models = [{"slug": "gpt-10"}]
    assert await world.slugs() == ["gpt-10"]
    assert backend.fetches == ["0.0.0", "0.0.0"]
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("live", world.now)


async def test_with_a_ttl_of_zero_every_call_fetches(tmp_path, backend):
    world = World(tmp_path, backend, ttl=0)
    for _ in range(3):
        await world.slugs()
    assert len(backend.fetches) == 3


async def test_a_list_is_not_kept_forever_after_the_clock_was_set_back(world, backend):
    await world.slugs()
    world.now -= DAY
    await world.slugs()
    assert len(backend.fetches) == 2


@pytest.mark.parametrize("ttl", [0, 3600])
async def test_five_parallel_callers_share_one_fetch(tmp_path, backend, ttl):
    world = World(tmp_path, backend, ttl=ttl)
    assert await asyncio.gather(*(world.slugs() for _ in range(5))) == [["gpt-9", "gpt-9-mini"]] * 5
    assert len(backend.fetches) == 1


async def test_five_parallel_callers_share_one_failure(world, backend):
    backend.error = AuthenticationError("signed out")
    results = await asyncio.gather(*(world.slugs() for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [AuthenticationError] * 5
    assert len(backend.fetches) == 1


async def test_a_cancelled_caller_does_not_cancel_the_fetch_for_others(world, backend):
    cancelled = asyncio.create_task(world.slugs())
    other = asyncio.create_task(world.slugs())
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await other == ["gpt-9", "gpt-9-mini"]
    assert cancelled.cancelled()
    assert len(backend.fetches) == 1


def test_one_catalogue_serves_several_event_loops_in_turn(world, backend):
    assert [asyncio.run(world.slugs()) for _ in range(3)] == [["gpt-9", "gpt-9-mini"]] * 3
    assert len(backend.fetches) == 1


def test_one_catalogue_serves_threads_with_their_own_loops(world):
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(world.slugs()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["gpt-9", "gpt-9-mini"]] * 4


async def test_an_empty_list_is_fetched_again_as_a_newer_client(world, backend):
    backend.only_for = "99.99.99"
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert backend.fetches == ["0.0.0", "99.99.99"]


@pytest.mark.parametrize("models", [[], [{"slug": "gpt-9", "visibility": "hide"}], [{}]])
async def test_a_list_without_models_to_choose_from_is_a_failure_and_never_stored(world, backend, models):
    backend.models = models
    assert await world.slugs() == BUILT_IN_SLUGS
    assert world.catalogue.source == "built-in"
    assert not world.file.exists()
    backend.models = [{"slug": "gpt-9"}]
    assert await world.slugs() == ["gpt-9"]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_without_a_list_the_built_in_one_is_used_until_the_next_fetch(world, backend, error):
    backend.error = error
    assert await world.slugs() == BUILT_IN_SLUGS
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("built-in", None)
    backend.error = None
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_the_last_good_list_is_used_rather_than_the_built_in_one(world, backend, error):
    await world.slugs()
    fetched_at = world.now
    backend.error = error
    world.now += 2 * DAY
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert await world.slugs_in_next_process() == ["gpt-9", "gpt-9-mini"]
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("disk", fetched_at)
    assert len(backend.fetches) == 3


async def test_using_an_older_list_is_logged_with_the_reason_in_one_line(world, backend, caplog):
    backend.error = NetworkError("no route")
    with caplog.at_level(logging.WARNING):
        await world.slugs()
    (record,) = caplog.records
    assert record.getMessage() == "The list of models could not be fetched, using the built-in one: no route"
    assert record.exc_info is None


async def test_a_list_older_than_a_week_is_no_longer_used(world, backend):
    await world.slugs()
    backend.error = NetworkError("no route")
    world.now += 7 * DAY + 1
    assert await world.slugs() == BUILT_IN_SLUGS
    assert await world.slugs_in_next_process() == BUILT_IN_SLUGS


async def test_a_list_stored_by_another_process_is_found(world, backend):
    backend.error = NetworkError("no route")
    assert await world.slugs() == BUILT_IN_SLUGS
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert await world.slugs() == ["gpt-9"]


async def test_a_fetch_that_never_ends_times_out(tmp_path):
    async def never(client_version: str | None) -> tuple[object, str | None]:
        await asyncio.Event().wait()
        raise AssertionError(client_version)

    catalogue = Catalogue(never, ttl=60, cache_path=lambda: None, timeout=0.01)
    assert [model.slug for model in await catalogue.list()] == BUILT_IN_SLUGS


@pytest.mark.parametrize("error", [AuthenticationError("401"), AccessDeniedError("403")], ids=repr)
async def test_a_refused_account_loses_its_list(world, backend, error):
    await world.slugs()
    world.now += DAY
    backend.error = error
    with pytest.raises(type(error)):
        await world.slugs()
    assert not world.catalogue.knows("gpt-9")
    assert not world.file.exists()
    backend.error = NetworkError("no route")
    assert await world.slugs() == BUILT_IN_SLUGS


async def test_a_bad_setting_is_reported_and_the_list_is_kept(world, backend):
    await world.slugs()
    world.now += DAY
    backend.error = ConfigurationError("bad")
    with pytest.raises(ConfigurationError):
        await world.slugs()
    assert world.catalogue.knows("gpt-9")


async def test_an_unexpected_exception_is_not_treated_as_an_unreachable_backend(world, backend):
    backend.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await world.slugs()


async def test_another_account_never_gets_the_list_of_the_first(world, backend):
    await world.slugs()
    world.account = "grace"
    assert not world.catalogue.knows("gpt-9")
    backend.error = NetworkError("no route")
    assert await world.slugs() == BUILT_IN_SLUGS
    backend.error, backend.models = None, [{"slug": "gpt-11"}]
    assert await world.slugs() == ["gpt-11"]
    world.account = "ada"
    assert world.catalogue.knows("gpt-9")
    assert not world.catalogue.knows("gpt-11")


async def test_if_the_account_changes_during_the_fetch_its_own_list_is_fetched(world, backend):
    def switch_account() -> None:
        world.account, backend.models = "grace", [{"slug": "gpt-11"}]

    asyncio.get_running_loop().call_soon(switch_account)
    assert await world.slugs() == ["gpt-11"]
    assert len(backend.fetches) == 2
    world.account = "ada"
    assert not world.file.exists()


async def test_when_signed_out_the_error_is_raised_and_stored_lists_are_kept(world, backend):
    await world.slugs()
    kept = world.file
    world.account = ""
    backend.error = AuthenticationError("No valid OAuth tokens")
    with pytest.raises(AuthenticationError):
        await world.slugs()
    assert world.catalogue.find("gpt-9") == Model("gpt-9")
    assert kept.exists()


async def test_a_model_is_looked_up_offline_in_the_cache_on_disk_and_built_in(world, backend):
    backend.models = [{"slug": "gpt-9", "context_window": 9}]
    assert world.catalogue.find("gpt-6-sol") == BUILT_IN[0]
    assert world.catalogue.find("gpt-9").context_window == 272_000
    await world.slugs()
    backend.error = NetworkError("no route")
    for catalogue in (world.catalogue, world.new_catalogue()):
        assert catalogue.find("gpt-9").context_window == 9
        assert catalogue.find("openai/gpt-9-2026-01-01").context_window == 9
        assert catalogue.find("gpt-6-sol") == BUILT_IN[0]
        assert catalogue.find("unheard-of") == Model("unheard-of")
    assert len(backend.fetches) == 1


async def test_only_models_in_the_backends_list_are_known(world, backend):
    assert not world.catalogue.knows("gpt-5.5")
    await world.slugs()
    for catalogue in (world.catalogue, world.new_catalogue()):
        assert catalogue.knows("gpt-9")
        assert not catalogue.knows("gpt-9-pro")
        assert not catalogue.knows("gpt-5.5")


async def test_a_stored_list_older_than_a_week_is_not_known(world):
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now - 7 * DAY - 1))
    assert not world.catalogue.knows("gpt-9")


async def test_the_models_to_choose_from_are_available_offline(world, backend):
    assert [model.slug for model in world.catalogue.known()] == BUILT_IN_SLUGS
    backend.models = [{"slug": "gpt-8", "visibility": "hide"}, {"slug": "gpt-9"}]
    await world.slugs()
    assert [model.slug for model in world.new_catalogue().known()] == ["gpt-9"]


async def test_look_ups_read_the_disk_once(world):
    assert not world.catalogue.knows("gpt-9")
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert not world.catalogue.knows("gpt-9")
    assert world.new_catalogue().knows("gpt-9")


async def test_a_hidden_model_is_not_listed_but_known(world, backend):
    backend.models = [{"slug": "gpt-9"}, {"slug": "gpt-8", "visibility": "hide", "context_window": 8}]
    assert await world.slugs() == ["gpt-9"]
    assert world.catalogue.find("gpt-8").context_window == 8
    assert world.catalogue.knows("gpt-8")


async def test_the_latest_model_is_the_listed_one_with_the_lowest_priority(world, backend):
    backend.models = [
        {"slug": "gpt-9", "priority": 5},
        {"slug": "gpt-8", "visibility": "hide", "priority": 0},
        {"slug": "gpt-10", "priority": 1},
        {"slug": "gpt-7"},
    ]
    assert await world.catalogue.latest() == "gpt-10"
    backend.error = NetworkError("no route")
    assert await World(world.folder / "other", backend).catalogue.latest() == "gpt-6-sol"


@pytest.mark.parametrize("etag", ['"1"', "1", 'W/"1"'])
async def test_the_same_etag_in_another_answer_confirms_the_list(world, backend, etag):
    await world.slugs()
    world.now += 3000
    world.catalogue.notice_etag(etag)
    world.now += 3000
    await world.slugs()
    assert len(backend.fetches) == 1


async def test_a_different_etag_expires_the_list_only_once(world, backend):
    await world.slugs()
    for _ in range(3):
        world.catalogue.notice_etag('"2"')
        await world.slugs()
    assert len(backend.fetches) == 2
    world.catalogue.notice_etag('"3"')
    await world.slugs()
    assert len(backend.fetches) == 3


@pytest.mark.parametrize("etag", [None, ""])
async def test_a_missing_etag_is_ignored(world, backend, etag):
    world.catalogue.notice_etag('"1"')
    await world.slugs()
    world.catalogue.notice_etag(etag)
    await world.slugs()
    assert len(backend.fetches) == 1


async def test_the_same_etag_does_not_confirm_a_list_from_disk(world, backend):
    await world.slugs()
    world.catalogue = world.new_catalogue()
    assert world.catalogue.knows("gpt-9")
    world.catalogue.notice_etag('"1"')
    await world.slugs()
    assert len(backend.fetches) == 2


async def test_catalogues_with_the_same_cache_share_a_list(world, backend):
    cache = SharedCache()
    first, second = world.new_catalogue(cache), world.new_catalogue(cache)
    await first.list()
    await second.list()
    assert second.knows("gpt-9")
    assert second.source == "live"
    assert len(backend.fetches) == 1


async def test_providers_with_the_same_sign_in_and_backend_share_a_list(tmp_path):
    asked = []

    async def get(client_version: str | None) -> tuple[object, str | None]:
        asked.append(client_version)
        return {"models": [{"slug": "gpt-9"}]}, "1"

    def catalogue(**settings: object) -> Catalogue:
        settings = {"token_file_path": tmp_path / "tokens.json", "base_url": "https://a.example", **settings}
        return shared_catalogue(Settings(**settings), get, lambda: Secret("ada"))  # type: ignore[arg-type]

    await catalogue().list()
    await catalogue().list()
    assert asked == ["0.0.0"]
    await catalogue(base_url="https://b.example").list()
    await catalogue(token_file_path=tmp_path / "other.json").list()
    assert len(asked) == 3
    assert len(list(tmp_path.glob("openai-chatgpt-models-*.json"))) == 2


async def test_the_stored_list_is_private_next_to_the_tokens_and_does_not_name_the_account(world):
    await world.slugs()
    (file,) = world.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name.startswith("openai-chatgpt-models-")
    assert "ada" not in file.name + file.read_text()


async def test_instructions_of_the_backend_are_not_stored(world, backend):
    backend.models = [{"slug": "gpt-9", "base_instructions": "secret sauce" * 1000}]
    await world.slugs()
    assert world.file.stat().st_size < 1000


async def test_if_the_folder_cannot_be_written_the_list_still_works(tmp_path, backend):
    (tmp_path / "file").touch()
    world = World(tmp_path / "file", backend)
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert len(backend.fetches) == 1


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"version": 1, "fetched_at": 1800000000.0, "models": []}',
    b'{"version": 1, "fetched_at": "today", "models": [{"slug": "gpt-9"}]}',
    b'{"version": 1, "fetched_at": 1' + b"0" * 400 + b', "models": [{"slug": "gpt-9"}]}',
    b'{"version": 1, "fetched_at": 1800000000.0, "models": [{"slug": "gpt-9"}]}' + b" " * 2_000_000,
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
async def test_a_damaged_copy_is_renamed_with_one_warning(world, backend, content, caplog):
    backend.error = NetworkError("no route")
    world.file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert world.catalogue.find("gpt-9") == Model("gpt-9")
        assert world.catalogue.find("gpt-9") == Model("gpt-9")
    assert ["damaged" in record.getMessage() for record in caplog.records] == [True]
    assert not world.file.exists()
    assert world.file.with_suffix(".corrupt").read_bytes() == content
    assert await world.slugs() == BUILT_IN_SLUGS


def test_a_copy_with_another_version_is_ignored_and_kept(world):
    world.file.write_text('{"version": 2, "fetched_at": 1800000000.0, "models": [{"slug": "gpt-9"}]}')
    assert not world.catalogue.knows("gpt-9")
    assert world.file.exists()


def test_a_folder_in_place_of_the_copy_is_ignored(world):
    world.file.mkdir()
    assert load(world.file) is None
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert [item.name for item in world.folder.iterdir()] == [world.file.name]
