"""Every ``TokenStore`` serves a whole sign-in: the token file, and one made up here that has no file."""

import asyncio
import contextlib
import threading
import time

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.sign_in import with_device_code
from amplifier_module_provider_openai_chatgpt.auth.store import StoreError, TokenStore
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault

TOKEN = "/oauth/token"


class Memory:
    """A throwaway store, as a keyring would be one. ``full`` makes it refuse to be written."""

    location = place = "the memory of this test"

    def __init__(self):
        self.full = False
        self._tokens: Tokens | None = None
        self._changes = 0
        self._failed_at = 0.0
        self._lock = threading.Lock()
        self._queue = threading.Lock()

    def stamp(self) -> int | None:
        return self._changes if self._tokens else None

    def read(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens) -> None:
        self.rehearse()
        self._put(tokens)

    def rehearse(self) -> None:
        if self.full:
            raise StoreError("The memory is full: forget something.")

    def salvage(self) -> None:
        return None

    def delete(self) -> None:
        self._put(None)

    def note_failure(self, seconds: float) -> None:
        self._failed_at = time.time() + seconds

    def failed_since(self, moment: float) -> bool:
        return self._failed_at > moment

    def lock(self, timeout: float):
        return self._held(self._lock, timeout)

    def queue(self, timeout: float):
        return self._held(self._queue, timeout)

    @contextlib.contextmanager
    def _held(self, lock, timeout):
        if not lock.acquire(timeout=timeout):
            raise TimeoutError
        try:
            yield
        finally:
            lock.release()

    def _put(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._changes += 1


@pytest.fixture(params=["memory", "file"])
def store(request, path) -> TokenStore:
    """One store of each kind, empty."""
    return Memory() if request.param == "memory" else TokenFile(path)


@pytest.fixture
def credentials(store, service):
    return Credentials(store, service)


@pytest.fixture
def signed_in(sim, store):
    def run(expires_in):
        tokens = Tokens.from_dict(sim.sign_in(expires_in=expires_in))
        store.save(tokens)
        return tokens

    return run


async def no_wait(seconds):
    await asyncio.sleep(0)


async def test_a_sign_in_is_stored_used_renewed_and_revoked(sim, store, credentials):
    sim.device.pending = 0
    sim.accounts.lifetime = -10
    prompts: list = []
    signed_in = await with_device_code(credentials, prompts.append, connect_timeout=5, sleep=no_wait)
    assert len(prompts) == 1
    assert store.read() == signed_in
    assert credentials.status() == "authenticated"
    sim.accounts.lifetime = 3600
    renewed = await credentials.current()
    assert renewed.access_token != signed_in.access_token
    assert store.read() == renewed
    assert await credentials.sign_out()
    assert store.read() is None
    assert store.stamp() is None
    assert credentials.status() == "unauthenticated"
    assert sim.requests_to("/oauth/revoke")[0].json["token"] == renewed.refresh_token
    with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login"):
        await credentials.current()


async def test_eight_racing_tasks_share_one_refresh(sim, store, service, signed_in):
    signed_in(-10)
    everyone = [Credentials(store, service) for _ in range(8)]
    found = await asyncio.gather(*(credentials.current() for credentials in everyone))
    assert len({tokens.access_token for tokens in found}) == 1
    assert len(sim.requests_to(TOKEN)) == 1
    assert store.read() == found[0]


async def test_a_401_is_answered_with_the_stores_newer_token_or_a_refresh(sim, credentials, signed_in):
    first = signed_in(3600)
    assert await credentials.current() == first
    second = signed_in(3600)
    assert await credentials.renew(first) == second
    assert (await credentials.renew(first, second)).access_token not in {
        first.access_token,
        second.access_token,
    }
    assert len(sim.requests_to(TOKEN)) == 1


async def test_a_sign_out_during_a_refresh_waits_for_it_and_wins(sim, store, credentials, signed_in):
    signed_in(-10)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    call = asyncio.create_task(credentials.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    sign_out = asyncio.create_task(credentials.sign_out())
    await asyncio.sleep(0)
    sim.release()
    await call
    assert await sign_out
    assert store.read() is None


async def test_the_stamp_changes_with_every_change(sim, store, signed_in):
    assert store.stamp() is None
    signed_in(3600)
    first = store.stamp()
    assert store.stamp() == first
    signed_in(3600)
    assert store.stamp() not in {None, first}


def test_a_lock_that_is_not_free_in_time_is_a_timeout(store):
    with store.lock(1):
        found = []

        def knock():
            try:
                with store.lock(0.01):
                    pass
            except TimeoutError:
                found.append("timeout")

        thread = threading.Thread(target=knock)
        thread.start()
        thread.join()
    assert found == ["timeout"]
    with store.lock(1):
        pass


async def test_what_a_store_says_of_itself_is_what_a_person_reads(sim, service):
    store = Memory()
    store.save(Tokens.from_dict(sim.sign_in(expires_in=-10)))
    store.full = True
    credentials = Credentials(store, service)
    for attempt in (
        credentials.current(),
        credentials.ensure_writable(),
        credentials.sign_in(Tokens(Secret("a"))),
    ):
        with pytest.raises(ConfigurationError, match=r"^The memory is full: forget something\.$"):
            await attempt
    assert not sim.requests_to(TOKEN)
