"""Taking over a sign-in that was carried here from another machine, where there is a browser."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ...http import new_client
from ..failures import translated
from ..store import Unusable
from .credential import PlanCredential
from .discovery import discover
from .failures import PlanError, Problem, not_used
from .grants import identify
from .host import host_id
from .identity import Expected

if TYPE_CHECKING:
    from pathlib import Path

    from ...services import PlanSignIn
    from .file import PlanFile

# Seconds.
_CONNECT_LIMIT = 10.0
_ANSWER_LIMIT = 15.0


async def imported(
    service: PlanSignIn, source: PlanFile, file: PlanFile, host_file: Path | None = None
) -> PlanCredential:
    """Store a credential that was carried from another machine; this one keeps its own host id.

    Only one of the two may renew it from then on. Raises kernel errors.
    """
    with translated():
        carried = source.read()
        if isinstance(carried, Unusable):
            raise not_used(carried)
        if carried is None or not carried.is_connected:
            raise PlanError(Problem.SIGNED_OUT, because=f" There is no sign-in in {source.path}.")
        await _verify(service, carried)
        return await asyncio.to_thread(_import, carried, file, host_file or file.default_host_file)


async def _verify(service: PlanSignIn, carried: PlanCredential) -> None:
    """Check that the id token is the issuer's and about the stored person; it may have expired."""
    async with new_client(connect=_CONNECT_LIMIT, silence=_ANSWER_LIMIT) as client:
        at = await discover(client, service)
        expected = Expected(
            issuer=at.issuer, client_id=carried.client_id, subject=carried.subject, may_be_expired=True
        )
        await identify(client, at, carried.id_token, expected, time.time())


def _import(carried: PlanCredential, file: PlanFile, host_file: Path) -> PlanCredential:
    own = replace(carried, host_id=host_id(host_file))
    with file.lock():
        found = file.read()
        if isinstance(found, PlanCredential):
            _check_same(found, carried, file)
        file.save(own)
    return own


def _check_same(found: PlanCredential, carried: PlanCredential, file: PlanFile) -> None:
    """Refuse to replace another account's sign-in, or one of another registration that can still be used.

    Raises PlanError.
    """
    if found.subject and found.subject != carried.subject:
        raise PlanError(Problem.OTHER_ACCOUNT)
    signed_out = bool(found.subject) and not found.is_connected
    if found.client_id not in ("", carried.client_id) and not signed_out:
        raise PlanError(Problem.OTHER_REGISTRATION, place=str(file.path))
