"""A connected account as the provider and its transport use it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ...services import CHATGPT_PLAN, CHATGPT_PLAN_SIGN_IN
from ..shared import Shared
from ..store import Unusable
from ..tokens import Tokens, plan_of
from .connection import PlanConnection
from .credential import PlanCredential
from .file import PlanFile

if TYPE_CHECKING:
    from pathlib import Path

    from ...services import PlanSignIn, Service
    from .renewal import Order, Outcome, Renewer


class PlanCredentials:
    """Makes tokens of what the connection reads and renews, once for each credential."""

    def __init__(self, path: Path, service: Service) -> None:
        at = CHATGPT_PLAN_SIGN_IN.at(service.base_url, service.issuer.url)
        self.service = service
        self._file = PlanFile(path, at.origin)
        self._connection = PlanConnection(self._file, at, renew=_renewer(self._file, at))
        # Any thread replaces this pair of a credential and the tokens made of it.
        self._made: tuple[PlanCredential | None, Tokens] = (None, Tokens())

    @property
    def location(self) -> str:
        """Identifies the sign-in in this process."""
        return str(self._file.path)

    @property
    def place(self) -> str:
        """Where the sign-in is kept, for people."""
        return str(self._file.path)

    async def current(self) -> Tokens:
        """Return a token that is expected to be accepted. Raises kernel errors."""
        return self._tokens(await self.credential())

    async def credential(self) -> PlanCredential:
        """Return the whole credential that ``current`` is made of. Raises kernel errors."""
        return await self._connection.current()

    def known(self) -> PlanCredential | None:
        """Return what is stored, also without tokens. Offline."""
        found = self._connection.stored()
        return found if isinstance(found, PlanCredential) else None

    async def renew(self, *refused: Tokens) -> Tokens:
        """Return another token than those that got a 401 in this call. Raises kernel errors."""
        return self._tokens(await self._connection.current(*(tokens.access_token for tokens in refused)))

    def peek(self) -> Tokens | None:
        """Return who is connected; never uses the network."""
        found = self._connection.stored()
        return self._tokens(found) if isinstance(found, PlanCredential) and found.is_connected else None

    def problem(self) -> Unusable | None:
        """Return why what is stored is not used. Offline."""
        found = self._connection.stored()
        return found if isinstance(found, Unusable) else None

    def status(self) -> Literal["authenticated", "expired", "unauthenticated"]:
        """Say offline whether calls can be expected to work, or a person must sign in."""
        found = self._connection.stored()
        if not isinstance(found, PlanCredential) or not found.is_connected:
            return "unauthenticated"
        can_renew = bool(found.newest_refresh_token)
        return "authenticated" if can_renew or found.is_valid(time.time()) else "expired"

    async def sign_out(self) -> bool:
        """Forget the tokens; returns whether the issuer confirmed their revocation. Raises kernel errors."""
        return await self._connection.sign_out()

    async def remove_unusable(self) -> bool:
        """Delete what is stored but not used; returns whether a sign-in was found in it and revoked.

        The registration of this app is kept, as far as it can be read. Raises kernel errors.
        """
        return await self._connection.remove_unusable()

    def _tokens(self, found: PlanCredential) -> Tokens:
        of, tokens = self._made
        if of is not found:
            tokens = _tokens(found)
            self._made = (found, tokens)
        return tokens


def _renewer(file: PlanFile, at: PlanSignIn) -> Renewer:
    """Return what renews in a process of its own, which Ctrl-C does not reach."""

    def renew(order: Order) -> Outcome:
        from .detached import Detached  # mounting does without it

        return Detached(file, at)(order)

    return renew


def _tokens(found: PlanCredential) -> Tokens:
    expires_at = None if found.expires_at is None else datetime.fromtimestamp(found.expires_at, UTC)
    return Tokens(
        access_token=found.access_token,
        refresh_token=found.newest_refresh_token,
        id_token=found.id_token,
        account_id=found.subject,
        plan_type=plan_of(CHATGPT_PLAN.claims, found.id_token),
        expires_at=expires_at,
        auth_mode=CHATGPT_PLAN_SIGN_IN.mode,
        origin=found.origin,
        address=found.email,
        uses_plan=found.uses_plan,
    )


_shared: Shared[PlanCredentials] = Shared()


def shared_plan_credentials(path: Path, service: Service) -> PlanCredentials:
    """Return the one object of this process for a credential file and a service at its addresses."""
    key = (str(PlanFile(path).path), service.origin)
    return _shared.get(key, lambda: PlanCredentials(path, service))
