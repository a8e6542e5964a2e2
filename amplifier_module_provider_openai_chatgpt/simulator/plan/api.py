"""The paths of api.openai.com/v1 that a plan's token may use (docs/backend-plan.md, Requests)."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import stream
from ..answers import Frames, answer, refusal
from ..model import cut_short, respond
from ..rules import Refused
from ..validation.plan import judge_plan
from .sharing import (
    ELIGIBLE,
    INVALID_USER,
    NO_ROUTE,
    NO_SCOPE,
    NOT_ELIGIBLE,
    PLAN_SCOPE,
    USAGE_LIMIT,
    Refusal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from ..accounts import SignIn
    from ..rules import Policy
    from ..state import State

Json = dict[str, Any]

BASE = "/v1"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_ADMISSION = {
    401: "Unauthorized",
    403: "This request is not allowed by policy.",
    503: "Subscription sharing is not available.",
}


class PlanApi:
    """The API of one simulator."""

    def __init__(self, state: State) -> None:
        self._state, self._sharing = state, state.sharing

    def routes(self) -> list[Route]:
        """Return the paths that the API serves; every other one is refused (rule sharing.route)."""
        return [
            Route(f"{BASE}/models", self._models),
            Route(f"{BASE}/responses", self._responses, methods=["POST"]),
            Route("/{path:path}", self._elsewhere, methods=_METHODS),
        ]

    async def _models(self, request: Request) -> Response:
        """Rule sharing.list: no parameters. [unsure]: the answer to any, such as `client_version`."""
        sign_in = self._admit(request)
        if isinstance(sign_in, Response):
            return sign_in
        if request.query_params and "sharing.list" not in self._state.changes.lifted:
            return JSONResponse({"detail": "Unexpected query parameters."}, 400)
        return JSONResponse({"models": [self._sharing.entry(model) for model in self._state.models]})

    async def _elsewhere(self, request: Request) -> Response:
        sign_in = self._admit(request)
        if isinstance(sign_in, Response):
            return sign_in
        is_open = "sharing.route" in self._state.changes.lifted
        return JSONResponse({}) if is_open else _refuse(NO_ROUTE)

    async def _responses(self, request: Request) -> Response:
        sign_in = self._admit(request)
        if isinstance(sign_in, Response):
            return sign_in
        state, sharing = self._state, self._sharing
        policy = state.policy(sign_in.account_id, sign_in.plan)
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}"}
        now = self._refusal()
        if now is not None and not now.in_stream:
            return JSONResponse(now.refused.body, now.refused.status, headers)
        body = judge_plan(await request.body(), request.headers, policy)
        if isinstance(body, Refused):
            return refusal(body, headers, sharing.content_type)
        if now is not None:
            return self._broken_off(body, policy, now, headers)
        state.quota.spend()
        reply = state.next_reply()
        cached = state.cache.cached_tokens(body.get("prompt_cache_key"), body)
        frames = answer(state, body, policy, reply, cached)
        return Frames(frames, {**headers, **reply.headers}, sharing.content_type)

    def _refusal(self) -> Refusal | None:
        """Rule sharing.usage-limit: no reset time is given."""
        quota = self._state.quota
        if quota.exhausted:
            return Refusal(USAGE_LIMIT, in_stream=quota.refused_as == 200)
        return self._sharing.refusal

    def _broken_off(self, body: Json, policy: Policy, now: Refusal, headers: Mapping[str, str]) -> Response:
        """Return the first half of an answer that ends in `response.failed`. [unsure]: `param` in it."""
        events = stream.events(
            cut_short(respond(body, policy)),
            response_id=f"resp_{uuid.uuid4().hex}",
            model=body["model"],
            usage=None,
            end="failed",
            error={name: now.error[name] for name in ("code", "message", "param") if now.error[name]},
        )
        return Frames([stream.encode(event) for event in events], headers, self._sharing.content_type)

    def _admit(self, request: Request) -> SignIn | Response:
        """Return the sign-in that a request belongs to, or the refusal before anything is read.

        Rule sharing.admission: a valid token, of a plan that may be shared, with the person's consent.
        [unsure]: which of the two forms of 401 an expired token gets; whether the list needs consent too.
        """
        if self._sharing.admission is not None:
            return JSONResponse({"detail": _ADMISSION[self._sharing.admission]}, self._sharing.admission)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = self._state.accounts.access(token)
        if scheme.lower() != "bearer" or known is None:
            return JSONResponse({"detail": _ADMISSION[401]}, self._state.changes.unknown_token)
        if known.sign_in.revoked or known.refused is not None or known.expires <= time.time():
            return _refuse(INVALID_USER)
        if known.sign_in.plan not in ELIGIBLE:
            return _refuse(NOT_ELIGIBLE)
        return known.sign_in if PLAN_SCOPE in known.sign_in.scopes else _refuse(NO_SCOPE)


def _refuse(code: str) -> Response:
    refused = Refusal(code).refused
    return JSONResponse(refused.body, refused.status)
