"""An accepted or refused call as an HTTP answer: the same for every service."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from . import stream
from .model import cut_short, respond
from .rules import as_list, seal
from .usage import usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Receive, Scope, Send

    from .reply import Reply
    from .rules import Policy, Refused
    from .state import State

Json = dict[str, Any]

EVENT_STREAM = "text/event-stream"


class Frames(Response):
    """A stream of server-sent events, one ASGI message each; with ``media_type`` None it says no type."""

    def __init__(
        self, frames: Sequence[bytes], headers: Mapping[str, str], media_type: str | None = EVENT_STREAM
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})


def answer(state: State, body: Json, policy: Policy, reply: Reply, cached: int) -> Sequence[bytes]:
    """Return the answer to an accepted request, one frame per event; ``cached`` input tokens are reported."""
    if reply.raw is not None:
        return [reply.raw]
    if reply.events is not None:
        return [stream.encode(event) for event in reply.events]
    if reply.items is not None:
        items = _seal_missing(reply.items, body, policy)
    else:
        items = cut_short(respond(body, policy)) if reply.end == "incomplete" else respond(body, policy)
    state.remember_encrypted(items)
    events = stream.events(
        items,
        response_id=f"resp_{uuid.uuid4().hex}",
        model=body["model"],
        usage=reply.usage or usage(body, items, cached),
        end=reply.end,
        reason=reply.reason,
        error=reply.error,
        then_failed=reply.then_failed,
        end_turn=reply.end_turn,
        instructions=str(body.get("instructions", "")),
    )
    return [stream.encode(event) for event in events]


def refusal(refused: Refused, headers: Mapping[str, str], media_type: str | None = EVENT_STREAM) -> Response:
    """Return a refusal, as `response.failed` in a stream where its status is 200."""
    if refused.status != 200:
        return JSONResponse(refused.body, refused.status, headers)
    failed = stream.events(
        [], response_id=f"resp_{uuid.uuid4().hex}", model="", usage=None, end="failed", **refused.body
    )
    return Frames([stream.encode(event) for event in failed], headers, media_type)


def _seal_missing(items: Sequence[Json], body: Json, policy: Policy) -> list[Json]:
    """Encrypt scripted reasoning that has no ciphertext, where the request asks for it."""
    if "reasoning.encrypted_content" not in as_list(body.get("include")):
        return list(items)
    missing = [item.get("type") == "reasoning" and "encrypted_content" not in item for item in items]
    return [
        {**item, "encrypted_content": seal(f"thought {place}", policy, body["model"])} if is_missing else item
        for place, (item, is_missing) in enumerate(zip(items, missing, strict=True))
    ]
