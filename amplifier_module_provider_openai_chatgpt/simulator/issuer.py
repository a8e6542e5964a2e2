"""The paths of auth.openai.com: device codes, exchange, refresh, revoke (docs/backend.md, Device code)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic_core import from_json
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from .accounts import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from .state import State

Json = dict[str, Any]

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
CALLBACK_PORTS = (1455, 1457)
CALLBACK_PATH = "/auth/callback"
_REUSED = (
    "Your refresh token has already been used to generate a new access token. Please try signing in again."
)
_DEAD = {
    "used": (_REUSED, "refresh_token_reused"),
    "revoked": ("Your refresh token was revoked.", "refresh_token_invalidated"),
}


_SCOPE = {"openid", "profile", "email", "offline_access"}
# A revocation sends these with the token: the client id only with a refresh token.
_REVOCATIONS = (
    {"token_type_hint": "refresh_token", "client_id": CLIENT_ID},
    {"token_type_hint": "access_token"},
)


def _is_redirect(text: str) -> bool:
    target = urlsplit(text)
    return (target.scheme, target.hostname, target.path) == ("http", "localhost", CALLBACK_PATH)


def _is_random(text: str) -> bool:
    """Return True for 32 bytes in base64url without padding: a challenge, a state."""
    return re.fullmatch(r"[\w-]{43}", text, re.ASCII) is not None


# The parameters of an authorization request, and what each must be (docs/backend.md, Browser sign-in).
# [unsure]: which of them the real issuer insists on.
AUTHORIZE: dict[str, Callable[[str], bool]] = {
    "response_type": lambda text: text == "code",
    "client_id": lambda text: text == CLIENT_ID,
    "redirect_uri": _is_redirect,
    "scope": lambda text: set(text.split()) >= _SCOPE,
    "code_challenge": _is_random,
    "code_challenge_method": lambda text: text == "S256",
    "id_token_add_organizations": lambda text: text == "true",
    "codex_cli_simplified_flow": lambda text: text == "true",
    "state": _is_random,
    "originator": bool,
}


class Issuer:
    """The issuer of one simulator."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._codes: dict[str, tuple[str, str]] = {}

    def routes(self) -> list[Route]:
        """Return the paths that the issuer serves."""
        device = "/api/accounts/deviceauth"
        return [
            Route(f"{device}/usercode", self._user_code, methods=["POST"]),
            Route(f"{device}/token", self._poll, methods=["POST"]),
            Route("/codex/device", self._page),
            Route("/oauth/authorize", self._authorize),
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/oauth/revoke", self._revoke, methods=["POST"]),
        ]

    async def _user_code(self, request: Request) -> Response:
        fields = await _json(request)
        if fields is None or fields.get("client_id") != CLIENT_ID:
            return _field_required("client_id")
        letters = string.ascii_uppercase
        code = "-".join("".join(secrets.choice(letters) for _ in range(size)) for size in (4, 5))
        device_id = self._state.accounts.secret("deviceauth_")
        self._state.add_user_code(code)
        self._state.device.codes[device_id] = code
        expires = datetime.now(UTC) + timedelta(minutes=15)
        return JSONResponse(
            {
                "device_auth_id": device_id,
                "user_code": code,
                "interval": self._state.device.interval,
                "expires_at": expires.isoformat().replace("+00:00", "Z"),
            }
        )

    async def _poll(self, request: Request) -> Response:
        """Rule issuer.pace: not before the interval is over."""
        fields = await _json(request)
        if fields is None:
            return _field_required("device_auth_id")
        device, device_id = self._state.device, str(fields.get("device_auth_id"))
        if device.outcomes:
            return _exact(*device.outcomes.popleft())
        code = device.codes.get(device_id, "")
        if not code or code != fields.get("user_code"):
            return _error(404, "Resource not found", "deviceauth_not_found")
        earlier = device.poll(device_id)
        if earlier is None:
            return _error(429, "Polling too fast. Please slow down.", "slow_down")
        if device.approve_manually or earlier < device.pending:
            text = "Device authorization is pending. Please try again."
            return _error(403, text, "deviceauth_authorization_pending")
        del device.codes[device_id]
        return self._approved(f"{_origin(request)}/deviceauth/callback")

    def _approved(self, redirect_uri: str) -> Response:
        verifier = self._state.accounts.secret("", 64)
        return JSONResponse(
            {
                "status": "success",
                "authorization_code": self._new_code(redirect_uri, _challenge(verifier)),
                "code_challenge": _challenge(verifier),
                "code_verifier": verifier,
            }
        )

    async def _page(self, request: Request) -> Response:
        del request
        return HTMLResponse("<h1>Simulated</h1><p>The sign-in is approved automatically.</p>")

    async def _authorize(self, request: Request) -> Response:
        """Approve immediately and redirect the browser back (rule issuer.authorize)."""
        asked = request.query_params
        wrong = next((name for name, valid in AUTHORIZE.items() if not valid(asked.get(name, ""))), None)
        if wrong is not None:
            return _error(400, f"Invalid authorization request: {wrong}.", "invalid_request")
        code = self._new_code(asked["redirect_uri"], asked["code_challenge"])
        answer = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", status_code=302)

    async def _token(self, request: Request) -> Response:
        """Rule issuer.form: a code is exchanged as a form, a refresh comes in either encoding."""
        if _is_form(request):
            fields: Json = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        else:
            fields = await _json(request) or {}
        if fields.get("client_id") != CLIENT_ID:
            return _error(401, "Unknown client.", "invalid_client")
        if fields.get("grant_type") == "refresh_token":
            return self._refresh(str(fields.get("refresh_token", "")))
        if fields.get("grant_type") == "authorization_code" and _is_form(request):
            return self._exchange(fields)
        return _error(400, "Unsupported grant type.", "unsupported_grant_type")

    def _exchange(self, fields: Mapping[str, Any]) -> Response:
        """Rule issuer.code: once, with the same redirect and the verifier. Rule issuer.ports: two only."""
        redirect_uri, challenge = self._codes.pop(str(fields.get("code")), ("", ""))
        if not redirect_uri or redirect_uri != fields.get("redirect_uri"):
            return _invalid_grant("The authorization code is unknown, used or bound to another redirect.")
        target = urlsplit(redirect_uri)
        if target.path == CALLBACK_PATH and target.port not in CALLBACK_PORTS:
            return _error(403, "This redirect is not registered.", "forbidden")
        if _challenge(str(fields.get("code_verifier", ""))) != challenge:
            return _invalid_grant("The code verifier does not match.")
        return JSONResponse(self._state.accounts.issue(SignIn(self._state.account_id, self._state.plan)))

    def _refresh(self, token: str) -> Response:
        """Rule issuer.refresh-once: a refresh token works once."""
        if not token:
            return _error(400, "Invalid 'refresh_token': empty string", "invalid_request")
        state, sign_in = self._state.accounts.spend(token)
        if state in _DEAD:
            return _error(401, *_DEAD[state])
        if sign_in is None:
            return _invalid_grant("The refresh token is unknown.")
        issued = self._state.accounts.issue(sign_in)
        return JSONResponse({name: issued[name] for name in ("id_token", "access_token", "refresh_token")})

    async def _revoke(self, request: Request) -> Response:
        """Rule issuer.revoke: the fields that belong to the kind of token."""
        fields = await _json(request)
        if fields is None or not isinstance(fields.get("token"), str):
            return _field_required("token")
        if {name: value for name, value in fields.items() if name != "token"} not in _REVOCATIONS:
            return _error(400, "Invalid revocation request.", "invalid_request")
        self._state.accounts.revoke(fields["token"])
        return Response(status_code=200)

    def _new_code(self, redirect_uri: str, challenge: str) -> str:
        code = self._state.accounts.secret("ac_")
        self._codes[code] = (redirect_uri, challenge)
        return code


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


async def _json(request: Request) -> Json | None:
    """Return a body's JSON object, None for anything else. Rule issuer.json: these paths refuse forms."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return None
    try:
        data = from_json(await request.body())
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _error(status: int, message: str, code: str) -> Response:
    kind = "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


def _invalid_grant(text: str) -> Response:
    return JSONResponse({"error": "invalid_grant", "error_description": text}, 400)


def _field_required(name: str) -> Response:
    return JSONResponse(
        {"detail": [{"loc": ["body", name], "msg": "Field required", "type": "missing"}]}, 400
    )


def _exact(status: int, body: object) -> Response:
    if isinstance(body, str | bytes):
        page = body.lstrip()[:1] in {"<", b"<"}
        return Response(body, status, media_type="text/html" if page else "text/plain")
    return JSONResponse(body, status)
