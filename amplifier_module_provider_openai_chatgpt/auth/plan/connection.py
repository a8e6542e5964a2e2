"""The life of a connected account: when its tokens are used, renewed and given up."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from ...http import new_client
from ...secret import Secret
from .. import issuer
from ..failures import Reason, RefreshRefusedError, SignInError, translated
from ..single_flight import SingleFlight, started
from ..store import StoreError, Unusable
from . import grants
from .credential import Grant, PlanCredential
from .discovery import Endpoints, discover
from .failures import PlanError, Problem
from .host import host_id
from .identity import Expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from ...services import PlanSignIn
    from .file import PlanFile

# Seconds that a caller waits for a renewal; it goes on without them.
PATIENCE = 30.0
# Seconds without another attempt after a renewal failed while the old token is valid.
PAUSE = 30.0
_CONNECT_LIMIT = 10.0
# An answer that comes late still holds the only valid tokens.
_RENEWAL_LIMIT = 300.0
_REVOCATION_LIMIT = 15.0

_NONE = Secret("")

logger = logging.getLogger(__name__)


class PlanConnection:
    """One connected account, for every task, event loop and thread of this process.

    * Without permission to use the plan, nothing is used.
    * Tokens are used until three minutes before they expire, and not renewed before the issuer allows it,
      unless the API refused them.
    * One renewal runs at a time, in this process and on this machine; what another one stored is used.
    * Renewed tokens are stored as pending before their id token is verified. Pending tokens are verified
      first, and no other refresh token is spent meanwhile.
    * While a renewal fails for a transient reason, a token that is still valid is used.
    * A dead refresh token, a forged id token and another person end the sign-in; the registration stays.
    """

    def __init__(
        self, file: PlanFile, service: PlanSignIn, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._file, self._service, self._clock = file, service, clock
        self._flight = SingleFlight(self._run_renewal, name="plan-token-refresh")
        # Renewed tokens that could not be stored, with the spent refresh token. Under the file's lock.
        self._unsaved: tuple[Secret[str], PlanCredential] | None = None
        # Written by any thread without a lock: a lost value costs one attempt.
        self._paused_until = 0.0

    async def current(self, refused: Secret[str] = _NONE) -> PlanCredential:
        """Return a credential that may be used; ``refused`` is an access token that the API answered 401 to.

        Raises kernel errors.
        """
        with translated():
            found = self._connected(self._file.read())
            if self._is_usable(found, refused):
                return found
            try:
                return await self._flight.result(refused, PATIENCE)
            except TimeoutError as error:
                raise SignInError(Reason.RENEWAL_TIMEOUT) from error

    async def sign_out(self) -> bool:
        """Forget the tokens; returns whether the issuer confirmed their revocation. Raises kernel errors."""
        with translated():
            return await asyncio.to_thread(self._sign_out)

    def _is_usable(self, found: PlanCredential, refused: Secret[str]) -> bool:
        now = self._clock()
        if found.access_token == refused:
            return False
        is_fresh = not found.is_due(now) and found.pending is None
        return is_fresh or (now < self._paused_until and found.is_valid(now))

    def _may_still_be_used(self, found: PlanCredential, refused: Secret[str]) -> bool:
        return found.is_valid(self._clock()) and found.access_token != refused

    def _connected(self, found: PlanCredential | Unusable | None) -> PlanCredential:
        """Return what is stored, with the tokens that could not be. Raises PlanError."""
        if isinstance(found, Unusable):
            raise PlanError(Problem.NOT_USED, why=found.text)
        if found is None or not found.is_connected:
            raise PlanError(Problem.SIGNED_OUT)
        found = self._newest(found)
        if not found.uses_plan:
            raise PlanError(Problem.NO_PLAN_USE)
        return found

    def _newest(self, found: PlanCredential) -> PlanCredential:
        """Return the tokens that could not be stored, if what is stored is their predecessor."""
        if self._unsaved is not None and self._unsaved[0] == found.refresh_token:
            return self._unsaved[1]
        return found

    # Renewing; runs in a thread of its own.

    def _run_renewal(self, refused: Secret[str]) -> PlanCredential:
        """Renew in a thread that the interpreter waits for: a spent token's successor must be stored."""
        return started(lambda: self._renew(refused), name="plan-token-renewal", daemon=False).result()

    def _renew(self, refused: Secret[str]) -> PlanCredential:
        with self._file.lock():
            found = self._connected(self._file.read())
            if self._is_usable(found, refused):
                return found
            return asyncio.run(self._renewed(found, refused))

    async def _renewed(self, found: PlanCredential, refused: Secret[str]) -> PlanCredential:
        try:
            async with asyncio.timeout(_RENEWAL_LIMIT), _client(_RENEWAL_LIMIT) as client:
                at = await discover(client, self._service)
                found = await self._settled(client, at, found)
                if not self._is_usable(found, refused):
                    found = await self._settled(client, at, await self._spent(client, at, found))
        except TimeoutError as error:
            raise SignInError(Reason.RENEWAL_TIMEOUT) from error
        except SignInError as failure:
            if failure.rule.retryable and self._may_still_be_used(found, refused):
                self._paused_until = self._clock() + PAUSE
                return found
            raise
        if not self._may_still_be_used(found, refused):
            raise issuer.unreadable("the renewed tokens")
        return self._connected(found)

    async def _spent(self, client: httpx.AsyncClient, at: Endpoints, found: PlanCredential) -> PlanCredential:
        """Spend the refresh token; its successor is stored as pending."""
        if not found.refresh_token:
            raise PlanError(Problem.SIGNED_OUT, because=" The stored sign-in cannot be renewed.")
        if self._unsaved is None:
            self._file.rehearse()
        try:
            reply = await grants.refresh(client, at, self._service, found.client_id, found.refresh_token)
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
                identity = await grants.identify(client, at, token, expected)
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
                raise PlanError(Problem.NOT_USED, why=found.text)
            if found is None or not found.is_connected:
                return True
            found = self._newest(found)
            token = (found.pending or found).refresh_token or found.refresh_token
            confirmed = asyncio.run(self._revoked(found.client_id, token)) if token else True
            self._file.save(found.without_tokens())
            self._unsaved = None
            return confirmed

    async def _revoked(self, client_id: str, token: Secret[str]) -> bool:
        try:
            async with asyncio.timeout(_REVOCATION_LIMIT), _client(_REVOCATION_LIMIT) as client:
                at = await discover(client, self._service)
                return await grants.revoke(client, at, client_id, token)
        except (TimeoutError, SignInError):
            return False


