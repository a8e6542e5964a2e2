"""The issuer's grants as forms: a code becomes tokens, tokens are renewed and revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...redaction import Sealed
from ...secret import Secret
from .. import issuer
from ..failures import Reason, RefreshRefusedError, SignInError
from .failures import PlanError, Problem
from .identity import Expected, Identity, verified

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from ...services import PlanSignIn
    from .discovery import Endpoints

# Codes after which a refresh token is dead, and why, as the end of a sentence.
DEAD = {
    "invalid_grant": "it is no longer accepted",
    "invalid_refresh_token": "it is no longer accepted",
    "token_expired": "it has expired",
    "refresh_token_expired": "it has expired",
    "refresh_token_invalidated": "it was revoked",
    "refresh_token_reused": "another program has already used it",
    "invalid_client": "the registration of this app is not known any more",
}
_REVOCATIONS = 3


async def exchange(
    client: httpx.AsyncClient,
    at: Endpoints,
    service: PlanSignIn,
    client_id: Secret[str],
    *,
    code: Secret[str],
    verifier: Secret[str],
    redirect_uri: str,
) -> Secret[Mapping[str, Any]]:
    """Exchange an authorization code for tokens. Raises SignInError.

    After a lost connection it is sent again: the person's approval is worth more than another request.
    """
    form: dict[str, str | Secret[str]] = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
        "resource": service.resource,
    }
    answer = await issuer.post_until_answered(client, at.token, form)
    if answer.is_success and answer.word("access_token") and answer.word("id_token"):
        return Secret(answer.fields)
    if 200 <= answer.status < 300:
        raise issuer.unreadable("the tokens")
    if answer.refusal.code == "invalid_grant":
        raise PlanError(Problem.CODE_REFUSED, answer.refusal)
    raise issuer.failure(answer, "exchanging the code for tokens")


async def refresh(
    client: httpx.AsyncClient,
    at: Endpoints,
    service: PlanSignIn,
    client_id: Secret[str],
    refresh_token: Secret[str],
) -> Secret[Mapping[str, Any]]:
    """Spend a refresh token, which works once.

    Raises RefreshRefusedError when the token is dead, and SignInError for everything transient.
    """
    form: dict[str, str | Secret[str]] = {
        "grant_type": "refresh_token",
        "client_id": client_id,
        "refresh_token": refresh_token,
        "resource": service.resource,
    }
    answer = await issuer.post(client, at.token, limit=None, data=form)
    if answer.is_success and answer.word("access_token", "refresh_token"):
        return Secret(answer.fields)
    if answer.is_success:
        raise issuer.unreadable("the renewed tokens")
    if why := DEAD.get(answer.refusal.code, ""):
        raise RefreshRefusedError(why)
    reason = Reason.RENEWAL_BUSY if answer.status == 429 else Reason.RENEWAL_FAILED
    raise SignInError(reason, answer.refusal, host=urlsplit(at.token).hostname or at.token)


async def revoke(
    client: httpx.AsyncClient, at: Endpoints, client_id: Secret[str], refresh_token: Secret[str]
) -> bool:
    """Report to the issuer that a sign-in is no longer used; returns whether it confirmed that."""
    form = {"token": refresh_token, "token_type_hint": "refresh_token", "client_id": client_id}
    for _ in range(_REVOCATIONS):
        try:
            answer = await issuer.post(client, at.revoke, data=form)
        except SignInError:
            continue
        if answer.status < 500:
            return 200 <= answer.status < 300
    return False


async def identify(
    client: httpx.AsyncClient, at: Endpoints, token: Secret[str], expected: Expected, now: float
) -> Identity:
    """Verify an id token by the keys that the issuer publishes now, in Unix seconds. Raises PlanError.

    Keys that cannot be had, for whatever reason, are KEYS_UNAVAILABLE.
    """
    try:
        answer = await issuer.get(client, at.keys)
    except SignInError as failure:
        raise PlanError(Problem.KEYS_UNAVAILABLE) from failure
    if not answer.is_success:
        raise PlanError(Problem.KEYS_UNAVAILABLE)
    with Sealed():
        return verified(token, answer.fields, expected, now)
