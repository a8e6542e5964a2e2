"""The catalogue: asked live, kept for its time, on disk per account, built in at last."""

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

from amplifier_module_provider_openai_chatgpt.models.cache import CachedCatalogue, load, place_of, store
from amplifier_module_provider_openai_chatgpt.models.catalogue import Catalogue, SharedCache, shared_catalogue
from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model
from amplifier_module_provider_openai_chatgpt.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3600.0
BUILT_IN_SLUGS = [model.slug for model in BUILT_IN]


class Backend:
    """Answers with the models it is given, or raises; counts what it was asked."""

    def __init__(self, *slugs: str, etag: str | None = '"1"') -> None:
        self.models = [{"slug": slug} for slug in slugs]
        self.etag = etag
        self.error: Exception | None = None
        self.only_for: str | None = None
        self.asked: list[str | None] = []

    async def fetch(self, client_version: str | None) -> tuple[object, str | None]:
        self.asked.append(client_version)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.only_for not in (None, client_version):
            return {"models": []}, self.etag
        return {"models": self.models}, self.etag


class World:
    """A catalogue with a clock and an account that a test can change."""

    def __init__(self, folder: Path, backend: Backend, ttl: float = 3600) -> None:
        self.folder = folder
        self.backend = backend
        self.now = 1_800_000_000.0
        self.account = "ada"
        self.ttl = ttl
        self.catalogue = self.process()

    def process(self, memory: SharedCache | None = None) -> Catalogue:
        """A catalogue of another process; of another provider in this one, if it shares the memory."""
        return Catalogue(
            self.backend.fetch,
            ttl=self.ttl,
            cache_path=self.path,
            clock=lambda: self.now,
            memory=memory,
        )

    def path(self) -> Path | None:
        return place_of(self.folder / "tokens.json", self.account, "https://x") if self.account else None

    @property
    def file(self) -> Path:
        path = self.path()
        assert path is not None
        return path

    async def slugs(self) -> list[str]:
        return [model.slug for model in await self.catalogue.list()]

    async def slugs_of_next_process(self) -> list[str]:
        self.catalogue = self.process()
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


async def test_the_backend_is_asked_once_within_the_ttl_and_again_after_it(world, backend):
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    world.now += 3599
    await world.slugs()
    assert backend.asked == ["0.0.0"]
    world.now += 1
    backend.models = [{"slug": "gpt-10"}]
    assert await world.slugs() == ["gpt-10"]
    assert backend.asked == ["0.0.0", "0.0.0"]
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("live", world.now)


async def test_a_ttl_of_zero_asks_each_time(tmp_path, backend):
    world = World(tmp_path, backend, ttl=0)
    for _ in range(3):
        await world.slugs()
    assert len(backend.asked) == 3


async def test_a_clock_set_back_does_not_keep_a_list_for_ever(world, backend):
    await world.slugs()
    world.now -= DAY
    await world.slugs()
    assert len(backend.asked) == 2


@pytest.mark.parametrize("ttl", [0, 3600])
async def test_five_callers_at_once_share_one_fetch(tmp_path, backend, ttl):
    world = World(tmp_path, backend, ttl=ttl)
    assert await asyncio.gather(*(world.slugs() for _ in range(5))) == [["gpt-9", "gpt-9-mini"]] * 5
    assert len(backend.asked) == 1


