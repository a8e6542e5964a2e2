"""Staying signed in: a token for every call, one refresh at a time, another token after a 401.

When a refresh is due is decided here; ``renewal`` carries it out, where neither a cancelled task nor a
closing event loop can interrupt it. It may take minutes, while those who wait for it get a retryable error.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

from amplifier_core.llm_errors import LLMError

from ..secret import Secret
from .binding import bound, read_bound
from .failures import Reason, RefreshRefusedError, SignInError, kernel_error, translated
from .renewal import InThread, Order, Renewal, StoreChangedError, locked, now
from .single_flight import SingleFlight, started
from .store import StoreError, Unusable
from .token_file import token_store
from .tokens import Tokens
from .waiting import ANNOUNCE_AFTER, OTHER_PROCESS, announced

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime
    from pathlib import Path

    from ..services import Origin, Service
    from .renewal import Renewed, Renewer
    from .store import TokenStore

Result = TypeVar("Result")
Status = Literal["authenticated", "expired", "unauthenticated"]

# Seconds.
PATIENCE = 30.0
PAUSE = 30.0
VERDICT = 300.0
_DECISIONS = 3

logger = logging.getLogger(__name__)


class Credentials:
    """One sign-in, for everything in this process that uses its store.

    Safe to use from many tasks, event loops and threads at a time. The store is the truth: a sign-in, a
    sign-out or another account is noticed with the next call. Only ``tokens`` given here take precedence,
    while they are usable.

    A token is *usable* until it expires, and for ``PAUSE`` after it was renewed, in case the clock is wrong.
    It is *fresh* while a refresh is not due (``tokens.RENEW_BEFORE`` says when) or cannot help: there is no
    refresh token, the issuer has refused it permanently, or the last refresh ended less than ``PAUSE`` ago.

    ``current``, for a call:

    * memory or store holds a fresh token: it is used;
    * else a refresh, with memory's refresh token first, then with the store's;
    * the refresh fails: the old token is used while it is usable, else the failure is raised.

    ``renew``, after a 401, whatever the expiry of the refused token:

    * memory or store holds a usable token that was not refused in this call: it is used;
    * the refused token came from refreshing the one refused before it: a person must sign in, and for
      ``VERDICT`` no call renews it again (each still tries the token, in case the backend was wrong);
    * else a refresh, once for all who ask; if it is impossible, the refused tokens are not usable any more.

    A refresh token that was refused permanently is not sent again until a new sign-in is stored. If another
    program has stored a usable token meanwhile, that one is used and the refusal means nothing.
    """

    def __init__(
        self,
        store: TokenStore,
        service: Service,
        *,
        tokens: Tokens | None = None,
        clock: Callable[[], datetime] = now,
        patience: float = PATIENCE,
        announce_after: float = ANNOUNCE_AFTER,
        renew: Renewer | None = None,
    ) -> None:
        """``patience``: how long a call waits for a refresh, in seconds; the refresh itself goes on.

        ``renew`` carries one out; by default a thread of this process does.
        """
        self._patience = patience
        self._announce_after = announce_after
        self._renew = renew or InThread(Renewal(store, service, clock=clock))
        self.service = service
        self._store = store
        self._clock = clock
        # Any thread replaces this pair of a stamp and what was loaded then; an old one shows by its stamp.
        self._seen: tuple[Hashable, Tokens | Unusable | None] = (None, None)
        # These are written by who is first in the store's queue, so by one thread at a time. They are read
        # without that: each read is one step, and what is decided on an old value is decided again then. (A
        # sign-out that waited too long in the queue clears the memory all the same.)
        # Tokens that are not in the store: given, or renewed when it could not be written.
        self._memory: Tokens | None = None
        # Why the given tokens are not used; nothing else is then used in their place.
        self._not_given: Unusable | None = None
        if tokens is not None:
            match bound(tokens, service, "the given tokens"):
                case Unusable() as problem:
                    self._not_given = problem
                case given:
                    self._memory = given
        # Refresh tokens that were refused permanently, with the reason.
        self._refused: dict[Secret[str], str] = {}
        # Access tokens that got a 401 and could not be replaced.
        self._rejected: set[Secret[str]] = set()
        # The access token before and after the last refresh.
        self._renewal = (Secret(""), Secret(""))
        # A renewed sign-in that the backend refuses all the same, and until when (monotonic) this holds.
        self._verdict: tuple[Tokens, float] | None = None
        # Monotonic time. Written when a turn in the queue ends or did not come; the latest write wins.
        self._paused_until = 0.0
        # By the access tokens that are to be replaced.
        self._refreshes = SingleFlight(self._run_refresh, name="token-refresh")

    @property
    def location(self) -> str:
        """Identifies the sign-in in this process."""
        return self._store.location

    @property
    def place(self) -> str:
        """Where the sign-in is kept, for people."""
        return self._store.place

    async def current(self) -> Tokens:
        """Return a token that is expected to be accepted.

        Raises AuthenticationError when a person must sign in, ConfigurationError when the store cannot be
        written, and a retryable kernel error when the trouble is transient.
        """
        tokens = self.peek()
        if tokens is None:
            raise kernel_error(self._signed_out())
        if self._is_fresh(tokens):
            return tokens
        try:
            return await self._shared_refresh()
        except LLMError as error:
            tokens = self.peek()
            if tokens is None or not self._is_usable(tokens):
                raise
            level = logging.INFO if error.retryable else logging.WARNING
            logger.log(level, "The sign-in was not renewed; its token is used until it expires. %s", error)
            return tokens

    async def renew(self, *refused: Tokens) -> Tokens:
        """Return another token than those that got a 401 in this call, the last of them just now.

        Raises as ``current`` does.
        """
        return await self._shared_refresh(*refused)

    def peek(self) -> Tokens | None:
        """Return who is signed in as far as memory and store know; never uses the network."""
        memory = self._memory
        if memory is not None and self._is_usable(memory):
            return memory
        found = self._stored()
        return found if isinstance(found, Tokens) else memory

    def problem(self) -> Unusable | None:
        """Return why what is stored is not used; None if it is used, or if nothing is stored. Offline."""
        found = self._not_given or self._stored()
        return found if isinstance(found, Unusable) else None

    def status(self) -> Status:
        """Say offline whether calls can be expected to work, or a person must sign in."""
        tokens = self.peek()
        if tokens is None:
            return "unauthenticated"
        if self._is_usable(tokens) or self._can_refresh(tokens):
            return "authenticated"
        return "expired"

    async def ensure_writable(self) -> None:
        """Check that a sign-in can be stored, before a person takes the trouble to approve one.

        Raises ConfigurationError if it cannot.
        """
        with translated():
            await _in_thread(self._check_writable)

    async def sign_in(self, tokens: Tokens) -> Tokens:
        """Store a new sign-in of this service, use it and return what was stored.

        Keys of other programs stay. Raises ConfigurationError if it cannot be stored.
        """
        with translated():
            return await _in_thread(lambda: self._replace(tokens))

    async def sign_out(self) -> bool:
        """Delete the sign-in and revoke it; returns False if there was one of which the issuer has not heard.

        The deletion does not depend on the issuer. Raises ConfigurationError if it is impossible.
        """
        tokens = await self._deleted()
        return tokens is None or await self._revoke(tokens)

    async def remove_unusable(self) -> bool:
        """Delete what is stored but not used; returns whether a sign-in was found in it and revoked.

        Raises as ``sign_out`` does.
        """
        tokens = await self._deleted()
        return tokens is not None and await self._revoke(tokens)

    async def _deleted(self) -> Tokens | None:
        with translated():
            return await _in_thread(self._delete)

    async def _revoke(self, tokens: Tokens) -> bool:
        from . import oauth

        return await oauth.revoke_alone(self.service.issuer, tokens)

    # The cases of the class docstring.

    def _is_usable(self, tokens: Tokens) -> bool:
        if not tokens.access_token or tokens.access_token in self._rejected:
            return False
        is_new = tokens.access_token == self._renewal[1] and self._is_paused()
        return is_new or tokens.is_valid(self._clock())

    def _is_fresh(self, tokens: Tokens) -> bool:
        if not self._is_usable(tokens):
            return False
        return not tokens.is_due(self._clock()) or self._is_paused() or not self._can_refresh(tokens)

    def _is_paused(self) -> bool:
        """True shortly after a refresh, however it ended."""
        return time.monotonic() < self._paused_until

    def _can_refresh(self, tokens: Tokens) -> bool:
        is_spent = tokens.refresh_token in self._refused or self._is_condemned(tokens)
        return tokens.can_refresh and not is_spent

    def _is_condemned(self, tokens: Tokens) -> bool:
        """True for a while after the backend refused a token that had just been renewed."""
        verdict = self._verdict
        return verdict is not None and verdict[0].is_same(tokens) and time.monotonic() < verdict[1]

    def _satisfies(self, tokens: Tokens, refused: tuple[Secret[str], ...]) -> bool:
        """True for a token that makes a refresh unnecessary. ``refused`` are access tokens."""
        if refused:
            return tokens.access_token not in refused and self._is_usable(tokens)
        return self._is_usable(tokens) and not tokens.is_due(self._clock())

    def _stored(self) -> Tokens | Unusable | None:
        """Return what the store holds, read again only when it changed."""
        stamp, (seen, found) = self._store.stamp(), self._seen
        if stamp != seen:
            found = self._read() if stamp is not None else None
            self._seen = (stamp, found)
        return found

    def _read(self) -> Tokens | Unusable | None:
        return self._not_given or read_bound(self._store, self.service)

    def _load(self) -> Tokens | None:
        found = self._read()
        return found if isinstance(found, Tokens) else None

    def _signed_out(self, because: str = "") -> SignInError | StoreError:
        """Return the failure that only a person can end: why what is stored is not used, or ``because``."""
        problem = self.problem()
        if problem is None or because:
            return SignInError(Reason.SIGNED_OUT, because=because and f" {because}")
        if problem.foreign:
            return StoreError(problem.text)
        if problem.is_ours:
            return SignInError(Reason.SIGNED_OUT, because=f" {problem.what} is not used: {problem.why}.")
        return SignInError(Reason.NOT_USED, why=problem.text)

    async def _shared_refresh(self, *refused: Tokens) -> Tokens:
        """Wait for the one refresh under way for this purpose; a waiter that leaves does not interrupt it."""
        try:
            return await self._refreshes.result(
                tuple(tokens.access_token for tokens in refused), patience=self._patience + 1
            )
        except TimeoutError as error:
            raise kernel_error(SignInError(Reason.RENEWAL_TIMEOUT)) from error

    # The decision; runs in a thread of its own.

    def _run_refresh(self, refused: tuple[Secret[str], ...]) -> Tokens:
        began = time.time()
        try:
            with translated(), self._first_in_the_queue():
                for _ in range(_DECISIONS):
                    with contextlib.suppress(StoreChangedError):
                        return self._renewed(refused, began)
                raise SignInError(Reason.RENEWAL_TIMEOUT)
        finally:
            self._paused_until = time.monotonic() + PAUSE

    @contextlib.contextmanager
    def _first_in_the_queue(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                with announced(OTHER_PROCESS, self._announce_after):
                    stack.enter_context(self._store.queue(self._patience))
            except TimeoutError as error:
                raise SignInError(Reason.LOCKED, seconds=f"{self._patience:g}") from error
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._first_in_the_queue(), locked(self._store, self._patience, self._announce_after):
            yield

    def _renewed(self, refused: tuple[Secret[str], ...], began: float) -> Tokens:
        """Adopt a token that satisfies, else refresh one. First in the queue, waited for since ``began``."""
        stored = self._load()
        for tokens in (self._memory, stored):
            if tokens is not None and self._satisfies(tokens, refused):
                return self._adopt(tokens) if tokens is stored else tokens
        self._judge(refused, stored)
        if self._store.failed_since(began):
            raise SignInError(Reason.RENEWAL_FAILED_JUST_NOW)
        for tokens in self._refreshable(stored):
            try:
                return self._refresh(tokens, stored)
            except RefreshRefusedError as refusal:
                self._refused[tokens.refresh_token] = str(refusal)
                winner = self._load()
                if winner is not None and not winner.is_same(tokens) and self._satisfies(winner, refused):
                    return self._adopt(winner)
        self._rejected.update(refused)
        last = stored or self._memory
        reason = self._refused.get(last.refresh_token) if last is not None else None
        raise self._signed_out(f"The stored sign-in cannot be renewed: {reason}." if reason else "")

    def _judge(self, refused: tuple[Secret[str], ...], stored: Tokens | None) -> None:
        """Raise if renewing again cannot help: the backend refuses even what was renewed just now."""
        last = self._memory or stored
        if last is not None and refused[-2:] == self._renewal:
            self._verdict = (last, time.monotonic() + VERDICT)
        if last is not None and self._is_condemned(last):
            raise self._signed_out("The backend refuses even the token that was renewed just now.")

    def _adopt(self, stored: Tokens) -> Tokens:
        """Use what is stored, in the place of what memory holds."""
        self._memory = None
        return stored

    def _refreshable(self, stored: Tokens | None) -> list[Tokens]:
        """Return the sign-ins that may be refreshed, memory's first."""
        both = [tokens for tokens in (self._memory, stored) if tokens is not None]
        by_token = {tokens.refresh_token: tokens for tokens in both if self._can_refresh(tokens)}
        return list(by_token.values())

    def _refresh(self, tokens: Tokens, stored: Tokens | None) -> Tokens:
        """Have a refresh token sent and its successor kept."""
        renewed = self._renew(Order(tokens, stored, self._patience, self._announce_after))
        if renewed.problem:
            logger.warning("%s The renewed sign-in is kept in memory only.", renewed.problem)
        self._memory = None if renewed.is_settled else renewed.tokens
        if renewed.tokens.access_token == tokens.access_token:
            raise SignInError(Reason.UNREADABLE, what="the renewed tokens")
        self._renewal = (tokens.access_token, renewed.tokens.access_token)
        return renewed.tokens

    # Signing in and out; runs in a thread.

    def _check_writable(self) -> None:
        with self._locked():
            self._store.rehearse()

    def _replace(self, tokens: Tokens) -> Tokens:
        with self._locked():
            before = self._load()
            extra = Secret({**(before.extra.reveal() if before else {}), **tokens.extra.reveal()})
            stored = replace(tokens, origin=self.service.origin, extra=extra)
            self._store.save(stored)
            self._memory = self._not_given = None
            self._verdict = None
            self._refused.clear()
            self._rejected.clear()
            return stored

    def _delete(self) -> Tokens | None:
        """Delete what is stored and return what was in use; waits for a renewal, but not for ever."""
        try:
            with self._locked():
                return self._drop()
        except SignInError:
            return self._drop()

    def _drop(self) -> Tokens | None:
        tokens = self._memory or self._load() or self._salvaged()
        self._memory = None
        self._store.delete()
        return tokens

    def _salvaged(self) -> Tokens | None:
        """Return what can be revoked of a sign-in that cannot be used; nothing of another service."""
        found = self._store.salvage()
        return found if found is not None and found.belongs_to(self.service.origin) else None


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Wait for blocking work in a thread that neither Ctrl-C nor the end of the program waits for."""
    return await asyncio.wrap_future(started(work, name="sign-in", daemon=True))


_shared: dict[tuple[str, str, Origin], Credentials] = {}
_shared_mutex = threading.Lock()


def _forget_the_parents_threads() -> None:
    """Replace the mutex after a fork: the thread that held it may not have come along."""
    global _shared_mutex  # noqa: PLW0603 - per process
    _shared_mutex = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


def shared_credentials(path: Path, service: Service) -> Credentials:
    """Return the one object of this process for a token file and a service at its addresses."""
    store = token_store(path, service)
    key = (store.location, service.name, service.origin)
    with _shared_mutex:
        if key not in _shared:
            _shared[key] = Credentials(store, service, renew=renewer(store, service))
        return _shared[key]


def renewer(store: TokenStore, service: Service) -> Renewer:
    """Return what renews in a process of its own, which Ctrl-C does not reach."""

    def renew(order: Order) -> Renewed:
        from .detached import Detached  # mounting does without it

        return Detached(store.location, service, otherwise=InThread(Renewal(store, service)))(order)

    return renew
