"""The issuer's endpoints: device code, code exchange, refresh, revoke (docs/backend.md, Device code).

Each function makes its calls with the client it is given and reads answers of any shape. Codes and
tokens appear in no message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    RateLimitError,
)
from pydantic_core import from_json

from ..redaction import without_secrets
from ..settings import LOGIN_COMMAND, PROVIDER
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
DEVICE_LIFETIME = 15 * 60.0
_SLOWER_BY = 5.0
_BROWSER_HINT = f"Run `{LOGIN_COMMAND} --browser` instead."

_PENDING = {"deviceauth_authorization_pending", "authorization_pending", "deviceauth_authorization_unknown"}
_SLOW_DOWN = {"slow_down", "deviceauth_slow_down"}
_EXPIRED = {"deviceauth_user_code_expired", "deviceauth_expired", "expired_token", "deviceauth_not_found"}
_REFUSED = {"access_denied", "deviceauth_access_denied", "deviceauth_denied", "authorization_declined"}

# Codes after which a refresh token is dead, and why, as the end of a sentence (docs/backend.md, Refresh).
_DEAD_TOKEN = {
    "refresh_token_expired": "it has expired",
    "refresh_token_reused": "another program has already used it",
    "refresh_token_invalidated": "it was revoked",
    "token_invalidated": "it was revoked",
    "invalid_grant": "it is no longer accepted",
    "account_deactivated": "the account is deactivated",
    "account_suspended": "the account is suspended",
}


class RefreshRefusedError(Exception):
    """The refresh token will never work again; the text says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that waits for its person. ``user_code`` is for that person's eyes only."""

    url: str
    user_code: str = field(repr=False)
    device_id: str = field(repr=False)
    interval: float = 5.0
    lifetime: float = DEVICE_LIFETIME

    def text(self) -> str:
        """Tell a person what to do; the lines hold no markup."""
        minutes = max(1, round(self.lifetime / 60))
        return (
            f"To sign in, open {self.url} in any browser and enter this code within {minutes} minutes:\n\n"
            f"    {self.user_code}\n\n"
            "Does the page refuse it? Switch on: ChatGPT, Settings, Security, "
            '"Enable device code authorization for Codex" (in a workspace, an admin does), then enter it again.\n'
            "Continue only if you started this sign-in yourself. If a website or another person gave you "
            "the code, cancel: they want your account."
        )


async def sign_in_by_device_code(
    client: httpx.AsyncClient,
    auth_url: str,
    on_prompt: Callable[[DeviceCode], object],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Run the device flow to its tokens, cancellable at any moment. Raises kernel errors."""
    device = await request_device_code(client, auth_url)
    on_prompt(device)
    grant = await poll_for_grant(client, auth_url, device, sleep=sleep, clock=clock)
    if "access_token" in grant:
        return Tokens.from_reply(grant, now=datetime.now(UTC))
    code, verifier = grant.get("authorization_code"), grant.get("code_verifier")
    if not isinstance(code, str) or not isinstance(verifier, str):
        raise _unreadable("the approval")
    return await exchange_code(client, auth_url, code, verifier, f"{auth_url}/deviceauth/callback")


async def request_device_code(client: httpx.AsyncClient, auth_url: str) -> DeviceCode:
    """Ask for a code to show. Raises kernel errors."""
    url = f"{auth_url}/api/accounts/deviceauth/usercode"
    reply = await _post(client, url, json={"client_id": CLIENT_ID})
    if reply.status == 404:
        raise AuthenticationError(
            f"This server offers no sign-in by device code. {_BROWSER_HINT}",
            provider=PROVIDER,
            status_code=404,
        )
    if not reply.is_success:
        _fail(reply, "asking for a device code")
    user_code = reply.word("user_code", "usercode")
    device_id = reply.word("device_auth_id", "device_code")
    if not user_code or not device_id or not user_code.isprintable():
        raise _unreadable("the device code")
    return DeviceCode(
        url=f"{auth_url}/codex/device",
        user_code=user_code,
        device_id=device_id,
        interval=max(1.0, _number(reply.data.get("interval"), 5.0)),
        lifetime=_lifetime(reply.data),
    )


async def poll_for_grant(
    client: httpx.AsyncClient,
    auth_url: str,
    device: DeviceCode,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[str, Any]:
    """Ask until the person has decided: one sleep before each question, lost connections ignored.

    Returns the server's grant. Raises kernel errors, and AuthenticationError when time is up.
    """
    url = f"{auth_url}/api/accounts/deviceauth/token"
    question = {"device_auth_id": device.device_id, "user_code": device.user_code}
    interval, deadline = device.interval, clock() + device.lifetime
    while (left := deadline - clock()) > 0:
        await sleep(min(interval, left))
        try:
            reply = await _post(client, url, json=question)
        except (NetworkError, LLMTimeoutError):
            continue
        if reply.is_success and ("authorization_code" in reply.data or "access_token" in reply.data):
            return reply.data
        if _is_slow_down(reply):
            interval += _SLOWER_BY
        elif not _is_pending(reply):
            _fail_poll(reply)
    raise AuthenticationError(
        "The device code was not approved in time. Run the sign-in again; if the web page refused the code, "
        'switch on "Enable device code authorization for Codex" in the security settings of ChatGPT first.',
        provider=PROVIDER,
    )


async def exchange_code(
    client: httpx.AsyncClient, auth_url: str, code: str, verifier: str, redirect_uri: str
) -> Tokens:
    """Exchange an authorization code for tokens. Raises kernel errors."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": CLIENT_ID,
        "code_verifier": verifier,
    }
    reply = await _post(client, f"{auth_url}/oauth/token", data=form)
    if not reply.is_success:
        _fail(reply, "exchanging the code for tokens")
    if not all(reply.word(name) for name in ("access_token", "refresh_token")):
        raise _unreadable("the tokens")
    return Tokens.from_reply(reply.data, now=datetime.now(UTC))


