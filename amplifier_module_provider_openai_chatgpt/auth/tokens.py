"""The tokens of one sign-in: what they say about the person, and how long they are valid. No I/O.

The shape of ``to_dict`` is the token file's and public: hosts look for its flat keys.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from ..secret import Secret, revealed
from ..services import CHATGPT_CODEX, Claims, Origin

# How long before its expiry a token is renewed.
RENEW_BEFORE = timedelta(minutes=5)
_DEFAULT_LIFETIME = timedelta(hours=1)
_GRAPHIC = r"[!-~]+"
_WORDS = ("auth_mode", "access_token", "refresh_token", "id_token", "account_id", "plan_type")
_ORIGIN = ("issuer", "backend")
_KEYS = {*_WORDS, *_ORIGIN, "expires_at"}
_PERSONAL = ("sub", "email")
_NONE = Secret("")
_NOTHING: Secret[Mapping[str, Any]] = Secret({})
# Every spelling of this kind of sign-in; other programs store others under the same key.
OUR_MODES = frozenset({"oauth", "chatgpt_codex", "legacy_codex"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sign-in. Text given for a secret becomes one, so nothing that shows this object shows it.

    ``origin`` is where it was obtained, None if that was not recorded. ``extra`` keeps keys of the token
    file that we do not know; ``claims`` names what the service puts into its tokens. ``address`` is the
    e-mail address, where it is known other than by the tokens; ``uses_plan`` is False without the permission
    to use the plan, which only one service asks for.
    """

    access_token: Secret[str] = field(default=_NONE, repr=False)
    refresh_token: Secret[str] = field(default=_NONE, repr=False)
    id_token: Secret[str] = field(default=_NONE, repr=False)
    account_id: Secret[str] = field(default=_NONE, repr=False)
    plan_type: str = ""
    expires_at: datetime | None = None
    auth_mode: str = "oauth"
    origin: Origin | None = None
    extra: Secret[Mapping[str, Any]] = field(default=_NOTHING, repr=False)
    claims: Claims = field(default=CHATGPT_CODEX.claims, repr=False, compare=False)
    address: Secret[str] = field(default=_NONE, repr=False, compare=False)
    uses_plan: bool = True
    # True for accounts whose requests need a header of their own.
    is_fedramp: bool = field(default=False, init=False, repr=False, compare=False)
    # What else names the person; kept, so it counts as a secret as long as this sign-in is used.
    _names: tuple[Secret[str], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("access_token", "refresh_token", "id_token", "account_id", "address", "extra"):
            value = getattr(self, name)
            if not isinstance(value, Secret):
                object.__setattr__(self, name, Secret(value))
        both = (decode(self.id_token), decode(self.access_token))
        is_fedramp = any(_object(found, self.claims.auth).get(self.claims.fedramp) is True for found in both)
        object.__setattr__(self, "is_fedramp", is_fedramp)
        object.__setattr__(self, "_names", tuple(map(Secret, self._personal(*both))))

    def _personal(self, *tokens: Mapping[str, Any]) -> Iterator[str]:
        """Yield the person's address, and the ids of person, account and organization."""
        for found in tokens:
            inner = (_object(found, self.claims.auth), _object(found, self.claims.profile))
            for claims in (found, *inner):
                named = (value for name, value in claims.items() if name in _PERSONAL or name.endswith("_id"))
                yield from filter(None, map(_text, named))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], claims: Claims = CHATGPT_CODEX.claims) -> Tokens:
        """Read the shape of the token file; what is missing, of a wrong type or not a token is empty.

        The expiry is the access token's own ``exp``, else the stored one; a time without offset is UTC.
        """
        words = {name: _word(stored.get(name)) for name in _WORDS}
        identity, access = decode(words["id_token"]), decode(words["access_token"])
        return cls(
            access_token=Secret(words["access_token"]),
            refresh_token=Secret(words["refresh_token"]),
            id_token=Secret(words["id_token"]),
            account_id=Secret(_account_of(claims, identity, access, words["account_id"])),
            plan_type=words["plan_type"] or _plan_of(claims, identity) or _plan_of(claims, access),
            auth_mode=words["auth_mode"] or "oauth",
            expires_at=_expiry_of(access) or _time(stored.get("expires_at")),
            origin=_origin_of(stored),
            extra=Secret({key: value for key, value in stored.items() if key not in _KEYS}),
            claims=claims,
        )

    @classmethod
    def from_reply(
        cls,
        reply: Mapping[str, Any],
        *,
        now: datetime,
        previous: Tokens | None = None,
        claims: Claims = CHATGPT_CODEX.claims,
    ) -> Tokens:
        """Merge an answer of the token endpoint over ``previous``: each field of it may be missing.

        ``claims`` counts only without ``previous``.
        """
        old = previous or cls(claims=claims)
        token, id_token = _word(reply.get("access_token")), _word(reply.get("id_token"))
        access, identity = decode(token), decode(id_token)
        known = "" if _profiled(old.claims, identity) else old.account_id.reveal()
        expires_at = (
            _expiry_of(access) or _time(reply.get("expires_at")) or now + _lifetime(reply.get("expires_in"))
        )
        return cls(
            access_token=Secret(token) if token else old.access_token,
            refresh_token=Secret(_word(reply.get("refresh_token"))) or old.refresh_token,
            id_token=Secret(id_token) if id_token else old.id_token,
            account_id=Secret(
                _account_of(old.claims, identity, access if identity or not known else {}, known)
            ),
            plan_type=_plan_of(old.claims, identity) or old.plan_type or _plan_of(old.claims, access),
            expires_at=expires_at if token else old.expires_at,
            auth_mode=old.auth_mode,
            origin=old.origin,
            extra=old.extra,
            claims=old.claims,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the shape of the token file, with the secrets."""
        known = revealed({name: getattr(self, name) for name in _WORDS})
        expiry = self.expires_at.isoformat() if self.expires_at else None
        origin = (
            dict(zip(_ORIGIN, (self.origin.issuer, self.origin.backend), strict=True)) if self.origin else {}
        )
        return {**self.extra.reveal(), **known, "expires_at": expiry, **origin}

    def obtained_at(self, origin: Origin) -> Tokens:
        """Return the same tokens with the record of where they were obtained."""
        return replace(self, origin=origin)

    def belongs_to(self, origin: Origin) -> bool:
        """True if these tokens may be sent to this issuer and this backend, and to no other.

        Without a record they belong to the service itself. Only unsigned tokens, which no real issuer
        makes, may then be used on this machine: they are a simulator's.
        """
        if self.origin is not None:
            return self.origin == origin
        return origin == CHATGPT_CODEX.origin or (origin.is_loopback and _is_unsigned(self.access_token))

    @property
    def email(self) -> str:
        """Address of the account, for display; empty if unknown."""
        found = decode(self.id_token) or decode(self.access_token)
        named = _text(found.get("email")) or _text(_object(found, self.claims.profile).get("email"))
        return named or self.address.reveal()

    @property
    def can_refresh(self) -> bool:
        """True with a refresh token: an empty one must never be sent."""
        return bool(self.refresh_token)

    def is_valid(self, now: datetime) -> bool:
        """True with an access token that has not expired; one of unknown expiry is not valid."""
        return bool(self.access_token) and self.expires_at is not None and self.expires_at > now

    def is_due(self, now: datetime) -> bool:
        """True once the access token should be renewed: ``RENEW_BEFORE`` its expiry, and after it."""
        return not self.is_valid(now + RENEW_BEFORE)

    def is_same(self, other: Tokens | None) -> bool:
        """True if both tokens are equal, whatever else was stored with them."""
        return other is not None and (self.access_token, self.refresh_token) == (
            other.access_token,
            other.refresh_token,
        )


def plan_of(claims: Claims, id_token: Secret[str]) -> str:
    """Return the plan that an id token names; empty if it names none."""
    return _plan_of(claims, decode(id_token))


def decode(token: str | Secret[str]) -> Mapping[str, Any]:
    """Return the claims of a JWT, unverified: they are the person's own. Empty for anything else."""
    return _part(token, 1)


def _part(token: str | Secret[str], index: int) -> Mapping[str, Any]:
    parts = (token.reveal() if isinstance(token, Secret) else token).split(".")
    if len(parts) != 3 or not all(parts):
        return {}
    try:
        found = from_json(base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, Mapping) else {}


def _is_unsigned(token: Secret[str]) -> bool:
    """True for a JWT whose header says that it is not signed."""
    return bool(decode(token)) and _part(token, 0).get("alg") == "none"


def _origin_of(stored: Mapping[str, Any]) -> Origin | None:
    """Read where a sign-in was obtained; a record that cannot be read matches no service."""
    if not any(name in stored for name in _ORIGIN):
        return None
    try:
        return Origin.of(*(_text(stored.get(name)) for name in _ORIGIN))
    except ValueError:
        return Origin("", "")


def _account_of(claims: Claims, identity: Mapping[str, Any], access: Mapping[str, Any], stored: str) -> str:
    """Find the account; the id token before the access token at each place (docs/backend.md, Tokens).

    The subject of a token is a person, not an account.
    """
    both = (identity, access)
    places = (_claimed, _at_the_root, _first_organization)
    found = (place(claims, one) for place in places for one in both)
    older = (_profiled(claims, one) for one in both)
    return next(filter(None, (*found, stored, *older)), "")


def _at_the_root(claims: Claims, found: Mapping[str, Any]) -> str:
    return _word(found.get(claims.account))


def _first_organization(_: Claims, found: Mapping[str, Any]) -> str:
    organizations = found.get("organizations")
    first = organizations[0] if isinstance(organizations, list) and organizations else None
    return _word(first.get("id")) if isinstance(first, Mapping) else ""


def _claimed(claims: Claims, found: Mapping[str, Any]) -> str:
    """The account as today's tokens name it."""
    return _word(_object(found, claims.auth).get(claims.account))


def _profiled(claims: Claims, found: Mapping[str, Any]) -> str:
    """The account as older tokens named it."""
    return _word(_object(found, claims.profile).get("account_id"))


def _plan_of(claims: Claims, found: Mapping[str, Any]) -> str:
    return _word(_object(found, claims.auth).get(claims.plan))


def _object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, Mapping) else {}


def _expiry_of(found: Mapping[str, Any]) -> datetime | None:
    seconds = found.get("exp")
    return _time(seconds) if isinstance(seconds, int | float) else None


def _lifetime(seconds: object) -> timedelta:
    """Read ``expires_in``; an hour where it is missing or not a sensible number."""
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
    """Read a token or an id; empty for what no header could carry."""
    return value if isinstance(value, str) and re.fullmatch(_GRAPHIC, value) else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
