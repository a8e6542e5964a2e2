"""The credential of one connected account, and the shape of its file. No I/O.

The keys of the file are public: hosts and other programs read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...secret import Secret, revealed
from ...services import CHATGPT_PLAN_SIGN_IN, Origin
from .identity import is_shown

if TYPE_CHECKING:
    from .identity import Identity

# Seconds before its expiry in which an access token is renewed.
RENEW_BEFORE = 180.0
# The year 10,000, which no date can name.
_END_OF_TIME = 253_402_300_800.0
_LONGEST_LIFETIME = 366 * 86_400.0
_DEFAULT_LIFETIME = 3_600.0
_GRAPHIC = re.compile(r"[!-~]+")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_WORDS = {
    "client_id": "client_id",
    "ext_agent_host_id": "host_id",
    "subject": "subject",
    "email": "email",
    "access_token": "access_token",
    "refresh_token": "refresh_token",
    "id_token": "id_token",
}
_TOKENS = ("access_token", "refresh_token", "id_token")
_SECRETS = (*_TOKENS, "client_id", "host_id", "subject", "email")
_NONE = Secret("")
_NOTHING: Secret[Mapping[str, Any]] = Secret({})
_KEYS = {
    *_WORDS,
    *("auth_mode", "issuer", "backend", "token_type", "scopes", "expires_at", "earliest_refresh_at"),
    *("saved_at", "pending"),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gave: times are in Unix seconds, None if they are not known.

    Text given for a token becomes a secret.
    """

    access_token: Secret[str] = field(default=_NONE, repr=False)
    refresh_token: Secret[str] = field(default=_NONE, repr=False)
    id_token: Secret[str] = field(default=_NONE, repr=False)
    scopes: tuple[str, ...] | None = None
    expires_at: float | None = None
    earliest_refresh_at: float | None = None

    def __post_init__(self) -> None:
        _hide(self, _TOKENS)

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any], now: float) -> Grant:
        """Read an answer of the token endpoint; every field of it may be missing."""
        lifetime = _number(reply.get("expires_in"))
        is_sane = lifetime is not None and 0 <= lifetime <= _LONGEST_LIFETIME
        seconds = lifetime if lifetime is not None and is_sane else _DEFAULT_LIFETIME
        stated = {**reply, "scopes": reply.get("scope"), "expires_at": now + seconds}
        return cls.from_dict(stated)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Grant:
        """Read what a file holds; what is missing or of a wrong type is empty."""
        return cls(
            **{name: Secret(_word(stored.get(name))) for name in _TOKENS},
            scopes=_scopes(stored.get("scopes")),
            expires_at=_moment(stored.get("expires_at")),
            earliest_refresh_at=_moment(stored.get("earliest_refresh_at")),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the shape in the file, with the tokens."""
        return {
            **revealed({name: getattr(self, name) for name in _TOKENS}),
            "scopes": None if self.scopes is None else list(self.scopes),
            "expires_at": self.expires_at,
            "earliest_refresh_at": self.earliest_refresh_at,
        }


@dataclass(frozen=True, slots=True)
class PlanCredential:
    """One connected account. After a sign-out only the registration and the person are left.

    ``pending`` are renewed tokens whose id token was not verified yet: their predecessors are spent.
    ``origin`` is where it was obtained; ``extra`` keeps keys that other programs put into the file. Text
    given for a secret becomes one.
    """

    client_id: Secret[str] = field(default=_NONE, repr=False)
    host_id: Secret[str] = field(default=_NONE, repr=False)
    subject: Secret[str] = field(default=_NONE, repr=False)
    email: Secret[str] = field(default=_NONE, repr=False)
    access_token: Secret[str] = field(default=_NONE, repr=False)
    refresh_token: Secret[str] = field(default=_NONE, repr=False)
    id_token: Secret[str] = field(default=_NONE, repr=False)
    scopes: tuple[str, ...] = ()
    expires_at: float | None = None
    earliest_refresh_at: float | None = None
    saved_at: float | None = field(default=None, compare=False)
    pending: Grant | None = field(default=None, repr=False)
    origin: Origin = CHATGPT_PLAN_SIGN_IN.origin
    extra: Secret[Mapping[str, Any]] = field(default=_NOTHING, repr=False)

    def __post_init__(self) -> None:
        _hide(self, (*_SECRETS, "extra"))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> PlanCredential:
        """Read the shape of the file; what is missing or of a wrong type is empty."""
        words = {own: _word(stored.get(name)) for name, own in _WORDS.items()}
        email = stored.get("email")
        pending = stored.get("pending")
        client_id = words["client_id"]
        return cls(
            client_id=Secret(client_id if is_client_id(client_id) else ""),
            host_id=Secret(words["host_id"]),
            subject=Secret(words["subject"]),
            email=Secret(str(email) if is_shown(email) else ""),
            **{name: Secret(words[name]) for name in _TOKENS},
            scopes=_scopes(stored.get("scopes")) or (),
            expires_at=_moment(stored.get("expires_at")),
            earliest_refresh_at=_moment(stored.get("earliest_refresh_at")),
            saved_at=_moment(stored.get("saved_at")),
            pending=Grant.from_dict(pending) if isinstance(pending, Mapping) else None,
            origin=_origin(stored),
            extra=Secret({key: value for key, value in stored.items() if key not in _KEYS}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of the file, with the secrets."""
        known = revealed({name: getattr(self, own) for name, own in _WORDS.items() if getattr(self, own)})
        names = ("expires_at", "earliest_refresh_at", "saved_at")
        times = {name: getattr(self, name) for name in names}
        return {
            **self.extra.reveal(),
            "auth_mode": CHATGPT_PLAN_SIGN_IN.mode,
            "issuer": self.origin.issuer,
            "backend": self.origin.backend,
            **known,
            "scopes": list(self.scopes),
            **{name: moment for name, moment in times.items() if moment is not None},
            **({"token_type": "Bearer"} if self.access_token else {}),
            **({"pending": self.pending.to_dict()} if self.pending else {}),
        }

    @property
    def is_connected(self) -> bool:
        """True with tokens of a known person and a known registration."""
        has_tokens = self.access_token or self.refresh_token or self.pending
        return bool(self.client_id and self.subject and has_tokens)

    @property
    def newest_refresh_token(self) -> Secret[str]:
        """The one that has not been spent; empty if there is none."""
        return (self.pending and self.pending.refresh_token) or self.refresh_token

    @property
    def uses_plan(self) -> bool:
        """True if the person allowed this app to use the plan."""
        return CHATGPT_PLAN_SIGN_IN.plan_scope in self.scopes

    def is_valid(self, now: float) -> bool:
        """True with an access token that has not expired."""
        return bool(self.access_token) and self.expires_at is not None and self.expires_at > now

    def is_due(self, now: float) -> bool:
        """True once the access token should be renewed; not before the issuer allows it while it is valid."""
        if self.is_valid(now + RENEW_BEFORE):
            return False
        is_early = self.earliest_refresh_at is not None and self.earliest_refresh_at > now
        return not (is_early and self.is_valid(now))

    def is_fresh(self, now: float) -> bool:
        """True while no renewal is due, and nothing waits to be verified."""
        return not self.is_due(now) and self.pending is None

    def is_pending_over(self, now: float) -> bool:
        """True if the tokens that wait to be verified have expired."""
        return self.pending is not None and (self.pending.expires_at or 0.0) <= now

    def with_pending(self, grant: Grant) -> PlanCredential:
        """Return the same with renewed tokens that are not verified yet."""
        token = grant.refresh_token or self.newest_refresh_token
        return replace(self, pending=replace(grant, refresh_token=token))

    def settled(self, grant: Grant, identity: Identity | None = None) -> PlanCredential:
        """Return the same with the tokens of ``grant`` in the place of its own, and nothing pending."""
        return replace(
            self,
            access_token=grant.access_token or self.access_token,
            refresh_token=grant.refresh_token or self.refresh_token,
            id_token=grant.id_token or self.id_token,
            scopes=self.scopes if grant.scopes is None else grant.scopes,
            expires_at=grant.expires_at if grant.access_token else self.expires_at,
            earliest_refresh_at=grant.earliest_refresh_at,
            saved_at=None,
            subject=identity.subject if identity else self.subject,
            email=(identity.email if identity else _NONE) or self.email,
            pending=None,
        )

    def without_tokens(self) -> PlanCredential:
        """Return what a sign-out keeps: the registration, the host and the person."""
        return PlanCredential(
            client_id=self.client_id,
            host_id=self.host_id,
            subject=self.subject,
            email=self.email,
            origin=self.origin,
            extra=self.extra,
        )


def _hide(owner: Grant | PlanCredential, names: tuple[str, ...]) -> None:
    """Make secrets of the values of these fields."""
    for name in names:
        value = getattr(owner, name)
        if not isinstance(value, Secret):
            object.__setattr__(owner, name, Secret(value))


def is_client_id(text: str) -> bool:
    """True for the id of an issued registration."""
    return _CLIENT_ID.fullmatch(text) is not None and text != CHATGPT_PLAN_SIGN_IN.dynamic_client


def _origin(stored: Mapping[str, Any]) -> Origin:
    """Read where it was obtained, the service itself by default; what cannot be read matches no service."""
    usual = CHATGPT_PLAN_SIGN_IN.origin
    if "issuer" not in stored and "backend" not in stored:
        return usual
    issuer, backend = stored.get("issuer", usual.issuer), stored.get("backend")
    if backend is None and issuer == usual.issuer:
        return usual
    try:
        return Origin.of(str(issuer), str(backend or ""))
    except ValueError:
        return Origin("", "")


def _scopes(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(scope for scope in value if isinstance(scope, str))
    return None


def _moment(value: object) -> float | None:
    """Read Unix seconds or ISO 8601, both are written; None for anything but a time from 1970 to 9999."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    number = _number(value)
    return number if number is not None and 0 <= number < _END_OF_TIME else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e12 < value < 1e12 else None


def _word(value: object) -> str:
    """Read text that a header or a query can carry; empty for anything else."""
    return value if isinstance(value, str) and _GRAPHIC.fullmatch(value) else ""
