"""Staying signed in: a token for every call, one refresh at a time, another token after a 401.

When a refresh is due is decided here; ``renewal`` carries it out, where neither a cancelled task nor a
closing event loop can interrupt it. It may take minutes, while those who wait for it get a retryable error.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from amplifier_core.llm_errors import LLMError

from ..secret import Secret
from .binding import bound, read_bound
from .failures import Reason, RefreshRefusedError, SignInError, kernel_error, signed_out, translated
from .judgement import Judgement
from .renewal import Order, Renewal, StoreChangedError, locked, now, queued
from .single_flight import InThread, SingleFlight, in_thread
from .store import StoreError, Unusable
from .tokens import Tokens
from .waiting import ANNOUNCE_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from datetime import datetime

    from ..services import Service
    from .renewal import Renewer
    from .store import TokenStore

Status = Literal["authenticated", "expired", "unauthenticated"]

# Seconds.
PATIENCE = 30.0
_DECISIONS = 3

logger = logging.getLogger(__name__)


class Credentials:
    """One sign-in, for everything in this process that uses its store.

    Safe to use from many tasks, event loops and threads at a time. The store is the truth: a sign-in, a
    sign-out or another account is noticed with the next call. Only ``tokens`` given here take precedence,
    while they are usable.

    A token is *usable* until it expires, and for ``PAUSE`` after it was renewed, in case the clock is wrong
    (``judgement`` has the figures and the predicates).
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
        self._judgement = Judgement(clock)
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
        if self._judgement.is_fresh(tokens):
            return tokens
        try:
            return await self._shared_refresh()
        except LLMError as error:
            tokens = self.peek()
            if tokens is None or not self._judgement.is_usable(tokens):
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
        if memory is not None and self._judgement.is_usable(memory):
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
        if self._judgement.is_usable(tokens) or self._judgement.can_refresh(tokens):
            return "authenticated"
        return "expired"

    async def ensure_writable(self) -> None:
        """Check that a sign-in can be stored, before a person takes the trouble to approve one.

        Raises ConfigurationError if it cannot.
        """
        with translated():
            await in_thread(self._check_writable)

    async def sign_in(self, tokens: Tokens) -> Tokens:
        """Store a new sign-in of this service, use it and return what was stored.

        Keys of other programs stay. Raises ConfigurationError if it cannot be stored.
        """
        with translated():
            return await in_thread(lambda: self._replace(tokens))

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
            return await in_thread(self._delete)

    async def _revoke(self, tokens: Tokens) -> bool:
        from . import oauth

        return await oauth.revoke_alone(self.service.issuer, tokens)

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
        """Return the failure that only a person can end."""
        return signed_out(self.problem(), because)

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
            with translated(), queued(self._store, self._patience, self._announce_after):
                for _ in range(_DECISIONS):
                    with contextlib.suppress(StoreChangedError):
                        return self._renewed(refused, began)
                raise SignInError(Reason.RENEWAL_TIMEOUT)
        finally:
            self._judgement.pause()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        waits = (self._store, self._patience, self._announce_after)
        with queued(*waits), locked(*waits):
            yield

    def _renewed(self, refused: tuple[Secret[str], ...], began: float) -> Tokens:
        """Adopt a token that satisfies, else refresh one. First in the queue, waited for since ``began``."""
        stored = self._load()
        for tokens in (self._memory, stored):
            if tokens is not None and self._judgement.satisfies(tokens, refused):
                return self._adopt(tokens) if tokens is stored else tokens
        self._check_refused(refused, self._memory or stored)
        if self._store.failed_since(began):
            raise SignInError(Reason.RENEWAL_FAILED_JUST_NOW)
        for tokens in self._refreshable(stored):
            try:
                return self._refresh(tokens, stored)
            except RefreshRefusedError as refusal:
                self._judgement.note_refusal(tokens, str(refusal))
                winner = self._load()
                if (
                    winner is not None
                    and not winner.is_same(tokens)
                    and self._judgement.satisfies(winner, refused)
                ):
                    return self._adopt(winner)
        self._judgement.reject(refused)
        last = stored or self._memory
        reason = self._judgement.why_refused(last) if last is not None else ""
        raise self._signed_out(f"The stored sign-in cannot be renewed: {reason}." if reason else "")

    def _check_refused(self, refused: tuple[Secret[str], ...], last: Tokens | None) -> None:
        """Raise if renewing again cannot help: the backend refuses even what was renewed just now."""
        if last is None:
            return
        self._judgement.hear(refused, last)
        if self._judgement.is_condemned(last):
            raise self._signed_out("The backend refuses even the token that was renewed just now.")

    def _adopt(self, stored: Tokens) -> Tokens:
        """Use what is stored, in the place of what memory holds."""
        self._memory = None
        return stored

    def _refreshable(self, stored: Tokens | None) -> list[Tokens]:
        """Return the sign-ins that may be refreshed, memory's first."""
        both = [tokens for tokens in (self._memory, stored) if tokens is not None]
        by_token = {tokens.refresh_token: tokens for tokens in both if self._judgement.can_refresh(tokens)}
        return list(by_token.values())

    def _refresh(self, tokens: Tokens, stored: Tokens | None) -> Tokens:
        """Have a refresh token sent and its successor kept."""
        renewed = self._renew(Order(tokens, stored, self._patience, self._announce_after))
        if renewed.problem:
            logger.warning("%s The renewed sign-in is kept in memory only.", renewed.problem)
        self._memory = None if renewed.is_settled else renewed.tokens
        if renewed.tokens.access_token == tokens.access_token:
            raise SignInError(Reason.UNREADABLE, what="the renewed tokens")
        self._judgement.note_renewal(tokens, renewed.tokens)
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
            self._judgement.forget()
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
