"""One renewal as a transaction: a refresh token works once, so its successor is stored before it is used.

Under the lock that all processes share, the store is read again, the token is sent and its successor is
written. The transaction may take minutes, and must not be interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .binding import read_bound
from .failure_note import REMEMBERED, SLOW
from .failures import Reason, SignInError
from .store import StoreError
from .tokens import Tokens
from .waiting import ANNOUNCE_AFTER, OTHER_PROCESS, announced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ..services import Service
    from .store import TokenStore

    Renewer = Callable[["Order"], "Renewed"]


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Order:
    """Which tokens to renew, as long as the store still holds ``stored``; None: nothing that can be used.

    ``patience``: how long to wait for the lock, in seconds, and ``announce_after`` how long in silence.
    """

    tokens: Tokens
    stored: Tokens | None
    patience: float
    announce_after: float = ANNOUNCE_AFTER

    @property
    def is_of_store(self) -> bool:
        """True if the tokens to renew are those that are stored."""
        return self.tokens.is_same(self.stored)


@dataclass(frozen=True, slots=True)
class Renewed:
    """The renewed tokens. ``is_settled``: the store has them, or a sign-in that is used instead.

    ``problem``: why they could not be stored. Their predecessor is spent, so memory must keep them then.
    """

    tokens: Tokens
    is_settled: bool
    problem: str = ""


class StoreChangedError(Exception):
    """The store no longer holds what it held when the renewal was decided; nothing was sent."""


class Renewal:
    """Renews in the thread that calls it.

    Raises SignInError, RefreshRefusedError, StoreError and StoreChangedError.
    """

    def __init__(
        self,
        store: TokenStore,
        service: Service,
        *,
        clock: Callable[[], datetime] = now,
        limit: float | None = None,
        slow: float = SLOW,
    ) -> None:
        """``limit``: for the whole request; ``slow``: a failure after that is remembered. In seconds."""
        self._store = store
        self._service = service
        self._clock = clock
        self._limit = limit
        self._slow = slow

    def __call__(self, order: Order) -> Renewed:
        """Do all of it."""
        with locked(self._store, order.patience, order.announce_after):
            self._check_unchanged(order.stored)
            if order.is_of_store:
                self._store.rehearse()
            began = time.monotonic()
            try:
                return self._renewed(order)
            except SignInError:
                was_slow = time.monotonic() - began >= self._slow
                self._store.note_failure(REMEMBERED if was_slow else 0)
                raise

    def _renewed(self, order: Order) -> Renewed:
        from . import oauth

        tokens = order.tokens
        limit = self._limit or oauth.REFRESH_LIMIT
        reply = asyncio.run(oauth.refresh_alone(self._service.issuer, tokens.refresh_token, limit))
        renewed = Tokens.from_reply(reply.reveal(), now=self._clock(), previous=tokens)
        if order.stored is not None and self._store.stamp() is None:
            raise SignInError(Reason.SIGNED_OUT, because=" Another process signed out during the renewal.")
        if self._was_replaced(order):
            return Renewed(renewed, is_settled=order.is_of_store)
        try:
            self._store.save(renewed)
        except StoreError as error:
            return Renewed(renewed, is_settled=False, problem=str(error))
        return Renewed(renewed, is_settled=True)

    def _load(self) -> Tokens | None:
        found = read_bound(self._store, self._service)
        return found if isinstance(found, Tokens) else None

    def _check_unchanged(self, stored: Tokens | None) -> None:
        found = self._load()
        if found is not stored and not (found is not None and found.is_same(stored)):
            raise StoreChangedError

    def _was_replaced(self, order: Order) -> bool:
        """True if the store is another account's, or was written meanwhile by a program without a lock."""
        found = self._load()
        if found is None:
            return False
        is_anothers = not order.is_of_store and found.account_id != order.tokens.account_id
        return not found.is_same(order.stored) or is_anothers


def locked(
    store: TokenStore, patience: float, announce_after: float = ANNOUNCE_AFTER
) -> AbstractContextManager[None]:
    """Hold the store's lock. Raises SignInError, LOCKED, after ``patience`` seconds."""
    return _held(store.lock, patience, announce_after)


def queued(store: TokenStore, patience: float, announce_after: float) -> AbstractContextManager[None]:
    """Be the first in the store's queue. Raises as ``locked`` does."""
    return _held(store.queue, patience, announce_after)


@contextlib.contextmanager
def _held(
    hold: Callable[[float], AbstractContextManager[None]], patience: float, announce_after: float
) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            with announced(OTHER_PROCESS, announce_after):
                stack.enter_context(hold(patience))
        except TimeoutError as error:
            raise SignInError(Reason.LOCKED, seconds=f"{patience:g}") from error
        yield
