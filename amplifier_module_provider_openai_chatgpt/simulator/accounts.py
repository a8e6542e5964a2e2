"""Sign-ins and their tokens: what the issuer issues and the backend checks."""

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

RefreshState = Literal["good", "unknown", "used", "revoked"]

# Called with every secret that any simulator of this process issues, so tests can search for leaks.
secret_listeners: list[Callable[[str], object]] = []


# Called with every secret that reaches the wrong service, so test runs can fail (see strays.py).
stray_listeners: list[Callable[[str], object]] = []


def announce_stray(sentence: str) -> None:
    """Report a misplaced secret to every listener."""
    for listener in stray_listeners:
        listener(sentence)


def announce_secret(secret: str) -> None:
    """Report a newly issued secret to every listener."""
    for listener in secret_listeners:
        listener(secret)


@dataclass(slots=True, eq=False)
class SignIn:
    """One sign-in: its account, and which of its refresh tokens were used.

    At the plan service the account is a person, who gave ``scopes`` to an app.
    """

    account_id: str
    plan: str
    fedramp: bool = False
    scopes: frozenset[str] = frozenset()
    client_id: str = field(default="", repr=False)
    used: set[str] = field(default_factory=set, repr=False)
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """One access token; ``expires`` in Unix seconds, ``refused`` is the error code it is refused with."""

    sign_in: SignIn
    expires: float
    refused: str | None = None


class Accounts:
    """All sign-ins and tokens of one simulator; safe to use from any thread.

    ``lifetime`` is the lifetime of new access tokens, in seconds. ``claims`` replace those of new tokens; a
    None removes one.
    """

    def __init__(self) -> None:
        self.lifetime = LIFETIME
        self.claims: Json = {}
        self._lock = threading.RLock()
        self._secrets: set[str] = set()
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, SignIn] = {}

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret issued so far."""
        with self._lock:
            return frozenset(self._secrets)

    def keep_secret(self, text: str) -> str:
        """Remember a secret, which must never appear in logs, events, errors or terminals."""
        with self._lock:
            self._secrets.add(text)
        announce_secret(text)
        return text

    def secret(self, prefix: str, size: int = 24) -> str:
        """Make a secret of ``size`` random bytes."""
        return self.keep_secret(prefix + secrets.token_urlsafe(size))

    def issue(self, sign_in: SignIn, lifetime: float | None = None) -> Json:
        """Issue tokens, in the shape of the token endpoint's answer; ``lifetime`` in seconds."""
        lifetime = self.lifetime if lifetime is None else lifetime
        expires = time.time() + lifetime
        access, identity = self._jwt(sign_in, expires), self._jwt(sign_in, time.time() + _ID_TOKEN_LIFETIME)
        refresh = self.secret("rt_", 48)
        self._keep(sign_in, access, refresh, expires)
        return {
            "id_token": identity,
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": int(lifetime),
            "scope": "openid profile email offline_access",
        }

    def issue_opaque(self, sign_in: SignIn, lifetime: float) -> tuple[str, str]:
        """Issue an access token without claims, valid for ``lifetime`` seconds, and a refresh token."""
        access, refresh = self.secret("at_", 48), self.secret("rt_", 48)
        self._keep(sign_in, access, refresh, time.time() + lifetime)
        return access, refresh

    def _keep(self, sign_in: SignIn, access: str, refresh: str, expires: float) -> None:
        with self._lock:
            self._access[access] = Access(sign_in, expires)
            self._refresh[refresh] = sign_in

    def token_file(self, sign_in: SignIn, lifetime: float) -> Json:
        """Issue tokens, in the shape of the provider's token file."""
        issued = self.issue(sign_in, lifetime)
        expires = datetime.fromtimestamp(self._access[issued["access_token"]].expires, UTC)
        return {
            "auth_mode": "oauth",
            **{name: issued[name] for name in ("access_token", "refresh_token", "id_token")},
            "account_id": sign_in.account_id,
            "plan_type": sign_in.plan,
            "expires_at": expires.isoformat(),
        }

    def access(self, token: str) -> Access | None:
        """Return an access token's record, or None if it was never issued."""
        with self._lock:
            return self._access.get(token)

    def kind(self, secret: str) -> Literal["access", "identity", "issuer"] | None:
        """Return what a secret is: an access token, an id token, or one that only the issuer may see."""
        with self._lock:
            if secret in self._access:
                return "access"
            if secret not in self._secrets:
                return None
            return "identity" if secret.startswith("eyJ") else "issuer"

    def expire(self, token: str, expires_in: float) -> None:
        """Let an access token expire in so many seconds; a negative number makes it expired."""
        with self._lock:
            known = self._access[token]
            self._access[token] = Access(known.sign_in, time.time() + expires_in, known.refused)

    def refuse(self, token: str, code: str) -> None:
        """Refuse an access token from now on, with this error code."""
        with self._lock:
            known = self._access[token]
            self._access[token] = Access(known.sign_in, known.expires, code)

    def owner(self, token: str) -> SignIn | None:
        """Return the sign-in of a refresh token, used or not."""
        with self._lock:
            return self._refresh.get(token)

    def spend(self, token: str) -> tuple[RefreshState, SignIn | None]:
        """Use a refresh token; it works once."""
        with self._lock:
            sign_in = self._refresh.get(token)
            if sign_in is None:
                return "unknown", None
            if sign_in.revoked:
                return "revoked", sign_in
            if token in sign_in.used:
                return "used", sign_in
            sign_in.used.add(token)
            return "good", sign_in

    def revoke(self, token: str) -> None:
        """End the sign-in that a token belongs to; an unknown token is not an error."""
        with self._lock:
            known = self._access.get(token)
            sign_in = self._refresh.get(token) or (known.sign_in if known else None)
            if sign_in is not None:
                sign_in.revoked = True

    def _jwt(self, sign_in: SignIn, expires: float) -> str:
        """Create a token with the claims of a real one; its signature is random."""
        claims = {
            "exp": int(expires),
            "jti": uuid.uuid4().hex,
            "email": "ada@example.com",
            "https://api.openai.com/profile": {"email": "ada@example.com"},
            "https://api.openai.com/auth": {
                "chatgpt_account_id": sign_in.account_id,
                "chatgpt_user_id": "user-simulated",
                "chatgpt_plan_type": sign_in.plan,
                "chatgpt_account_is_fedramp": sign_in.fedramp,
            },
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        parts = (to_json({"alg": "none", "typ": "JWT"}), to_json(claims), secrets.token_bytes(24))
        return self.keep_secret(
            ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        )
