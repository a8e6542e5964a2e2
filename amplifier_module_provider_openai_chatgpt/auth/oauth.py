"""The issuer's grants: codes become tokens, tokens are renewed and revoked (docs/backend.md, Refresh)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..http import new_client
from ..secret import Secret
from . import issuer
from .failures import Reason, RefreshRefusedError, SignInError, kernel_error
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from ..services import Issuer, Service

# Seconds.
_CONNECT_LIMIT = 10.0
# An answer that comes late still holds the only valid token; those who wait for it leave much earlier.
REFRESH_LIMIT = 300.0
_REVOKE_LIMIT = 10.0
# Codes after which a refresh token is dead, and why, as the end of a sentence.
_DEAD_TOKEN = {
    "refresh_token_expired": "it has expired",
    "refresh_token_reused": "another program has already used it",
    "refresh_token_invalidated": "it was revoked",
    "token_invalidated": "it was revoked",
    "account_deactivated": "the account is deactivated",
    "account_suspended": "the account is suspended",
}

logger = logging.getLogger(__name__)


async def exchange_code(
    client: httpx.AsyncClient, service: Service, code: Secret[str], verifier: Secret[str], redirect_uri: str
) -> Tokens:
    """Exchange an authorization code for tokens. Raises SignInError."""
    form: dict[str, str | Secret[str]] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": service.issuer.client_id,
        "code_verifier": verifier,
    }
    answer = await issuer.post_until_answered(client, service.issuer.url + service.issuer.token_path, form)
    if answer.is_success and answer.word("access_token") and answer.word("refresh_token"):
        return Tokens.from_reply(answer.fields, now=datetime.now(UTC), claims=service.claims)
    if 200 <= answer.status < 300:
        raise issuer.unreadable("the tokens")
    raise issuer.failure(answer, "exchanging the code for tokens")


async def refresh(
    client: httpx.AsyncClient, at: Issuer, refresh_token: Secret[str]
) -> Secret[Mapping[str, Any]]:
    """Spend a refresh token, which works once; every field of the answer may be missing, but not all.

    Raises RefreshRefusedError when the token is dead, and SignInError for everything transient.
    """
    fields = {"client_id": at.client_id, "grant_type": "refresh_token", "refresh_token": refresh_token}
    answer = await issuer.post(client, at.url + at.token_path, limit=None, json=fields)
    if answer.is_success and answer.word("access_token", "refresh_token"):
        return Secret(answer.fields)
    if answer.is_success:
        raise issuer.unreadable("the renewed tokens")
    if why := _death(answer):
        raise RefreshRefusedError(why)
    reason = Reason.RENEWAL_BUSY if answer.status == 429 else Reason.RENEWAL_FAILED
    raise SignInError(reason, answer.refusal, host=urlsplit(at.url).hostname or at.url)


def _death(answer: issuer.Answer) -> str:
    """Say why the refresh token will never work again; empty while it may."""
    code = answer.refusal.code
    if code in _DEAD_TOKEN:
        return _DEAD_TOKEN[code]
    refused = answer.status == 401 or (answer.status == 400 and code == "invalid_grant")
    return "it is no longer accepted" if refused else ""


async def refresh_alone(
    at: Issuer, refresh_token: Secret[str], limit: float = REFRESH_LIMIT
) -> Secret[Mapping[str, Any]]:
    """Do what ``refresh`` does on a connection of its own, in at most ``limit`` seconds."""
    try:
        async with asyncio.timeout(limit), _client(limit) as client:
            return await refresh(client, at, refresh_token)
    except TimeoutError as error:
        raise SignInError(Reason.RENEWAL_TIMEOUT) from error


async def revoke(client: httpx.AsyncClient, at: Issuer, tokens: Tokens) -> bool:
    """Report to the issuer that a sign-in is no longer used; returns whether it has accepted that.

    Logs a warning with the reason if the issuer was not reached.
    """
    fields: dict[str, str | Secret[str]]
    if tokens.refresh_token:
        fields = {
            "token": tokens.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": at.client_id,
        }
    else:
        fields = {"token": tokens.access_token, "token_type_hint": "access_token"}
    try:
        return 200 <= (await issuer.post(client, at.url + at.revoke_path, json=fields)).status < 300
    except SignInError as error:
        logger.warning("The sign-in could not be revoked. %s", kernel_error(error))
        return False


async def revoke_alone(at: Issuer, tokens: Tokens) -> bool:
    """Do what ``revoke`` does on a connection of its own, in a bounded time."""
    try:
        async with asyncio.timeout(_REVOKE_LIMIT), _client(_REVOKE_LIMIT) as client:
            return await revoke(client, at, tokens)
    except TimeoutError:
        return False


def _client(limit: float) -> httpx.AsyncClient:
    return new_client(connect=min(limit, _CONNECT_LIMIT), silence=limit)
