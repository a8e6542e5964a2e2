"""The life of a connected account: when its tokens are used, renewed and given up."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from ...http import new_client
from ...secret import Secret
from .. import issuer
from ..failure_note import REMEMBERED, SLOW
from ..failures import Reason, RefreshRefusedError, SignInError, translated
from ..single_flight import SingleFlight, started
from ..store import StoreError, Unusable
from . import grants
from .credential import Grant, PlanCredential
from .discovery import Endpoints, discover
from .failures import PlanError, Problem, not_used
from .identity import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from ...services import PlanSignIn
    from .file import PlanFile

# Seconds that a caller waits for a renewal; it goes on without them.
PATIENCE = 30.0
# Seconds without another attempt after a renewal failed while the old token is valid.
PAUSE = 30.0
# Seconds without another renewal after the API refused a token that was renewed in the same call.
VERDICT = 300.0
_CONNECT_LIMIT = 10.0
# An answer that comes late still holds the only valid tokens.
_RENEWAL_LIMIT = 300.0
_REVOCATION_LIMIT = 15.0

logger = logging.getLogger(__name__)

Refused = tuple[Secret[str], ...]


class PlanConnection:
    """One connected account, for every task, event loop and thread of this process.

    * Without permission to use the plan, nothing is used.
    * Tokens are used until three minutes before they expire, and not renewed before the issuer allows it,
      unless the API refused them.
    * One renewal runs at a time, in this process and on this machine; what another one stored is used, and
      its failure is not repeated by those who waited for it.
    * Renewed tokens are stored as pending before their id token is verified. Pending tokens are verified
      first, and no other refresh token is spent meanwhile, unless their id token expired while it waited.
    * While a renewal fails for a transient reason or a wrong clock, a token that is still valid is used.
    * A token that the API refused is renewed once. If it refuses the renewed one too, a person must sign in,
      and for ``VERDICT`` no call renews that one.
    * A dead refresh token, a forged id token and another person end the sign-in, in the file, so for every
      process; the registration stays.
    """

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
        self._flight = SingleFlight(self._run_renewal, name="plan-token-refresh")
        # Renewed tokens that could not be stored, with the spent refresh token. Under the file's lock.
        self._unsaved: tuple[Secret[str], PlanCredential] | None = None
        # These are written by any thread without a lock: a lost value costs one attempt.
        # Monotonic time.
        self._paused_until = 0.0
        # The access tokens before and after the last renewal that a refused token caused.
        self._replaced: Refused = ()
        # A renewed access token that the API refuses, and until when (monotonic) this holds.
        self._verdict: tuple[Secret[str], float] | None = None

    async def current(self, *refused: Secret[str]) -> PlanCredential:
        """Return a credential that may be used.

        ``refused`` are the access tokens to which the API answered 401 in this call, the last one just now.
        Raises kernel errors.
        """
        with translated():
            found = self._connected(self._file.read())
            if self._is_usable(found, refused):
                return found
            self._judge(found, refused)
            try:
                return await self._flight.result(refused, PATIENCE)
            except TimeoutError as error:
                raise SignInError(Reason.RENEWAL_TIMEOUT) from error

    def newest(self, found: PlanCredential) -> PlanCredential:
        """Return the tokens that could not be stored, if what was ``found`` is their predecessor."""
        unsaved = self._unsaved
        return unsaved[1] if unsaved is not None and unsaved[0] == found.refresh_token else found

    async def sign_out(self) -> bool:
        """Forget the tokens; returns whether the issuer confirmed their revocation. Raises kernel errors."""
        with translated():
            return await asyncio.to_thread(self._sign_out)

    async def remove_unusable(self) -> bool:
        """Delete what is stored but not used; returns whether a sign-in was found in it and revoked.

        A registration in it is kept. Raises kernel errors.
        """
        with translated():
            return await asyncio.to_thread(self._remove_unusable)

    # The cases of the class docstring.

    def _is_usable(self, found: PlanCredential, refused: Refused) -> bool:
        if found.access_token in refused:
            return False
        now = self._clock()
        is_fresh = not found.is_due(now) and found.pending is None
        return is_fresh or (time.monotonic() < self._paused_until and found.is_valid(now))

    def _may_still_be_used(self, found: PlanCredential, refused: Refused) -> bool:
        return found.is_valid(self._clock()) and found.access_token not in refused

    def _judge(self, found: PlanCredential, refused: Refused) -> None:
        """Raise PlanError if renewing again cannot help: the API refuses even what was renewed just now."""
        if len(refused) > 1 and refused[-2:] == self._replaced:
            self._verdict = (refused[-1], time.monotonic() + VERDICT)
        verdict = self._verdict
        if verdict is not None and verdict[0] == found.access_token and time.monotonic() < verdict[1]:
            because = " Even the token that was just renewed is no longer accepted."
            raise PlanError(Problem.SIGNED_OUT, because=because)

    def _connected(self, found: PlanCredential | Unusable | None) -> PlanCredential:
        """Return what is stored, or newer tokens that could not be. Raises PlanError and StoreError."""
        if isinstance(found, Unusable):
            raise not_used(found)
        newest = None if found is None else self.newest(found)
        if newest is None or not newest.is_connected:
            raise PlanError(Problem.SIGNED_OUT)
        if not newest.uses_plan:
            raise PlanError(Problem.NO_PLAN_USE)
        return newest

    # Renewing; runs in a thread of its own.

    def _run_renewal(self, refused: Refused) -> PlanCredential:
        """Renew in a thread that the interpreter waits for: a spent token's successor must be stored."""
        return started(lambda: self._renew(refused), name="plan-token-renewal", daemon=False).result()

    def _renew(self, refused: Refused) -> PlanCredential:
        asked = time.time()
        with self._file.lock():
            found = self._connected(self._file.read())
            if self._is_usable(found, refused):
                return found
            try:
                renewed = self._transacted(found, refused, asked)
            except SignInError as failure:
                if not _is_passing(failure):
                    raise
                # A renewal may have got as far as tokens that can be used.
                found = self._connected(self._file.read())
                if not self._may_still_be_used(found, refused):
                    raise
                self._paused_until = time.monotonic() + PAUSE
                return found
            if refused:
                self._replaced = (refused[-1], renewed.access_token)
            return renewed

    def _transacted(self, found: PlanCredential, refused: Refused, asked: float) -> PlanCredential:
        """Renew; a transient failure is noted for those who wait, as this renewal has since ``asked``."""
        if self._file.failure.is_newer_than(asked):
            raise SignInError(Reason.RENEWAL_FAILED_JUST_NOW)
        began = time.monotonic()
        try:
            return asyncio.run(self._renewed(found, refused))
        except SignInError as failure:
            if _is_passing(failure):
                self._file.failure.leave(REMEMBERED if time.monotonic() - began >= self._slow else 0)
            raise

    async def _renewed(self, found: PlanCredential, refused: Refused) -> PlanCredential:
        try:
            async with asyncio.timeout(_RENEWAL_LIMIT), _client(_RENEWAL_LIMIT) as client:
                at = await discover(client, self._service)
                found = await self._settled_or_late(client, at, found)
                if found.pending is not None or not self._is_usable(found, refused):
                    found = await self._settled(client, at, await self._spent(client, at, found))
        except TimeoutError as error:
            raise SignInError(Reason.RENEWAL_TIMEOUT) from error
        if not self._may_still_be_used(found, refused):
            raise issuer.unreadable("the renewed tokens")
        return self._connected(found)

    async def _settled_or_late(
        self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential
    ) -> PlanCredential:
        """Verify pending tokens; those whose id token expired while it waited stay, to be renewed again."""
        try:
            return await self._settled(client, at, found)
        except PlanError as failure:
            if failure.problem is not Problem.CLOCK:
                raise
            return found

    async def _spent(self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential) -> PlanCredential:
        """Spend the newest refresh token; its successor is stored as pending."""
        token = found.newest_refresh_token
        if not token:
            raise PlanError(Problem.SIGNED_OUT, because=" The stored sign-in cannot be renewed.")
        if self._unsaved is None:
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
            stored = self._unsaved[0] if self._unsaved else spent
            self._unsaved = (stored, credential)
        else:
            self._unsaved = None

    # Signing out; runs in a thread of its own.

    def _sign_out(self) -> bool:
        with self._file.lock():
            found = self._file.read()
            if isinstance(found, Unusable):
                raise not_used(found)
            if found is None or not found.is_connected:
                return True
            found = self.newest(found)
            confirmed = self._revoked(found)
            self._file.save(found.without_tokens())
            self._unsaved = None
            return confirmed

    def _remove_unusable(self) -> bool:
        with self._file.lock():
            found = self._file.salvage()
            self._file.delete_unusable()
            if found is None:
                return False
            if found.client_id:
                self._file.save_registration(found.without_tokens())
            return bool(found.newest_refresh_token) and self._revoked(found)

    def _revoked(self, found: PlanCredential) -> bool:
        """Have the newest tokens revoked; True if that was confirmed, or if there is nothing to revoke."""
        token = found.newest_refresh_token
        return asyncio.run(self._revocation(found.client_id, token)) if token else True

    async def _revocation(self, client_id: Secret[str], token: Secret[str]) -> bool:
        try:
            async with asyncio.timeout(_REVOCATION_LIMIT), _client(_REVOCATION_LIMIT) as client:
                at = await discover(client, self._service)
                return await grants.revoke(client, at, client_id, token)
        except (TimeoutError, SignInError):
            return False


def _is_passing(failure: SignInError) -> bool:
    """True for a failure that says nothing about the sign-in: it is transient, or the clock is wrong."""
    return failure.rule.retryable or (isinstance(failure, PlanError) and failure.problem is Problem.CLOCK)


def _client(limit: float) -> httpx.AsyncClient:
    return new_client(connect=min(limit, _CONNECT_LIMIT), silence=limit)
