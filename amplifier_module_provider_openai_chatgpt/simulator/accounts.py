"""Who has signed in and with which tokens: what the issuer gives out and the backend checks."""

from __future__ import annotations

import base64
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import to_json

Json = dict[str, Any]

ACCOUNT = "6f1c2a10-0000-4000-8000-000000000001"
LIFETIME = 864_000.0
_ID_TOKEN_LIFETIME = 3_600

Standing = Literal["good", "unknown", "spent", "revoked"]

# Called with every secret that any simulator of this process gives out, so that tests can search for them.
confidants: list[Callable[[str], object]] = []


def confide(secret: str) -> None:
    """Tell those who search for secrets of one more."""
    for confidant in confidants:
        confidant(secret)


@dataclass(slots=True, eq=False)
class Grant:
    """One sign-in: whose it is, and which of its refresh tokens are used up."""

    account_id: str
    plan: str
    fedramp: bool = False
    spent: set[str] = field(default_factory=set, repr=False)
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What is known of one access token; ``expires`` in Unix seconds, ``refused`` with this error code."""

    grant: Grant
    expires: float
    refused: str | None = None


class Accounts:
    """All grants and tokens of one simulator; safe to use from any thread.

    ``lifetime`` is that of the next access tokens, in seconds.
    """

    def __init__(self) -> None:
        self.lifetime = LIFETIME
        self._lock = threading.RLock()
        self._secrets: set[str] = set()
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, Grant] = {}

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret given out so far."""
        with self._lock:
            return frozenset(self._secrets)

    def keep_secret(self, text: str) -> str:
        """Remember something that must never turn up where others can read it."""
        with self._lock:
            self._secrets.add(text)
        confide(text)
        return text

    def secret(self, prefix: str, size: int = 24) -> str:
        """Make a secret of ``size`` random bytes."""
        return self.keep_secret(prefix + secrets.token_urlsafe(size))

    def issue(self, grant: Grant, lifetime: float | None = None) -> Json:
        """Issue the tokens of a grant, as the token endpoint answers; ``lifetime`` in seconds."""
        lifetime = self.lifetime if lifetime is None else lifetime
        expires = time.time() + lifetime
        access, identity = self._jwt(grant, expires), self._jwt(grant, time.time() + _ID_TOKEN_LIFETIME)
        refresh = self.secret("rt_", 48)
        with self._lock:
            self._access[access] = Access(grant, expires)
            self._refresh[refresh] = grant
        return {
            "id_token": identity,
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": int(lifetime),
            "scope": "openid profile email offline_access",
        }

    def token_file(self, grant: Grant, lifetime: float) -> Json:
        """Issue the tokens of a grant, in the shape of the provider's token file."""
        issued = self.issue(grant, lifetime)
        expires = datetime.fromtimestamp(self._access[issued["access_token"]].expires, UTC)
        return {
            "auth_mode": "oauth",
            **{name: issued[name] for name in ("access_token", "refresh_token", "id_token")},
            "account_id": grant.account_id,
            "plan_type": grant.plan,
            "expires_at": expires.isoformat(),
        }

    def access(self, token: str) -> Access | None:
        """Return what is known of an access token."""
        with self._lock:
            return self._access.get(token)

    def refuse(self, token: str, code: str) -> None:
        """Refuse an access token from now on, with this error code."""
        with self._lock:
            known = self._access[token]
            self._access[token] = Access(known.grant, known.expires, code)

    def spend(self, token: str) -> tuple[Standing, Grant | None]:
        """Use up a refresh token; only a good one is used up, and only once."""
        with self._lock:
            grant = self._refresh.get(token)
            if grant is None:
                return "unknown", None
            if grant.revoked:
                return "revoked", grant
            if token in grant.spent:
                return "spent", grant
            grant.spent.add(token)
            return "good", grant

    def revoke(self, token: str) -> None:
        """End the grant that an access or a refresh token belongs to; unknown ones are no error."""
        with self._lock:
            known = self._access.get(token)
            grant = self._refresh.get(token) or (known.grant if known else None)
            if grant is not None:
                grant.revoked = True

    def _jwt(self, grant: Grant, expires: float) -> str:
        """Make a token with the claims of a real one; its signature means nothing."""
        claims = {
            "exp": int(expires),
            "jti": uuid.uuid4().hex,
            "email": "ada@example.com",
            "https://api.openai.com/profile": {"email": "ada@example.com"},
            "https://api.openai.com/auth": {
                "chatgpt_account_id": grant.account_id,
                "chatgpt_user_id": "user-simulated",
                "chatgpt_plan_type": grant.plan,
                "chatgpt_account_is_fedramp": grant.fedramp,
            },
        }
        parts = (to_json({"alg": "RS256", "typ": "JWT"}), to_json(claims), secrets.token_bytes(24))
        return self.keep_secret(
            ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        )