async def test_five_callers_at_once_share_one_failure(world, backend):
    backend.error = AuthenticationError("signed out")
    results = await asyncio.gather(*(world.slugs() for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [AuthenticationError] * 5
    assert len(backend.asked) == 1


async def test_a_caller_who_gives_up_does_not_take_the_list_from_the_others(world, backend):
    impatient = asyncio.create_task(world.slugs())
    patient = asyncio.create_task(world.slugs())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == ["gpt-9", "gpt-9-mini"]
    assert impatient.cancelled()
    assert len(backend.asked) == 1


def test_one_catalogue_serves_event_loops_one_after_another(world, backend):
    assert [asyncio.run(world.slugs()) for _ in range(3)] == [["gpt-9", "gpt-9-mini"]] * 3
    assert len(backend.asked) == 1


def test_one_catalogue_serves_threads_with_loops_of_their_own(world):
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(world.slugs()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["gpt-9", "gpt-9-mini"]] * 4


async def test_an_empty_list_is_asked_for_again_as_a_newer_client(world, backend):
    backend.only_for = "99.99.99"
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert backend.asked == ["0.0.0", "99.99.99"]


@pytest.mark.parametrize("models", [[], [{"slug": "gpt-9", "visibility": "hide"}], [{}]])
async def test_a_list_with_nothing_to_choose_is_a_failure_and_never_kept(world, backend, models):
    backend.models = models
    assert await world.slugs() == BUILT_IN_SLUGS
    assert world.catalogue.source == "built-in"
    assert not world.file.exists()
    backend.models = [{"slug": "gpt-9"}]
    assert await world.slugs() == ["gpt-9"]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_without_any_list_the_built_in_few_answer_and_the_next_call_asks_again(world, backend, error):
    backend.error = error
    assert await world.slugs() == BUILT_IN_SLUGS
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("built-in", None)
    backend.error = None
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
async def test_the_last_good_list_answers_before_the_built_in_one(world, backend, error):
    await world.slugs()
    fetched_at = world.now
    backend.error = error
    world.now += 2 * DAY
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert await world.slugs_of_next_process() == ["gpt-9", "gpt-9-mini"]
    assert (world.catalogue.source, world.catalogue.fetched_at) == ("disk", fetched_at)
    assert len(backend.asked) == 3


async def test_a_fallback_says_why_in_one_log_line(world, backend, caplog):
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
    assert await world.slugs_of_next_process() == BUILT_IN_SLUGS


async def test_a_list_that_another_process_stored_meanwhile_is_found(world, backend):
    backend.error = NetworkError("no route")
    assert await world.slugs() == BUILT_IN_SLUGS
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert await world.slugs() == ["gpt-9"]


async def test_a_backend_that_never_answers_is_given_up_on(tmp_path):
    async def never(client_version: str | None) -> tuple[object, str | None]:
        await asyncio.Event().wait()
        raise AssertionError(client_version)

    catalogue = Catalogue(never, ttl=60, cache_path=lambda: None, limit=0.01)
    assert [model.slug for model in await catalogue.list()] == BUILT_IN_SLUGS


@pytest.mark.parametrize("error", [AuthenticationError("401"), AccessDeniedError("403")], ids=repr)
async def test_nothing_known_survives_a_refusal(world, backend, error):
    await world.slugs()
    world.now += DAY
    backend.error = error
    with pytest.raises(type(error)):
        await world.slugs()
    assert not world.catalogue.knows("gpt-9")
    assert not world.file.exists()
    backend.error = NetworkError("no route")
    assert await world.slugs() == BUILT_IN_SLUGS


async def test_a_bad_setting_is_told_and_costs_no_list(world, backend):
    await world.slugs()
    world.now += DAY
    backend.error = ConfigurationError("bad")
    with pytest.raises(ConfigurationError):
        await world.slugs()
    assert world.catalogue.knows("gpt-9")


async def test_a_bug_is_not_taken_for_an_unreachable_backend(world, backend):
    backend.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await world.slugs()


async def test_another_account_never_sees_the_first_ones_list(world, backend):
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


async def test_an_account_that_changes_during_the_fetch_gets_a_list_of_its_own(world, backend):
    def sign_in_as_somebody_else() -> None:
        world.account, backend.models = "grace", [{"slug": "gpt-11"}]

    asyncio.get_running_loop().call_soon(sign_in_as_somebody_else)
    assert await world.slugs() == ["gpt-11"]
    assert len(backend.asked) == 2
    world.account = "ada"
    assert not world.file.exists()


async def test_signed_out_passes_through_and_leaves_others_lists_alone(world, backend):
    await world.slugs()
    kept = world.file
    world.account = ""
    backend.error = AuthenticationError("No valid OAuth tokens")
    with pytest.raises(AuthenticationError):
        await world.slugs()
    assert world.catalogue.find("gpt-9") == Model("gpt-9")
    assert kept.exists()


async def test_a_model_is_found_offline_in_memory_on_disk_and_built_in(world, backend):
    backend.models = [{"slug": "gpt-9", "context_window": 9}]
    assert world.catalogue.find("gpt-6-sol") == BUILT_IN[0]
    assert world.catalogue.find("gpt-9").context_window == 272_000
    await world.slugs()
    backend.error = NetworkError("no route")
    for catalogue in (world.catalogue, world.process()):
        assert catalogue.find("gpt-9").context_window == 9
        assert catalogue.find("openai/gpt-9-2026-01-01").context_window == 9
        assert catalogue.find("gpt-6-sol") == BUILT_IN[0]
        assert catalogue.find("unheard-of") == Model("unheard-of")
    assert len(backend.asked) == 1


async def test_only_what_the_backend_listed_is_known(world, backend):
    assert not world.catalogue.knows("gpt-5.5")
    await world.slugs()
    for catalogue in (world.catalogue, world.process()):
        assert catalogue.knows("gpt-9")
        assert not catalogue.knows("gpt-9-pro")
        assert not catalogue.knows("gpt-5.5")


async def test_a_stored_list_older_than_a_week_is_not_known(world):
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now - 7 * DAY - 1))
    assert not world.catalogue.knows("gpt-9")


async def test_what_may_be_chosen_is_told_offline_as_far_as_known(world, backend):
    assert [model.slug for model in world.catalogue.known()] == BUILT_IN_SLUGS
    backend.models = [{"slug": "gpt-8", "visibility": "hide"}, {"slug": "gpt-9"}]
    await world.slugs()
    assert [model.slug for model in world.process().known()] == ["gpt-9"]


