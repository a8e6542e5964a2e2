"""One renewal of a connected account as a transaction: no token is spent without its successor on disk."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...http import new_client
from ...secret import Secret
from .. import issuer
from ..failure_note import REMEMBERED, SLOW
from ..failures import Reason, RefreshRefusedError, SignInError, kernel_error
from ..store import StoreError, Unusable
from . import grants
from .credential import Grant, PlanCredential
from .discovery import Endpoints, discover
from .failures import PlanError, Problem, not_used
from .identity import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from amplifier_core.llm_errors import LLMError

    from ...services import PlanSignIn
    from .file import PlanFile

    Renewer = Callable[["Order"], "Outcome"]

Refused = tuple[Secret[str], ...]

# Seconds.
_CONNECT_LIMIT = 10.0
# An answer that comes late still holds the only valid tokens.
_LIMIT = 300.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A credential that could not be stored: the file still has the refresh token ``spent``."""

    spent: Secret[str]
    credential: PlanCredential


@dataclass(frozen=True, slots=True)
class Order:
    """A renewal that was asked for at ``asked``, in Unix seconds.

    ``refused`` are access tokens to which the API answered 401.
    """

    refused: Refused = ()
    unsaved: Unsaved | None = None
    asked: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A credential that may be used; ``unsaved`` is what memory has to keep."""

    credential: PlanCredential
    unsaved: Unsaved | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The kernel error of a renewal; ``unsaved`` is what memory has to keep.

    ``is_passing``: it says nothing about the sign-in, whose old token may still be used.
    """

    error: LLMError
    is_passing: bool
    unsaved: Unsaved | None = None


Outcome = Renewed | Failed


def newest(found: PlanCredential, unsaved: Unsaved | None) -> PlanCredential:
    """Return the credential that could not be stored, if what was found is its predecessor."""
    return unsaved.credential if unsaved is not None and unsaved.spent == found.refresh_token else found


def connected(found: PlanCredential | Unusable | None, unsaved: Unsaved | None = None) -> PlanCredential:
    """Return what is stored, or its successor that could not be, if it may be used.

    Raises PlanError and StoreError.
    """
    if isinstance(found, Unusable):
        raise not_used(found)
    known = found and newest(found, unsaved)
    if known is None or not known.is_connected:
        raise PlanError(Problem.SIGNED_OUT)
    if not known.uses_plan:
        raise PlanError(Problem.NO_PLAN_USE)
    return known


class PlanRenewal:
    """Renews in the thread that calls it, under the file's lock."""

    def __init__(
        self,
        file: PlanFile,
        service: PlanSignIn,
        *,
        clock: Callable[[], float] = time.time,
        slow: float = SLOW,
    ) -> None:
        """``slow``: a renewal that fails after that many seconds is remembered."""
        self._file, self._service, self._clock, self._slow = file, service, clock, slow

    def __call__(self, order: Order) -> Outcome:
        """Renew, unless another process did or failed to since the order was given."""
        transaction = _Transaction(self._file, self._service, self._clock, order.unsaved)
        try:
            with self._file.lock():
                credential = self._carried_out(transaction, order)
        except (SignInError, StoreError) as failure:
            error = kernel_error(failure)
            error.__cause__ = failure
            return Failed(error, _is_passing(failure), transaction.unsaved)
        return Renewed(credential, transaction.unsaved)

    def _carried_out(self, transaction: _Transaction, order: Order) -> PlanCredential:
        found = connected(self._file.read(), order.unsaved)
        if found.is_fresh(self._clock()) and found.access_token not in order.refused:
            return found
        if self._file.failure.is_newer_than(order.asked):
            raise SignInError(Reason.RENEWAL_FAILED_JUST_NOW)
        began = time.monotonic()
        try:
            return asyncio.run(transaction(found, order.refused))
        except SignInError as failure:
            if _is_passing(failure):
                self._file.failure.leave(REMEMBERED if time.monotonic() - began >= self._slow else 0)
            raise


class _Transaction:
    """The steps of one renewal; ``unsaved`` is what could not be stored in one of them."""

    def __init__(
        self, file: PlanFile, service: PlanSignIn, clock: Callable[[], float], unsaved: Unsaved | None
    ) -> None:
        self.unsaved = unsaved
        self._file, self._service, self._clock = file, service, clock

    async def __call__(self, found: PlanCredential, refused: Refused) -> PlanCredential:
        """Verify what is pending, then spend the refresh token if that was not enough."""
        try:
            async with (
                asyncio.timeout(_LIMIT),
                new_client(connect=_CONNECT_LIMIT, silence=_LIMIT) as client,
            ):
                at = await discover(client, self._service)
                found = await self._settled_or_late(client, at, found)
                if not found.is_fresh(self._clock()) or found.access_token in refused:
                    found = await self._settled(client, at, await self._spent(client, at, found))
        except TimeoutError as error:
            raise SignInError(Reason.RENEWAL_TIMEOUT) from error
        if not found.is_valid(self._clock()) or found.access_token in refused:
            raise issuer.unreadable("the renewed tokens")
        return connected(found)

    async def _settled_or_late(
        self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential
    ) -> PlanCredential:
        """Verify pending tokens; those that expired while they waited stay, to be renewed again."""
        try:
            return await self._settled(client, at, found)
        except PlanError as failure:
            if failure.problem is not Problem.CLOCK or not found.is_pending_over(self._clock()):
                raise
            return found

    async def _spent(self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential) -> PlanCredential:
        """Spend the newest refresh token; its successor is stored as pending."""
        token = found.newest_refresh_token
        if not token:
            raise PlanError(Problem.SIGNED_OUT, because=" The stored sign-in cannot be renewed.")
        if self.unsaved is None:
            self._file.rehearse()
        try:
            reply = await grants.refresh(client, at, self._service, found.client_id, token)
        except RefreshRefusedError as refusal:
            self._save(found.without_tokens(), found.refresh_token)
            because = f" The stored sign-in cannot be renewed: {refusal}."
            raise PlanError(Problem.SIGNED_OUT, because=because) from refusal
        renewed = found.with_pending(Grant.from_reply(reply.reveal(), self._clock()))
        self._save(renewed, found.refresh_token)
        return renewed

    async def _settled(
        self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential
    ) -> PlanCredential:
        """Verify pending tokens and make them current. Raises PlanError; if transient, they stay."""
        if found.pending is None:
            return found
        identity, token = None, found.pending.id_token
        if token:
            expected = Expected(issuer=at.issuer, client_id=found.client_id, subject=found.subject)
            try:
                identity = await grants.identify(client, at, token, expected, self._clock())
            except PlanError as failure:
                if failure.problem in {Problem.UNTRUSTED, Problem.OTHER_ACCOUNT}:
                    self._save(found.without_tokens(), found.refresh_token)
                raise
        settled = found.settled(found.pending, identity)
        self._save(settled, found.refresh_token)
        return settled

    def _save(self, credential: PlanCredential, spent: Secret[str]) -> None:
        """Store a credential; if that fails it is kept in memory, because its predecessor is spent."""
        try:
            self._file.save(credential)
        except StoreError as error:
            logger.warning("%s The renewed sign-in is kept in memory only.", error)
            self.unsaved = Unsaved(self.unsaved.spent if self.unsaved else spent, credential)
        else:
            self.unsaved = None


def _is_passing(failure: SignInError | StoreError) -> bool:
    """True for a failure that says nothing about the sign-in: it is transient, or the clock is wrong."""
    is_clock = isinstance(failure, PlanError) and failure.problem is Problem.CLOCK
    return is_clock or (isinstance(failure, SignInError) and failure.rule.retryable)
