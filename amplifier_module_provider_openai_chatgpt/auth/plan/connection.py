"""The life of a connected account: when its tokens are used, renewed and given up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ...http import new_client
from ..failures import Reason, SignInError, translated
from ..single_flight import InThread, SingleFlight
from ..store import Unusable
from . import grants
from .credential import PlanCredential
from .discovery import discover
from .failures import PlanError, Problem, not_used
from .renewal import Failed, Order, PlanRenewal, Refused, Renewed, connected, newest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...secret import Secret
    from ...services import PlanSignIn
    from .file import PlanFile
    from .renewal import Renewer, Unsaved

# Seconds that a caller waits for a renewal; it goes on without them.
PATIENCE = 30.0
# Seconds without another attempt after a renewal failed while the old token is valid.
PAUSE = 30.0
# Seconds without another renewal after the API refused a token that was renewed in the same call.
VERDICT = 300.0
_CONNECT_LIMIT = 10.0
_REVOCATION_LIMIT = 15.0


class PlanConnection:
    """One connected account, for every task, event loop and thread of this process.

    * Without permission to use the plan, nothing is used.
    * Tokens are used until three minutes before they expire, and not renewed before the issuer allows it,
      unless the API refused them.
    * One renewal runs at a time, in this process and on this machine; what another one stored is used, and
      its failure is not repeated by those who waited for it.
    * Renewed tokens are stored as pending before their id token is verified. Pending tokens are verified
      first, and no other refresh token is spent meanwhile, unless they expired while they waited.
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
        renew: Renewer | None = None,
    ) -> None:
        """``renew`` carries a renewal out; by default a thread of this process does."""
        self._file, self._service, self._clock = file, service, clock
        self._renew = renew or InThread(PlanRenewal(file, service, clock=clock))
        self._flight = SingleFlight(self._run_renewal, name="plan-token-refresh")
        # A renewed credential that could not be stored. Written by who is first in the file's queue.
        self._unsaved: Unsaved | None = None
        # What was renewed last. Kept, so its tokens still count as secrets: they are valid for some minutes.
        self._before: PlanCredential | None = None
        # These are written by any thread without a lock: a lost value costs one attempt.
        # A stamp of the file, and what was read then.
        self._seen: tuple[object, PlanCredential | Unusable | None] = (None, None)
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
            found = connected(self._stored(), self._unsaved)
            if self._is_usable(found, refused):
                return found
            self._judge(found, refused)
            try:
                return await self._flight.result(refused, PATIENCE)
            except TimeoutError as error:
                raise SignInError(Reason.RENEWAL_TIMEOUT) from error

    def stored(self) -> PlanCredential | Unusable | None:
        """Return what is stored, or its successor that could not be; else why it is not used. Offline."""
        found = self._stored()
        return newest(found, self._unsaved) if isinstance(found, PlanCredential) else found

    def _stored(self) -> PlanCredential | Unusable | None:
        """Return what the file holds, read again only when it changed."""
        stamp, (seen, found) = self._file.stamp(), self._seen
        if stamp != seen:
            found = self._file.read()
            self._seen = (stamp, found)
        return found

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
        return found.is_fresh(now) or (time.monotonic() < self._paused_until and found.is_valid(now))

    def _judge(self, found: PlanCredential, refused: Refused) -> None:
        """Raise PlanError if renewing again cannot help: the API refuses even what was renewed just now."""
        if len(refused) > 1 and refused[-2:] == self._replaced:
            self._verdict = (refused[-1], time.monotonic() + VERDICT)
        verdict = self._verdict
        if verdict is not None and verdict[0] == found.access_token and time.monotonic() < verdict[1]:
            because = " Even the token that was just renewed is no longer accepted."
            raise PlanError(Problem.SIGNED_OUT, because=because)

    # Renewing; runs in a thread of its own.

    def _run_renewal(self, refused: Refused) -> PlanCredential:
        asked = time.time()
        with translated(), self._file.queue():
            found = connected(self._file.read(), self._unsaved)
            if self._is_usable(found, refused):
                return found
            self._before = found
            outcome = self._renew(Order(refused, self._unsaved, asked))
            self._unsaved = outcome.unsaved
            if isinstance(outcome, Renewed):
                self._replaced = (refused[-1], outcome.credential.access_token) if refused else ()
                return outcome.credential
            return self._old_token(outcome, refused)

    def _old_token(self, failed: Failed, refused: Refused) -> PlanCredential:
        """Return the old token if it is still valid, or else raise why there is no other."""
        if not failed.is_passing:
            raise failed.error
        found = connected(self._file.read(), self._unsaved)
        if not found.is_valid(self._clock()) or found.access_token in refused:
            raise failed.error
        self._paused_until = time.monotonic() + PAUSE
        return found

    # Signing out; runs in a thread of its own.

    def _sign_out(self) -> bool:
        with self._file.lock():
            found = self._file.read()
            if isinstance(found, Unusable):
                raise not_used(found)
            if found is None or not found.is_connected:
                return True
            found = newest(found, self._unsaved)
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
            async with (
                asyncio.timeout(_REVOCATION_LIMIT),
                new_client(connect=_CONNECT_LIMIT, silence=_REVOCATION_LIMIT) as client,
            ):
                at = await discover(client, self._service)
                return await grants.revoke(client, at, client_id, token)
        except (TimeoutError, SignInError):
            return False
