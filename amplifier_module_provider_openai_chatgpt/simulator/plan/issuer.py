"""The issuer of the plan service: discovery, keys, consent, tokens (docs/backend-plan.md, Endpoints)."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from pydantic_core import from_json
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..accounts import SignIn
from .sharing import SCOPES, Client
from .tokens import scope_of, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.datastructures import QueryParams
    from starlette.requests import Request

    from ..state import State

Json = dict[str, Any]

DYNAMIC_CLIENT = "dynamic_agent_client"
RESOURCE = "https://api.openai.com/v1"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"
AUTHORIZE = "/api/accounts/authorize"
TOKEN = "/api/accounts/oauth/token"  # noqa: S105 - a path
REVOKE = "/api/accounts/oauth/revoke"
CALLBACK_PATH = "/auth/callback"
_LAST_PORT = 65_535

_HOST_ID = re.compile(
    r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|urn:ietf:params:oauth:jwk-thumbprint:[\w:-]{20,}|did:key:z\w{20,}"
)


def _is_redirect(text: str) -> bool:
    """Return True for the loopback address by its number; the port may be any."""
    found = re.fullmatch(rf"http://127\.0\.0\.1:([1-9]\d{{0,4}}){CALLBACK_PATH}", text, re.ASCII)
    return found is not None and int(found[1]) <= _LAST_PORT


def _is_random(text: str) -> bool:
    """Return True for 32 bytes in base64url without padding."""
    return re.fullmatch(r"[\w-]{43}", text, re.ASCII) is not None


# What every authorization request has, and what each parameter must be [doc].
ALWAYS: dict[str, Callable[[str], bool]] = {
    "response_type": lambda text: text == "code",
    "redirect_uri": _is_redirect,
    "scope": lambda text: sorted(text.split()) == sorted(SCOPES),
    "resource": lambda text: text == RESOURCE,
    "state": _is_random,
    "nonce": _is_random,
    "code_challenge_method": lambda text: text == "S256",
    "code_challenge": _is_random,
    "ext_agent_host_id": lambda text: _HOST_ID.fullmatch(text) is not None,
}
_EXCHANGE = {"grant_type", "client_id", "code", "code_verifier", "redirect_uri", "resource"}
_REFRESH = {"grant_type", "client_id", "refresh_token", "resource"}
_REVOCATION = {"token", "token_type_hint", "client_id"}
_HINTS = {"refresh_token"}
_DEAD = {"used": "refresh_token_reused", "revoked": "refresh_token_invalidated"}


@dataclass(frozen=True, slots=True)
class _Approval:
    """What an authorization code was issued for."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    subject: str