async def test_looking_up_reads_the_disk_once(world):
    assert not world.catalogue.knows("gpt-9")
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert not world.catalogue.knows("gpt-9")
    assert world.process().knows("gpt-9")


async def test_a_hidden_model_is_not_listed_but_known(world, backend):
    backend.models = [{"slug": "gpt-9"}, {"slug": "gpt-8", "visibility": "hide", "context_window": 8}]
    assert await world.slugs() == ["gpt-9"]
    assert world.catalogue.find("gpt-8").context_window == 8
    assert world.catalogue.knows("gpt-8")


async def test_the_latest_model_is_the_listed_one_of_lowest_priority(world, backend):
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
async def test_the_same_etag_on_another_answer_keeps_the_list_fresh(world, backend, etag):
    await world.slugs()
    world.now += 3000
    world.catalogue.notice_etag(etag)
    world.now += 3000
    await world.slugs()
    assert len(backend.asked) == 1


async def test_another_etag_ends_the_list_at_once_and_only_once(world, backend):
    await world.slugs()
    for _ in range(3):
        world.catalogue.notice_etag('"2"')
        await world.slugs()
    assert len(backend.asked) == 2
    world.catalogue.notice_etag('"3"')
    await world.slugs()
    assert len(backend.asked) == 3


@pytest.mark.parametrize("etag", [None, ""])
async def test_no_etag_says_nothing(world, backend, etag):
    world.catalogue.notice_etag('"1"')
    await world.slugs()
    world.catalogue.notice_etag(etag)
    await world.slugs()
    assert len(backend.asked) == 1


async def test_the_same_etag_does_not_make_a_fallback_fresh(world, backend):
    await world.slugs()
    world.catalogue = world.process()
    assert world.catalogue.knows("gpt-9")
    world.catalogue.notice_etag('"1"')
    await world.slugs()
    assert len(backend.asked) == 2


async def test_catalogues_with_one_memory_share_what_they_know(world, backend):
    memory = SharedCache()
    first, second = world.process(memory), world.process(memory)
    await first.list()
    await second.list()
    assert second.knows("gpt-9")
    assert second.source == "live"
    assert len(backend.asked) == 1


async def test_providers_of_one_sign_in_and_backend_share_one_catalogue(tmp_path):
    asked = []

    async def get(client_version: str | None) -> tuple[object, str | None]:
        asked.append(client_version)
        return {"models": [{"slug": "gpt-9"}]}, "1"

    def catalogue(**settings: object) -> Catalogue:
        settings = {"token_file_path": tmp_path / "tokens.json", "base_url": "https://a.example", **settings}
        return shared_catalogue(Settings(**settings), get, lambda: "ada")  # type: ignore[arg-type]

    await catalogue().list()
    await catalogue().list()
    assert asked == ["0.0.0"]
    await catalogue(base_url="https://b.example").list()
    await catalogue(token_file_path=tmp_path / "other.json").list()
    assert len(asked) == 3
    assert len(list(tmp_path.glob("openai-chatgpt-models-*.json"))) == 2


async def test_the_stored_list_is_private_beside_the_tokens_and_names_no_account(world):
    await world.slugs()
    (file,) = world.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name.startswith("openai-chatgpt-models-")
    assert "ada" not in file.name + file.read_text()


async def test_instructions_of_the_backend_are_not_stored(world, backend):
    backend.models = [{"slug": "gpt-9", "base_instructions": "secret sauce" * 1000}]
    await world.slugs()
    assert world.file.stat().st_size < 1000


async def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path, backend):
    (tmp_path / "file").touch()
    world = World(tmp_path / "file", backend)
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert await world.slugs() == ["gpt-9", "gpt-9-mini"]
    assert len(backend.asked) == 1


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
async def test_a_damaged_copy_is_set_aside_with_one_warning(world, backend, content, caplog):
    backend.error = NetworkError("no route")
    world.file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert world.catalogue.find("gpt-9") == Model("gpt-9")
        assert world.catalogue.find("gpt-9") == Model("gpt-9")
    assert ["damaged" in record.getMessage() for record in caplog.records] == [True]
    assert not world.file.exists()
    assert world.file.with_suffix(".corrupt").read_bytes() == content
    assert await world.slugs() == BUILT_IN_SLUGS


def test_a_copy_of_another_version_is_left_alone(world):
    world.file.write_text('{"version": 2, "fetched_at": 1800000000.0, "models": [{"slug": "gpt-9"}]}')
    assert not world.catalogue.knows("gpt-9")
    assert world.file.exists()


def test_a_copy_that_is_a_folder_is_no_copy(world):
    world.file.mkdir()
    assert load(world.file) is None
    store(world.file, CachedCatalogue((Model("gpt-9"),), "live", world.now))
    assert [item.name for item in world.folder.iterdir()] == [world.file.name]