async def imported(
    service: PlanSignIn, source: PlanFile, file: PlanFile, host_file: Path | None = None
) -> PlanCredential:
    """Store a credential that was carried from another machine; this one keeps its own host id.

    Only one of the two may renew it from then on. Raises kernel errors.
    """
    with translated():
        carried = source.read()
        if isinstance(carried, Unusable):
            raise PlanError(Problem.NOT_USED, why=carried.text)
        if carried is None or not carried.is_connected:
            raise PlanError(Problem.SIGNED_OUT, because=f" There is no sign-in in {source.path}.")
        await _verified(service, carried)
        return await asyncio.to_thread(_import, carried, file, host_file or file.default_host_file)


async def _verified(service: PlanSignIn, carried: PlanCredential) -> None:
    """Check that the id token is the issuer's and about the stored person; it may have expired."""
    async with _client(_REVOCATION_LIMIT) as client:
        at = await discover(client, service)
        expected = Expected(
            issuer=at.issuer, client_id=carried.client_id, subject=carried.subject, may_be_expired=True
        )
        await grants.identify(client, at, carried.id_token, expected)


def _import(carried: PlanCredential, file: PlanFile, host_file: Path) -> PlanCredential:
    from dataclasses import replace

    own = replace(carried, host_id=host_id(host_file))
    with file.lock():
        found = file.read()
        known = found.subject if isinstance(found, PlanCredential) else _NONE
        if known and known != carried.subject:
            raise PlanError(Problem.OTHER_ACCOUNT)
        file.save(own)
    return own


def _client(limit: float) -> httpx.AsyncClient:
    return new_client(connect=min(limit, _CONNECT_LIMIT), silence=limit)
