"""The paths of chatgpt.com/backend-api: models, responses, usage (docs/backend.md, Hosts)."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import stream
from .answers import Frames, answer, refusal
from .rules import Incoming, Refused, as_list
from .validation.request import judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from .accounts import SignIn
    from .changes import Changes
    from .state import State

Json = dict[str, Any]

BASE = "/backend-api"
RESPONSES = f"{BASE}/codex/responses"
_ANY_VERSION = (0, 0, 0)
_NEWEST = (99, 0, 0)
_REASONING_COUNTS = {"x-reasoning-included": "true"}
_EXPIRED = "Provided authentication token is expired. Please try signing in again."
_INVALIDATED = "Your authentication token has been invalidated. Please try signing in again."


class Backend:
    """The backend of one simulator."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the paths that the backend serves."""
        return [
            Route(f"{BASE}/codex/models", self._models),
            Route(RESPONSES, self._responses, methods=["POST"]),
            Route(f"{BASE}/wham/usage", self._usage),
        ]

    async def _models(self, request: Request) -> Response:
        """Rule catalogue.client-version: required, and too low a version hides newer models."""
        sign_in = self._authenticate(request)
        if isinstance(sign_in, Response):
            return sign_in
        version = request.query_params.get("client_version")
        if version is None and "catalogue.client-version" not in self._state.changes.lifted:
            missing = {"loc": ["query", "client_version"], "msg": "Field required", "type": "missing"}
            return JSONResponse({"detail": [missing]}, 400)
        client = _numbers(version or "0.0.0")
        models = [
            entry for entry in self._state.listed_models() if _is_listed(entry, client, self._state.changes)
        ]
        return JSONResponse({"models": models}, headers={"ETag": self._state.models_etag})

    async def _usage(self, request: Request) -> Response:
        sign_in = self._authenticate(request)
        if isinstance(sign_in, Response):
            return sign_in
        return JSONResponse(self._state.quota.document(sign_in.plan, sign_in.account_id))

    async def _responses(self, request: Request) -> Response:
        sign_in = self._authenticate(request)
        if isinstance(sign_in, Response):
            return sign_in
        state, policy = self._state, self._state.policy(sign_in.account_id, sign_in.plan)
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}", "x-models-etag": state.models_etag}
        if state.quota.exhausted:
            return self._over_limit(sign_in, headers)
        body = judge(await request.body(), request.headers, policy)
        if isinstance(body, Refused):
            return refusal(body, {**headers, **state.quota.headers(sign_in.plan)})
        state.quota.spend()
        reply = state.next_reply()
        cached = state.cache.cached_tokens(request.headers.get("session-id"), body)
        frames = answer(state, body, policy, reply, cached)
        if state.rate_limits_first:
            frames = [stream.encode(state.quota.event(sign_in.plan)), *frames]
        turn = Incoming(body, request.headers, policy).turn
        headers |= {"openai-model": body["model"], "x-codex-turn-state": state.turns.state(turn)}
        headers |= _REASONING_COUNTS if _has_reasoning(body) else {}
        headers |= {**state.quota.headers(sign_in.plan), **reply.headers}
        return Frames(frames, headers)

    def _over_limit(self, sign_in: SignIn, headers: Mapping[str, str]) -> Response:
        """Rule quota.exhausted: calls over the limit or at the spend cap are refused."""
        quota = self._state.quota
        refusal, headers = quota.refusal(sign_in.plan), {**headers, **quota.headers(sign_in.plan)}
        if quota.refused_as != 200:
            return JSONResponse(refusal, quota.refused_as, headers)
        event = {"type": "error", **refusal, "status_code": 429, "headers": headers}
        return Frames([stream.encode(event)], headers)

    def _authenticate(self, request: Request) -> SignIn | Response:
        """Return the sign-in a request belongs to, or its 401.

        Rule account.token: the token is known, not expired and not revoked.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = self._state.accounts.access(token)
        if scheme.lower() != "bearer" or known is None:
            return JSONResponse({"detail": "Unauthorized"}, self._state.changes.unknown_token)
        if known.sign_in.revoked or known.refused is not None:
            code = known.refused or "token_invalidated"
            return _unauthorized(_EXPIRED if code == "token_expired" else _INVALIDATED, code)
        if known.expires <= time.time():
            return _unauthorized(_EXPIRED, "token_expired")
        is_free = "account.header" in self._state.changes.lifted
        if not is_free and not _names_account(request.headers, known.sign_in):
            return JSONResponse({"detail": "Unauthorized"}, 401)
        return known.sign_in


def _has_reasoning(body: Json) -> bool:
    """Rule response.reasoning-included: a header says that past reasoning counts."""
    return any(item.get("type") == "reasoning" for item in as_list(body.get("input")))


def _names_account(headers: Mapping[str, str], sign_in: SignIn) -> bool:
    """Return True where the headers name the token's account, and a FedRAMP one as such.

    Rule account.header and rule account.fedramp. [unsure]: what the real backend answers otherwise, and
    whether it accepts the header on other accounts, as this one does.
    """
    is_named = headers.get("chatgpt-account-id") == sign_in.account_id
    return is_named and (not sign_in.fedramp or headers.get("x-openai-fedramp", "").lower() == "true")


def _unauthorized(text: str, code: str) -> Response:
    return JSONResponse({"error": {"message": text, "type": "invalid_request_error", "code": code}}, 401)


def _is_listed(model: Json, client: tuple[int, ...], changes: Changes) -> bool:
    """List everything for 0.0.0, else what the client is new enough for (docs/backend.md, Catalogue).

    An entry without a minimum is listed for the newest clients only, to keep the measured counts.
    """
    if client == _ANY_VERSION:
        return changes.whole_list
    needed = _numbers(model.get("minimal_client_version")) or _NEWEST
    return client >= changes.oldest_client and client >= needed


def _numbers(version: object) -> tuple[int, ...]:
    """Return the numbers of a version given as text or as a list; an empty tuple for anything else."""
    parts = version.split(".") if isinstance(version, str) else as_list(version)
    try:
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        return ()
