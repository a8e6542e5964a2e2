"""Claims about tokens, and about who may call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...auth.device import request_device_code
from ...auth.failures import SignInError
from ...auth.tokens import Tokens, decode
from ...http import new_client
from ..checks import judged
from ..claim import Check, Claim, Finding, UnclearError, confirmed, decided, refuted
from ..shape import at, refusal_shape, shape_of
from .places import codex, plan

if TYPE_CHECKING:
    from ..reading import Answer
    from ..session import Session

_DAY = 86_400.0
_LONGEST_DAYS = 11.0
_MADE_UP = "made-up-by-probe"
Claims = Mapping[str, Any]


async def _claims(session: Session) -> tuple[Claims, Claims]:
    """Return the claims of the id token and of the access token."""
    tokens = await session.identity()
    id_token = tokens.id_token if isinstance(tokens, Tokens) else ""
    return decode(id_token), decode(tokens.access_token)


def _claim(place: str, field: str) -> Check:
    """Return a check that a claim is text, in the id token or else in the access token."""

    async def check(session: Session) -> Finding:
        identity, access = await _claims(session)
        if not identity and not access:
            raise UnclearError("neither token can be read as a JWT")
        names = session.service.claims
        outer, inner = getattr(names, place), getattr(names, field)
        found = {
            name: isinstance(at(claims, outer, inner), str) and bool(at(claims, outer, inner))
            for name, claims in (("id token", identity), ("access token", access))
        }
        where = " and ".join(name for name, has in found.items() if has)
        shape = {"id_token": shape_of(dict(identity)), "access_token": shape_of(dict(access))}
        return decided(where, f"in the {where}" if where else "in neither token", shape)

    return check


async def _email(session: Session) -> Finding:
    identity, access = await _claims(session)
    profile = session.service.claims.profile
    found = [at(claims, *path) for claims in (identity, access) for path in ((profile, "email"), ("email",))]
    has = any(isinstance(value, str) and "@" in value for value in found)
    return decided(has, "the tokens contain an e-mail address" if has else "no e-mail address")


async def _expiry(session: Session) -> Finding:
    _, access = await _claims(session)
    expires = access.get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        return refuted("the access token has no exp claim", {"access_token": shape_of(dict(access))})
    days = (expires - time.time()) / _DAY
    return decided(0 < days <= _LONGEST_DAYS, f"valid for another {days:.1f} days")


async def _made_up_token(session: Session) -> Finding:
    return judged(await _list_with_token(session, _MADE_UP), statuses=(401,))


async def _account_header(session: Session) -> Finding:
    identity = await session.identity()
    answer = await _list_with_token(session, identity.access_token.reveal())
    return judged(answer, statuses=(400, 401, 403))


async def _list_with_token(session: Session, token: str) -> Answer:
    """Request the model list with a token and no account."""
    service, origin = session.service, session.service.request.originator
    versions = service.models.client_versions
    return await session.send(
        "GET",
        service.models_path,
        headers={
            "Authorization": f"Bearer {token}",
            **({origin: session.settings.originator} if origin else {}),
        },
        params={"client_version": versions[0]} if versions else None,
        is_signed_in=False,
    )


def _identity_claim(names: tuple[str, ...], is_right: Callable[[Claims, Session], object]) -> Check:
    async def check(session: Session) -> Finding:
        identity, _ = await _claims(session)
        missing = [name for name in names if not identity.get(name)]
        shape = shape_of(dict(identity))
        if missing:
            return refuted(f"missing: {', '.join(missing)}", shape)
        if not is_right(identity, session):
            return refuted("the values are not as described", shape)
        return confirmed(f"has {', '.join(names)}", shape)

    return check


def _is_from_issuer(identity: Claims, session: Session) -> bool:
    return str(identity["iss"]).rstrip("/") == session.settings.auth_url.rstrip("/")


async def _device_code(session: Session) -> Finding:
    """Start a device sign-in that is never finished; its code is not kept."""
    settings = session.settings
    issuer = session.service.at(settings.base_url, settings.auth_url).issuer
    session.requests += 1
    async with new_client(connect=settings.connect_timeout, silence=settings.connect_timeout) as client:
        try:
            device = await request_device_code(client, issuer)
        except SignInError as error:
            if error.refusal is None or error.refusal.status is None:
                raise UnclearError(str(error)) from error
            return refuted("the answer is not a device code", refusal_shape(error.refusal))
    return confirmed(f"the answer is a device code; polls every {device.interval:g} s")


CLAIMS = (
    Claim(
        "sign-in.account-claim",
        "A token names the account as chatgpt_account_id, under https://api.openai.com/auth.",
        codex("Tokens"),
        "nothing: reads the stored tokens",
        "the claim is text, in the id token or the access token",
        _claim("auth", "account"),
        requests=0,
    ),
    Claim(
        "sign-in.plan-claim",
        "A token names the plan as chatgpt_plan_type, under https://api.openai.com/auth.",
        codex("Tokens"),
        "nothing: reads the stored tokens",
        "the claim is text, in the id token or the access token",
        _claim("auth", "plan"),
        requests=0,
    ),
    Claim(
        "sign-in.email-claim",
        "A token contains the person's e-mail address.",
        codex("Tokens"),
        "nothing: reads the stored tokens",
        "`email`, at the root or under https://api.openai.com/profile",
        _email,
        requests=0,
    ),
    Claim(
        "sign-in.expiry",
        "The access token is a JWT whose exp claim is at most about ten days after its issue.",
        codex("Tokens"),
        "nothing: reads the stored tokens",
        "`exp` is a time in the next 11 days",
        _expiry,
        requests=0,
    ),
    Claim(
        "sign-in.made-up-token",
        "A token that was never issued is refused with 401.",
        codex("Failures"),
        "the model list with a made-up token",
        "401",
        _made_up_token,
    ),
    Claim(
        "sign-in.account-header",
        "A request without the header ChatGPT-Account-ID is refused.",
        codex("Request headers"),
        "the model list without that header",
        "400, 401 or 403",
        _account_header,
    ),
    Claim(
        "sign-in.device-code",
        "A device code can be requested with the client id alone.",
        codex("Device code"),
        "the start of a device sign-in, which is not continued",
        "`device_auth_id`, a user code and an interval",
        _device_code,
    ),
    Claim(
        "sign-in.id-token",
        "The id token names its issuer, the client, the person and its times.",
        plan("Id token"),
        "nothing: reads the stored id token",
        "`iss` is the issuer; `aud`, `sub`, `iat` and `exp` are present",
        _identity_claim(("iss", "aud", "sub", "iat", "exp"), _is_from_issuer),
        requests=0,
    ),
    Claim(
        "sign-in.admission",
        "A token that was never issued is refused with 401 before anything is read.",
        plan("Refusals"),
        "the model list with a made-up token",
        "401",
        _made_up_token,
    ),
)
