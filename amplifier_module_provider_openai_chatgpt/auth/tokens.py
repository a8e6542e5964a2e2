"""Tokens of one sign-in: what they say about the person, and how long they hold. No I/O.

The shape of ``to_dict`` is the token file's and public: hosts look for its flat keys.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"
EARLY = timedelta(minutes=5)
_DEFAULT_LIFETIME = timedelta(hours=1)
_GRAPHIC = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """One credential. Its repr holds no secret; ``extra`` keeps keys of the file we do not know."""

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    account_id: str = field(default="", repr=False)
    plan_type: str = ""
    expires_at: datetime | None = None
    auth_mode: str = "oauth"
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Tokens:
        """Read the shape of the token file; what is missing, of a wrong type or no token counts as empty.

        The access token's own ``exp`` is the expiry, else the stored one; a time without offset is UTC.
        """
        words = {name: _word(stored.get(name)) for name in _WORDS}
        claims, older = decode(words["id_token"]), decode(words["access_token"])
        return cls(
            **{
                **words,
                "account_id": account_of(claims, older, words["account_id"]),
                "plan_type": words["plan_type"] or _plan_of(claims) or _plan_of(older),
                "auth_mode": words["auth_mode"] or "oauth",
            },
            expires_at=_expiry_of(older) or _time(stored.get("expires_at")),
            extra={key: value for key, value in stored.items() if key not in _KEYS},
        )

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any], *, now: datetime, previous: Tokens | None = None) -> Tokens:
        """Merge an answer of the token endpoint over what was stored: each of its fields may be missing."""
        old = previous or cls()
        access, identity = _word(reply.get("access_token")), _word(reply.get("id_token"))
        fresh, claims = decode(access), decode(identity)
        known = "" if _profiled(claims) else old.account_id
        expires_at = (
            _expiry_of(fresh) or _time(reply.get("expires_at")) or now + _lifetime(reply.get("expires_in"))
        )
        return cls(
            access_token=access or old.access_token,
            refresh_token=_word(reply.get("refresh_token")) or old.refresh_token,
            id_token=identity or old.id_token,
            account_id=account_of(claims, fresh if claims or not known else {}, known),
            plan_type=_plan_of(claims) or old.plan_type or _plan_of(fresh),
            expires_at=expires_at if access else old.expires_at,
            auth_mode=old.auth_mode,
            extra=old.extra,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of the token file."""
        known = {name: getattr(self, name) for name in _WORDS}
        expiry = self.expires_at.isoformat() if self.expires_at else None
        return {**self.extra, **known, "expires_at": expiry}

    @property
    def email(self) -> str:
        """Address of the account, for display."""
        claims = decode(self.id_token) or decode(self.access_token)
        profile = claims.get(PROFILE_CLAIM)
        nested = profile.get("email") if isinstance(profile, Mapping) else None
        return _text(claims.get("email")) or _text(nested)

    @property
    def is_fedramp(self) -> bool:
        """True for accounts whose requests need a header of their own."""
        claims = (decode(self.id_token), decode(self.access_token))
        return any(_auth_of(claim).get("chatgpt_account_is_fedramp") is True for claim in claims)

    @property
    def can_refresh(self) -> bool:
        """True with a refresh token: an empty one must never be sent."""
        return bool(self.refresh_token)

    def is_valid(self, now: datetime) -> bool:
        """True with an access token that has not expired; an unknown expiry is none."""
        return bool(self.access_token) and self.expires_at is not None and self.expires_at > now

    def is_due(self, now: datetime) -> bool:
        """True once the token is to be renewed: five minutes before it expires."""
        return not self.is_valid(now + EARLY)

    def is_same(self, other: Tokens | None) -> bool:
        """True for the very same credential."""
        return other is not None and (self.access_token, self.refresh_token) == (
            other.access_token,
            other.refresh_token,
        )


def decode(token: str) -> Mapping[str, Any]:
    """Return the claims of a JWT, unverified: they are the person's own. Empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        return {}
    try:
        claims = from_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, Mapping) else {}


def account_of(identity: Mapping[str, Any], access: Mapping[str, Any], stored: str = "") -> str:
    """Find the ChatGPT account: the auth claim of id then access token, what is stored, the older places."""
    return (
        _claimed(identity)
        or _claimed(access)
        or stored
        or _profiled(identity)
        or _profiled(access)
        or _word(identity.get("sub"))
        or _word(access.get("sub"))
    )


def _profiled(claims: Mapping[str, Any]) -> str:
    profile = claims.get(PROFILE_CLAIM)
    return _word(profile.get("account_id")) if isinstance(profile, Mapping) else ""


def _claimed(claims: Mapping[str, Any]) -> str:
    """The account as today's tokens name it; it counts before what older versions stored."""
    return _word(_auth_of(claims).get("chatgpt_account_id"))


def _auth_of(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    auth = claims.get(AUTH_CLAIM)
    return auth if isinstance(auth, Mapping) else {}


def _plan_of(claims: Mapping[str, Any]) -> str:
    return _word(_auth_of(claims).get("chatgpt_plan_type"))


def _expiry_of(claims: Mapping[str, Any]) -> datetime | None:
    seconds = claims.get("exp")
    return _time(seconds) if isinstance(seconds, int | float) else None


def _lifetime(seconds: object) -> timedelta:
    """Read ``expires_in``; an hour where it is missing or no sound number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e9:
        return _DEFAULT_LIFETIME
    return timedelta(seconds=seconds)


def _time(value: object) -> datetime | None:
    """Read ISO 8601 or Unix seconds."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _word(value: object) -> str:
    """Read a token or an id; what no header could carry is none."""
    return value if isinstance(value, str) and _GRAPHIC.fullmatch(value) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


_WORDS = ("auth_mode", "access_token", "refresh_token", "id_token", "account_id", "plan_type")
_KEYS = {item.name for item in fields(Tokens)} - {"extra"}
