"""Signing in by device code: a code to show, and asking until it is approved (docs/backend.md, Polling)."""

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
    LLMTimeoutError,
    NetworkError,
)

from ..settings import LOGIN_COMMAND, PROVIDER
from . import issuer
from .oauth import exchange_code
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from .issuer import Answer

LIFETIME = 15 * 60.0
_SLOWER_BY = 5.0
_BROWSER_HINT = f"Run `{LOGIN_COMMAND} --browser` instead."

_PENDING = {"deviceauth_authorization_pending", "authorization_pending", "deviceauth_authorization_unknown"}
_SLOW_DOWN = {"slow_down", "deviceauth_slow_down"}
_EXPIRED = {"deviceauth_user_code_expired", "deviceauth_expired", "expired_token", "deviceauth_not_found"}
_REFUSED = {"access_denied", "deviceauth_access_denied", "deviceauth_denied", "authorization_declined"}


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that waits for its person. ``user_code`` is for that person's eyes only."""

    url: str
    user_code: str = field(repr=False)
    device_id: str = field(repr=False)
    interval: float = 5.0
    lifetime: float = LIFETIME

    def text(self) -> str:
        """Tell a person what to do; the lines hold no markup and fit into 80 columns."""
        minutes = max(1, round(self.lifetime / 60))
        return (
            "To sign in, open this page in any browser, on any machine:\n\n"
            f"    {self.url}\n\n"
            f"and enter this code there within {minutes} minutes:\n\n"
            f"    {self.user_code}\n\n"
            'If the page refuses the code, switch on "Enable device code authorization\n'
            'for Codex" in ChatGPT under Settings, Security (in a workspace, an admin\n'
            "does), then enter the code again.\n\n"
            "If it was not you who began this, cancel: whoever sends you a code, be it a\n"
            "person or a website, is after your account."
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
    if grant.word("access_token"):
        return Tokens.from_reply(grant.data, now=datetime.now(UTC))
    code, verifier = grant.word("authorization_code"), grant.word("code_verifier")
    if not verifier:
        raise issuer.unreadable("the approval")
    return await exchange_code(client, auth_url, code, verifier, f"{auth_url}/deviceauth/callback")


async def request_device_code(client: httpx.AsyncClient, auth_url: str) -> DeviceCode:
    """Ask for a code to show. Raises kernel errors."""
    url = f"{auth_url}/api/accounts/deviceauth/usercode"
    answer = await issuer.post(client, url, json={"client_id": issuer.CLIENT_ID})
    if answer.status == 404:
        raise AuthenticationError(
            f"This server offers no sign-in by device code. {_BROWSER_HINT}",
            provider=PROVIDER,
            status_code=404,
        )
    if not answer.is_success:
        issuer.fail(answer, "asking for a device code")
    user_code = answer.word("user_code", "usercode")
    device_id = answer.word("device_auth_id", "device_code")
    if not user_code or not device_id or not user_code.isprintable():
        raise issuer.unreadable("the device code")
    return DeviceCode(
        url=f"{auth_url}/codex/device",
        user_code=user_code,
        device_id=device_id,
        interval=max(1.0, _number(answer.data.get("interval"), 5.0)),
        lifetime=_lifetime(answer.data),
    )


async def poll_for_grant(
    client: httpx.AsyncClient,
    auth_url: str,
    device: DeviceCode,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Ask until the person has decided: one sleep before each question, lost connections ignored.

    Returns the answer that grants. Raises kernel errors, and AuthenticationError when time is up.
    """
    url = f"{auth_url}/api/accounts/deviceauth/token"
    question = {"device_auth_id": device.device_id, "user_code": device.user_code}
    interval, deadline = device.interval, clock() + device.lifetime
    while (left := deadline - clock()) > 0:
        await sleep(min(interval, left))
        try:
            answer = await issuer.post(client, url, json=question)
        except (NetworkError, LLMTimeoutError):
            continue
        if answer.is_success and answer.word("authorization_code", "access_token"):
            return answer
        if _is_slow_down(answer):
            interval += _SLOWER_BY
        elif not _is_pending(answer):
            _fail_poll(answer)
    raise AuthenticationError(
        "The device code was not approved in time. Run the sign-in again; if the web page refused the code, "
        'switch on "Enable device code authorization for Codex" in the security settings of ChatGPT first.',
        provider=PROVIDER,
    )


def _is_slow_down(answer: Answer) -> bool:
    return answer.code in _SLOW_DOWN or (answer.status == 429 and not answer.is_challenge)


def _is_pending(answer: Answer) -> bool:
    """Pending in all its spellings; a server in trouble counts as pending, a challenge page does not."""
    if answer.code in _PENDING or (answer.status >= 500 and not answer.is_challenge):
        return True
    return answer.status in {403, 404} and not (answer.code or answer.is_page or answer.is_challenge)


def _fail_poll(answer: Answer) -> NoReturn:
    if answer.code in _EXPIRED:
        raise AuthenticationError(
            "The device code has expired or was already used: run the sign-in again.", provider=PROVIDER
        )
    if answer.code in _REFUSED:
        raise AuthenticationError("The sign-in was refused in the browser.", provider=PROVIDER)
    if answer.status == 403 and answer.code:
        raise AccessDeniedError(
            f"The sign-in is not allowed ({issuer.clean(answer.code)}). In a workspace this is usually a "
            f"policy: ask its admin to allow device codes for Codex. {_BROWSER_HINT}",
            provider=PROVIDER,
            status_code=403,
        )
    issuer.fail(answer, "waiting for the approval")


def _number(value: object, default: float) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else default
    except (ValueError, OverflowError):
        return default
    return number if 0 <= number < 1e6 else default


def _lifetime(data: Mapping[str, Any]) -> float:
    """How long the code holds: the server's own word where it is shorter than fifteen minutes."""
    told = _number(data.get("expires_in"), LIFETIME)
    expires_at = data.get("expires_at")
    if isinstance(expires_at, str):
        try:
            moment = datetime.fromisoformat(expires_at)
        except ValueError:
            return min(told, LIFETIME) or LIFETIME
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        left = (moment - datetime.now(UTC)).total_seconds()
        told = left if left > 60 else told
    return min(told, LIFETIME) or LIFETIME
