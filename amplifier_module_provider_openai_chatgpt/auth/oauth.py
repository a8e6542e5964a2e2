"""The issuer's grants: codes become tokens, tokens are renewed and revoked (docs/backend.md, Refresh)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import LLMError, ProviderUnavailableError, RateLimitError

from ..settings import PROVIDER
from . import issuer
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

# Codes after which a refresh token is dead, and why, as the end of a sentence.
_DEAD_TOKEN = {
    "refresh_token_expired": "it has expired",
    "refresh_token_reused": "another program has already used it",
    "refresh_token_invalidated": "it was revoked",
    "token_invalidated": "it was revoked",
    "account_deactivated": "the account is deactivated",
    "account_suspended": "the account is suspended",
}


class RefreshRefusedError(Exception):
    """The refresh token will never work again; the text says why, as the end of a sentence."""


async def exchange_code(
    client: httpx.AsyncClient, auth_url: str, code: str, verifier: str, redirect_uri: str
) -> Tokens:
    """Exchange an authorization code for tokens. Raises kernel errors."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": issuer.CLIENT_ID,
        "code_verifier": verifier,
    }
    answer = await issuer.post(client, f"{auth_url}/oauth/token", data=form)
    if not answer.is_success:
        issuer.fail(answer, "exchanging the code for tokens")
    if not all(answer.word(name) for name in ("access_token", "refresh_token")):
        raise issuer.unreadable("the tokens")
    return Tokens.from_reply(answer.data, now=datetime.now(UTC))


async def refresh(client: httpx.AsyncClient, auth_url: str, refresh_token: str) -> Mapping[str, Any]:
    """Spend a refresh token, which works once; every field of the answer may be missing, but not all.

    Raises RefreshRefusedError when it is dead, and retryable kernel errors for all that passes.
    """
    fields = {"client_id": issuer.CLIENT_ID, "grant_type": "refresh_token", "refresh_token": refresh_token}
    answer = await issuer.post(client, f"{auth_url}/oauth/token", json=fields)
    if answer.is_success:
        if not answer.word("access_token", "refresh_token"):
            raise issuer.unreadable("the renewed tokens")
        return answer.data
    if answer.code in _DEAD_TOKEN:
        raise RefreshRefusedError(_DEAD_TOKEN[answer.code])
    if answer.status == 401 or (answer.status == 400 and answer.code == "invalid_grant"):
        raise RefreshRefusedError("it is no longer accepted")
    error = RateLimitError if answer.status == 429 else ProviderUnavailableError
    raise error(
        f"The sign-in could not be renewed just now (HTTP {answer.status} from {auth_url}). "
        "It is still there: try again in a moment.",
        provider=PROVIDER,
        status_code=answer.status,
        retryable=True,
    )


async def revoke(client: httpx.AsyncClient, auth_url: str, tokens: Tokens) -> bool:
    """Tell the issuer that a credential is no longer used; returns whether it heard, raises no LLMError."""
    if tokens.refresh_token:
        fields = {
            "token": tokens.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": issuer.CLIENT_ID,
        }
    else:
        fields = {"token": tokens.access_token, "token_type_hint": "access_token"}
    try:
        return 200 <= (await issuer.post(client, f"{auth_url}/oauth/revoke", json=fields)).status < 300
    except LLMError:
        return False