class PlanIssuer:
    """The issuer of one simulator."""

    def __init__(self, state: State) -> None:
        self._state, self._sharing = state, state.sharing
        self._codes: dict[str, _Approval] = {}

    def routes(self) -> list[Route]:
        """Return the paths that the issuer serves."""
        return [
            Route(DISCOVERY, self._discovery),
            Route(JWKS, self._keys),
            Route(AUTHORIZE, self._authorize),
            Route(TOKEN, self._token, methods=["POST"]),
            Route(REVOKE, self._revoke, methods=["POST"]),
        ]

    async def _discovery(self, request: Request) -> Response:
        origin = _origin(request)
        paths = {
            "authorization_endpoint": AUTHORIZE,
            "token_endpoint": TOKEN,
            "revocation_endpoint": REVOKE,
            "jwks_uri": JWKS,
        }
        document = {
            "issuer": origin,
            **{name: origin + path for name, path in paths.items()},
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return JSONResponse({**document, **self._sharing.discovery})

    async def _keys(self, request: Request) -> Response:
        del request
        return JSONResponse(self._sharing.keys.document())

    # Consent

    async def _authorize(self, request: Request) -> Response:
        """Let the person decide immediately and redirect the browser back (rule sharing.authorize)."""
        asked = request.query_params
        wrong = self._wrong(asked)
        if wrong is not None:
            return _error("invalid_request", f"Invalid authorization request: {wrong}.")
        is_new = asked["client_id"] == DYNAMIC_CLIENT
        has_page = is_new or asked.get("prompt") == "consent"
        if has_page and self._sharing.consent == "denied":
            return _back(asked, {"error": "access_denied"})
        client_id = self._register(asked) if is_new else asked["client_id"]
        client = self._sharing.clients[client_id]
        if has_page:
            client.uses_plan = self._sharing.consent == "plan" and self._state.plan != "free"
        return _back(asked, self._answer(asked, client_id, client, is_new=is_new))

    def _wrong(self, asked: QueryParams) -> str | None:
        """Return the first parameter that is missing, wrong, repeated or unknown.

        [unsure]: whether the real issuer refuses a parameter that it does not know.
        """
        count = Counter(name for name, _ in asked.multi_items())
        required, optional = self._parameters(is_new=asked.get("client_id") == DYNAMIC_CLIENT)
        valid = {**required, **optional}
        for name in (*required, *count):
            text = asked.get(name)
            if count[name] > 1 or name not in valid or text is None or not valid[name](text):
                return name
        return None

    def _parameters(self, *, is_new: bool) -> tuple[dict[str, Callable[[str], bool]], ...]:
        """Return the checks of the required and of the optional parameters."""
        if is_new:
            return {**ALWAYS, "client_id": bool, "agent_name_hint": lambda text: bool(text.strip())}, {}
        return {**ALWAYS, "client_id": self._sharing.clients.__contains__}, {
            "id_token_hint": lambda text: bool(_subject(text)) and text in self._state.secrets,
            "login_hint": lambda text: "@" in text,
            "prompt": lambda text: text == "consent",
        }

    def _register(self, asked: QueryParams) -> str:
        host_id = self._state.accounts.keep_secret(asked["ext_agent_host_id"])
        client_id = self._state.accounts.secret("oaiapp_")
        self._sharing.clients[client_id] = Client(host_id, self._sharing.subject, uses_plan=False)
        return client_id

    def _answer(self, asked: QueryParams, client_id: str, client: Client, *, is_new: bool) -> Json:
        """Return what the browser brings back; a hint chooses the account, else the person does."""
        sharing = self._sharing
        subject = _subject(asked.get("id_token_hint", "")) or sharing.subject
        code = self._state.accounts.secret("ac_")
        self._codes[code] = _Approval(
            client_id, asked["redirect_uri"], asked["code_challenge"], asked["nonce"], subject
        )
        shown = {"always": True, "new": is_new, "never": False}[sharing.client_id_in_callback]
        return {
            "code": code,
            **({"client_id": client_id} if shown else {}),
            **({"scope": scope_of(client)} if sharing.scope_in_callback else {}),
        }

    # Tokens

    async def _token(self, request: Request) -> Response:
        """Rule sharing.form: exchange and refresh are forms with exactly their own fields."""
        fields = await _form(request)
        if fields is None:
            return _error("invalid_request", "The body must be a form.")
        client_id = fields.get("client_id", "")
        if client_id not in self._sharing.clients:
            return _error("invalid_client", "Unknown client.", 401)
        grants = {
            "authorization_code": (_EXCHANGE, self._exchange),
            "refresh_token": (_REFRESH, self._refresh),
        }
        names, grant = grants.get(fields.get("grant_type", ""), (set(), None))
        if grant is None:
            return _error("unsupported_grant_type", "Unknown grant type.")
        if set(fields) != names or fields["resource"] != RESOURCE:
            odd = sorted(set(fields) ^ names) or ["resource"]
            return _error("invalid_request", f"Missing, unknown or wrong fields: {', '.join(odd)}.")
        return grant(fields, _origin(request))

    def _exchange(self, fields: Mapping[str, str], issuer: str) -> Response:
        """Rule sharing.code: once, by its client, with the same redirect and the verifier."""
        approval = self._codes.pop(fields["code"], None)
        if approval is None or approval.client_id != fields["client_id"]:
            return _error("invalid_grant", "The authorization code is unknown, used or another client's.")
        if approval.redirect_uri != fields["redirect_uri"]:
            return _error("invalid_grant", "The redirect is not the one of the authorization.")
        if _challenge(fields["code_verifier"]) != approval.challenge:
            return _error("invalid_grant", "The code verifier does not match.")
        client = self._sharing.clients[approval.client_id]
        scopes = frozenset(scope_of(client).split())
        sign_in = SignIn(approval.subject, self._state.plan, scopes=scopes, client_id=approval.client_id)
        return JSONResponse(tokens(self._state, sign_in, issuer, nonce=approval.nonce))

    def _refresh(self, fields: Mapping[str, str], issuer: str) -> Response:
        """Rule sharing.refresh-once: a refresh token works once, for its own client.

        [unsure]: whether a refresh before `earliest_refresh_at` is refused; a switch decides.
        """
        token, now = fields["refresh_token"], time.time()
        owner = self._state.accounts.owner(token)
        if owner is None or owner.client_id != fields["client_id"]:
            return _error("invalid_grant", "The refresh token is unknown or another client's.")
        if self._sharing.refuse_early and now < self._sharing.earliest_refresh.get(token, 0):
            return _error("temporarily_unavailable", "It is too early to refresh.", 429)
        state, sign_in = self._state.accounts.spend(token)
        if sign_in is None or state in _DEAD:
            return _error(_DEAD.get(state, "invalid_grant"), "The refresh token is no longer valid.")
        return JSONResponse(tokens(self._state, sign_in, issuer))

    async def _revoke(self, request: Request) -> Response:
        """Rule sharing.revoke: a form of three fields; a token that is already dead is a success too."""
        fields = await _form(request)
        if fields is None or fields.keys() != _REVOCATION or fields["token_type_hint"] not in _HINTS:
            return _error("invalid_request", "Invalid revocation request.")
        if fields["client_id"] not in self._sharing.clients:
            return _error("invalid_client", "Unknown client.", 401)
        self._state.accounts.revoke(fields["token"])
        return Response(status_code=200)


def _back(asked: QueryParams, answer: Mapping[str, str]) -> Response:
    query = urlencode({**answer, "state": asked["state"]})
    return RedirectResponse(f"{asked['redirect_uri']}?{query}", status_code=302)


def _subject(token: str) -> str:
    """Return the person of an id token, unverified; empty if it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        return str(from_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))).get("sub", ""))
    except (ValueError, AttributeError):
        return ""


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form, each once; None for anything else."""
    if request.headers.get("content-type", "") != "application/x-www-form-urlencoded":
        return None
    pairs = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return dict(pairs) if len(dict(pairs)) == len(pairs) else None


def _error(code: str, text: str, status: int = 400) -> Response:
    return JSONResponse({"error": code, "error_description": text}, status)
