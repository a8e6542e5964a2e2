"""Rules for the headers of a call."""

from __future__ import annotations

import re

from ..rules import Incoming, Refused, detail, wrong_value
from .rule import Rule

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


def _content_type(request: Incoming) -> Refused | None:
    exact = request.headers.get("content-type") == "application/json"
    return None if exact else detail("Unsupported content type")


def _accept(request: Incoming) -> Refused | None:
    """Refuse a client that does not accept an event stream. [unsure]: the official client always does."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return None
    return detail("Not Acceptable", 406)


def _session(request: Incoming) -> Refused | None:
    """Refuse a session id that is not a UUIDv7. Without one the call is served, but never from the cache."""
    session = request.headers.get("session-id")
    return None if session is None or _UUID7.fullmatch(session) else wrong_value("session-id", session)


def _thread(request: Incoming) -> Refused | None:
    """Refuse a thread id other than the session's. [unsure]: the official client sends equal ones."""
    thread = request.headers.get("thread-id")
    return None if thread in (None, request.headers.get("session-id")) else wrong_value("thread-id", thread)


def _turn_state(request: Incoming) -> Refused | None:
    """Refuse a turn state outside the turn it was sent in. [unsure]: the answer to it is not known."""
    state = request.headers.get("x-codex-turn-state")
    if state is None or request.policy.turn_of(state) == request.turn:
        return None
    return wrong_value("x-codex-turn-state", state)


CONTENT_TYPE = Rule("headers.content-type", "Request headers", _content_type)
RULES = (
    Rule("headers.accept", "Request headers", _accept),
    Rule("headers.session-id", "Prompt cache", _session),
    Rule("headers.thread-id", "Request headers", _thread),
    Rule("headers.turn-state", "Request headers", _turn_state),
)
