"""What the plan service issues: tokens, as its token endpoint answers, and a whole stored sign-in."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..accounts import SignIn
from .sharing import IDENTITY_SCOPES, PLAN_SCOPE, SCOPES, Client

if TYPE_CHECKING:
    from ..state import State

Json = dict[str, Any]

_ID_TOKEN_LIFETIME = 3_600
_REFRESHED_BEFORE = 300


def scope_of(client: Client) -> str:
    """Return the scope of a client's sign-ins."""
    return " ".join((*IDENTITY_SCOPES, *((PLAN_SCOPE,) if client.uses_plan else ())))


def tokens(state: State, sign_in: SignIn, issuer: str, *, nonce: str | None = None) -> Json:
    """Issue tokens, in the shape of the token endpoint's answer; the id token is from ``issuer``."""
    sharing = state.sharing
    access, refresh = state.accounts.issue_opaque(sign_in, sharing.lifetime)
    earliest = time.time() + max(0.0, sharing.lifetime - _REFRESHED_BEFORE)
    sharing.earliest_refresh[refresh] = earliest
    return {
        "access_token": access,
        "refresh_token": refresh,
        "id_token": _id_token(state, sign_in, issuer, nonce),
        "token_type": "Bearer",
        "expires_in": int(sharing.lifetime),
        "scope": " ".join(scope for scope in SCOPES if scope in sign_in.scopes),
        **_earliest(earliest, sharing.earliest),
    }


def stored(state: State, issuer: str, backend: str, expires_in: float, *, uses_plan: bool, plan: str) -> Json:
    """Return the content of a credential file after a sign-in at these addresses."""
    sharing = state.sharing
    host_id = state.accounts.keep_secret(f"urn:uuid:{uuid.uuid4()}")
    client_id = state.accounts.secret("oaiapp_")
    client = sharing.clients[client_id] = Client(host_id, sharing.subject, uses_plan)
    scopes = scope_of(client).split()
    sign_in = SignIn(sharing.subject, plan, scopes=frozenset(scopes), client_id=client_id)
    issued = tokens(state, sign_in, issuer)
    state.accounts.expire(issued["access_token"], expires_in)
    return {
        "auth_mode": "chatgpt_plan",
        "client_id": client_id,
        "ext_agent_host_id": host_id,
        "issuer": issuer,
        "backend": backend,
        "subject": sharing.subject,
        "email": sharing.email,
        **{name: issued[name] for name in ("access_token", "refresh_token", "id_token")},
        "token_type": "Bearer",
        "scopes": scopes,
        "expires_at": time.time() + expires_in,
    }


def _id_token(state: State, sign_in: SignIn, issuer: str, nonce: str | None) -> str:
    sharing, now = state.sharing, int(time.time())
    claims = {
        "iss": issuer,
        "aud": sign_in.client_id,
        "sub": sign_in.account_id,
        "iat": now,
        "exp": now + _ID_TOKEN_LIFETIME,
        "nonce": nonce,
        "email": sharing.email,
        **sharing.claims,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    token = sharing.keys.token(present, sharing.signature, sharing.token_header)
    return state.accounts.keep_secret(token)


def _earliest(moment: float, spelling: str) -> Json:
    """Return `earliest_refresh_at` in seconds or as text; both were [seen]."""
    text = datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")
    values = {"seconds": int(moment), "text": text}
    return {"earliest_refresh_at": values[spelling]} if spelling in values else {}
