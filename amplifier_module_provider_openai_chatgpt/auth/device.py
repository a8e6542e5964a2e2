"""Signing in by device code: a code to show, and asking until it is approved (docs/backend.md, Polling)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

from ..secret import Secret
from . import issuer
from .binding import announcement
from .failures import Reason, SignInError, translated
from .oauth import exchange_code
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from ..services import Issuer, Service
    from .issuer import Answer

LIFETIME = 15 * 60.0
_SLOWER_BY = 5.0


class Poll(Enum):
    """What an answer to a poll means, unless it ends the sign-in."""

    GRANTED = auto()
    PENDING = auto()
    SLOW_DOWN = auto()


_BY_CODE: dict[str, Poll | Reason] = {
    "deviceauth_authorization_pending": Poll.PENDING,
    "authorization_pending": Poll.PENDING,
    "deviceauth_authorization_unknown": Poll.PENDING,
    "slow_down": Poll.SLOW_DOWN,
    "deviceauth_slow_down": Poll.SLOW_DOWN,
    "deviceauth_user_code_expired": Reason.CODE_EXPIRED,
    "deviceauth_expired": Reason.CODE_EXPIRED,
    "expired_token": Reason.CODE_EXPIRED,
    "deviceauth_not_found": Reason.CODE_EXPIRED,
    "access_denied": Reason.DENIED,
    "deviceauth_access_denied": Reason.DENIED,
    "deviceauth_denied": Reason.DENIED,
    "authorization_declined": Reason.DENIED,
}


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A sign-in that waits for its person, who alone may see ``user_code``. Durations are seconds.

    ``service``: what the person must know first, where the sign-in is not for ChatGPT itself.
    """

    url: str
    user_code: Secret[str]
    device_id: Secret[str]
    interval: float = 5.0
    lifetime: float = LIFETIME
    service: str = ""

    def text(self) -> str:
        """Say what to do, without markup, in lines of less than 80 columns."""
        minutes = max(1, round(self.lifetime / 60))
        return (f"{self.service}\n\n" if self.service else "") + (
            "To sign in, open this page in any browser, on any machine:\n\n"
            f"    {self.url}\n\n"
            f"and enter this code there within {minutes} minutes:\n\n"
            f"    {self.user_code.reveal()}\n\n"
            'If the page rejects the code, switch on "Enable device code authorization\n'
            'for Codex" in ChatGPT under Settings, Security (in a workspace, an admin\n'
            "does this), then enter the code again.\n\n"
            "Didn't start this? Press Ctrl-C. Anyone who sends you a code\n"
            "is after your account."
        )


async def sign_in_by_device_code(
    client: httpx.AsyncClient,
    service: Service,
    on_prompt: Callable[[DeviceCode], object],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Run the device flow to its tokens, cancellable at any moment. Raises kernel errors."""
    with translated():
        device = await request_device_code(client, service.issuer)
        on_prompt(replace(device, service=announcement(service.origin)))
        grant = await poll_for_grant(client, service.issuer, device, sleep=sleep, clock=clock)
        return await _redeem(client, service, grant)


async def request_device_code(client: httpx.AsyncClient, at: Issuer) -> DeviceCode:
    """Ask for a code to show. Raises SignInError."""
    answer = await issuer.post(client, at.url + at.device_code_path, json={"client_id": at.client_id})
    if answer.status == 404:
        raise SignInError(Reason.NO_DEVICE_CODES, answer.refusal)
    if not 200 <= answer.status < 300:
        raise issuer.failure(answer, "asking for a device code")
    user_code = answer.word("user_code", "usercode")
    device_id = answer.word("device_auth_id", "device_code")
    if not user_code or not device_id or not user_code.isprintable():
        raise issuer.unreadable("the device code")
    return DeviceCode(
        url=at.url + at.device_page_path,
        user_code=Secret(user_code),
        device_id=Secret(device_id),
        interval=max(1.0, _number(answer.get("interval"), 5.0)),
        lifetime=_lifetime(answer),
    )


async def poll_for_grant(
    client: httpx.AsyncClient,
    at: Issuer,
    device: DeviceCode,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Ask until the person has decided: one sleep before each question, lost connections ignored.

    Returns the answer that grants. Raises SignInError, NOT_APPROVED when the time is over.
    """
    url = at.url + at.device_token_path
    question = {"device_auth_id": device.device_id, "user_code": device.user_code}
    interval, deadline = device.interval, clock() + device.lifetime
    while (left := deadline - clock()) > 0:
        await sleep(min(interval, left))
        try:
            answer = await issuer.post(client, url, json=question, announce_after=LIFETIME)
        except SignInError:
            continue
        match verdict(answer):
            case Poll.GRANTED:
                return answer
            case Poll.SLOW_DOWN:
                interval += _SLOWER_BY
            case Poll.PENDING:
                pass
            case SignInError() as ending:
                raise ending
            case unknown:
                assert_never(unknown)
    raise SignInError(Reason.NOT_APPROVED)


def verdict(answer: Answer) -> Poll | SignInError:
    """Judge the answer to a poll: its code decides, its status only where there is none that is known."""
    if answer.is_success and answer.word("authorization_code", "access_token"):
        return Poll.GRANTED
    found = _BY_CODE.get(answer.refusal.code) or _by_status(answer)
    return SignInError(found, answer.refusal) if isinstance(found, Reason) else found


def _by_status(answer: Answer) -> Poll | Reason | SignInError:
    status, refusal = answer.status, answer.refusal
    if 200 <= status < 300:
        return issuer.unreadable("the approval")
    if refusal.cloudflare:
        return Reason.CHALLENGED
    if status == 429:
        return Poll.SLOW_DOWN
    # A server in trouble may recover. Some answer 403 or 404 without a code while the approval is pending.
    if status >= 500 or (status in {403, 404} and not refusal.code and not refusal.html):
        return Poll.PENDING
    if status == 403 and refusal.code:
        return Reason.NOT_ALLOWED
    return issuer.failure(answer, "waiting for the approval")


async def _redeem(client: httpx.AsyncClient, service: Service, grant: Answer) -> Tokens:
    """Make tokens of a grant: it holds them, or a code to exchange with the verifier that came with it."""
    if grant.word("access_token"):
        return Tokens.from_reply(grant.fields, now=datetime.now(UTC), claims=service.claims)
    code, verifier = Secret(grant.word("authorization_code")), Secret(grant.word("code_verifier"))
    if not verifier:
        raise issuer.unreadable("the approval")
    redirect_uri = service.issuer.url + service.issuer.device_redirect_path
    return await exchange_code(client, service, code, verifier, redirect_uri)


def _number(value: object, default: float) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else default
    except (ValueError, OverflowError):
        return default
    return number if 0 <= number < 1e6 else default


def _lifetime(answer: Answer) -> float:
    """How long the code is valid: what the server says, where that is less than fifteen minutes."""
    seconds = _number(answer.get("expires_in"), LIFETIME)
    left = _seconds_until(answer.word("expires_at"))
    return min(left if left > 60 else seconds, LIFETIME) or LIFETIME


def _seconds_until(date: str) -> float:
    """Read ISO 8601, without an offset as UTC; 0 for anything else."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