async def refresh(client: httpx.AsyncClient, auth_url: str, refresh_token: str) -> Mapping[str, Any]:
    """Spend a refresh token, which works once; every field of the answer may be missing.

    Raises RefreshRefusedError when it is dead, and retryable kernel errors for all that passes.
    """
    fields = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": refresh_token}
    reply = await _post(client, f"{auth_url}/oauth/token", json=fields)
    if reply.is_success:
        if not reply.word("access_token"):
            raise _unreadable("the renewed tokens")
        return reply.data
    if reply.code in _DEAD_TOKEN and (reply.code != "invalid_grant" or reply.status in {400, 401}):
        raise RefreshRefusedError(_DEAD_TOKEN[reply.code])
    if reply.status == 401:
        raise RefreshRefusedError("it is no longer accepted")
    error = RateLimitError if reply.status == 429 else ProviderUnavailableError
    raise error(
        f"The sign-in could not be renewed just now (HTTP {reply.status} from {auth_url}). It is still there: "
        "try again in a moment.",
        provider=PROVIDER,
        status_code=reply.status,
        retryable=True,
    )


async def revoke(client: httpx.AsyncClient, auth_url: str, tokens: Tokens) -> bool:
    """Tell the issuer that a credential is no longer used. Returns whether it heard; never raises LLMError."""
    if tokens.refresh_token:
        fields = {"token": tokens.refresh_token, "token_type_hint": "refresh_token", "client_id": CLIENT_ID}
    else:
        fields = {"token": tokens.access_token, "token_type_hint": "access_token"}
    try:
        return (await _post(client, f"{auth_url}/oauth/revoke", json=fields)).is_success
    except LLMError:
        return False


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer of the issuer, whatever its shape: ``code`` is lower-cased, empty without one."""

    status: int
    data: Mapping[str, Any] = field(repr=False)
    code: str
    detail: str
    is_json: bool
    is_challenge: bool
    ray: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300 and self.is_json

    def word(self, *names: str) -> str:
        """Return the first of these fields that holds text."""
        found = (self.data.get(name) for name in names)
        return next((value for value in found if isinstance(value, str) and value), "")


async def _post(client: httpx.AsyncClient, url: str, **content: Any) -> _Reply:
    import httpx

    try:
        response = await client.post(url, headers={"Accept": "application/json"}, **content)
    except httpx.TimeoutException as error:
        raise LLMTimeoutError(
            f"No answer from {httpx.URL(url).host} in time: check the network, then try again.",
            provider=PROVIDER,
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise NetworkError(
            f"{httpx.URL(url).host} cannot be reached: check the network, then try again.", provider=PROVIDER
        ) from error
    return _read(response)


def _read(response: httpx.Response) -> _Reply:
    try:
        data = from_json(response.content)
    except ValueError:
        data = None
    mapping: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    error = mapping.get("error")
    inner = error if isinstance(error, Mapping) else {}
    code = inner.get("code") or (error if isinstance(error, str) else None) or mapping.get("code")
    detail = mapping.get("error_description") or inner.get("message") or mapping.get("message")
    text = "" if data is not None else response.text[:4096].lower()
    challenge = "cf-mitigated" in response.headers or "just a moment" in text or "attention required" in text
    return _Reply(
        status=response.status_code,
        data=mapping,
        code=code.lower() if isinstance(code, str) else "",
        detail=_sentence(detail),
        is_json=isinstance(data, Mapping),
        is_challenge=challenge,
        ray=response.headers.get("cf-ray", "")[:64],
    )


def _is_slow_down(reply: _Reply) -> bool:
    return reply.status == 429 or reply.code in _SLOW_DOWN


def _is_pending(reply: _Reply) -> bool:
    """Pending in all its spellings; a server in trouble counts as pending, a challenge page does not."""
    if reply.code in _PENDING or (reply.status >= 500 and not reply.is_challenge):
        return True
    return reply.status in {403, 404} and not reply.code and not _is_page(reply)


def _is_page(reply: _Reply) -> bool:
    return reply.is_challenge


def _fail_poll(reply: _Reply) -> NoReturn:
    if reply.code in _EXPIRED:
        raise AuthenticationError(
            "The device code has expired or was already used: run the sign-in again.", provider=PROVIDER
        )
    if reply.code in _REFUSED:
        raise AuthenticationError("The sign-in was refused in the browser.", provider=PROVIDER)
    if reply.status == 403 and reply.code:
        raise AccessDeniedError(
            f"The sign-in is not allowed ({_sentence(reply.code)}). In a workspace this is usually a policy: ask its "
            f"admin to allow device codes for Codex. {_BROWSER_HINT}",
            provider=PROVIDER,
            status_code=403,
        )
    _fail(reply, "waiting for the approval")


def _fail(reply: _Reply, doing: str) -> NoReturn:
    if reply.is_challenge:
        ray = f" (cf-ray {reply.ray})" if reply.ray else ""
        raise ProviderUnavailableError(
            f"Cloudflare blocks the sign-in from this network{ray}: try without VPN or proxy, or from another network.",
            provider=PROVIDER,
            status_code=reply.status,
        )
    said = f" The server says: {reply.detail}" if reply.detail else ""
    code = f", {_sentence(reply.code)}" if reply.code else ""
    error: type[LLMError] = ProviderUnavailableError if reply.status >= 500 else AuthenticationError
    raise error(
        f"Signing in failed while {doing} (HTTP {reply.status}{code}).{said}",
        provider=PROVIDER,
        status_code=reply.status,
    )


def _unreadable(what: str) -> LLMError:
    return ProviderUnavailableError(
        f"The issuer's answer with {what} cannot be read: try again in a moment.", provider=PROVIDER
    )


def _sentence(value: object) -> str:
    """Reduce a server's text to a printable, secret-free line."""
    text = "".join(sign if sign.isprintable() else " " for sign in value) if isinstance(value, str) else ""
    return without_secrets(" ".join(text.split())[:300])


def _number(value: object, default: float) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else default
    except (ValueError, OverflowError):
        return default
    return number if 0 <= number < 1e6 else default


def _lifetime(data: Mapping[str, Any]) -> float:
    """How long the code holds: the server's own word where it is shorter than fifteen minutes."""
    told = _number(data.get("expires_in"), DEVICE_LIFETIME)
    expires_at = data.get("expires_at")
    if isinstance(expires_at, str):
        try:
            moment = datetime.fromisoformat(expires_at)
        except ValueError:
            return min(told, DEVICE_LIFETIME) or DEVICE_LIFETIME
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        left = (moment - datetime.now(UTC)).total_seconds()
        told = left if left > 60 else told
    return min(told, DEVICE_LIFETIME) or DEVICE_LIFETIME
