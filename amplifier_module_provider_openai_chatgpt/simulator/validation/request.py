"""What the backend refuses of a request, in its own order and words (docs/backend.md, Failures)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..rules import Incoming, Policy, Refused, detail, error, missing, opens, seal, wrong_type, wrong_value
from ..usage import prompt_tokens
from .items import ITEM_CHECKS
from .model import MODEL_CHECKS
from .tools import TOOL_CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Policy", "Refused", "opens", "refuse", "seal"]

_LITE_FIELDS = frozenset(
    {
        "model",
        "input",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "store",
        "stream",
        "stream_options",
        "include",
        "service_tier",
        "prompt_cache_key",
        "text",
        "client_metadata",
    }
)
_CLASSIC_FIELDS = _LITE_FIELDS | {"instructions", "tools"}
_INCLUDABLE = (
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
)
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST_KEY = 64
_OVERFLOW = "Your input exceeds the context window of this model. Please adjust your input and try again."


def refuse(body: object, headers: Mapping[str, str], policy: Policy) -> Refused | None:
    """Return why the backend refuses this request, or None where it would answer.

    `body` is any JSON value; nothing is raised for whatever it is.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("content-type") != "application/json":
        return detail("Unsupported content type")
    if not isinstance(body, dict):
        return detail("Request body must be a JSON object")
    request = Incoming(body, lowered, policy)
    refusals = (check(request) for check in _CHECKS)
    return next((refusal for refusal in refusals if refusal), None)


def _fields(request: Incoming) -> Refused | None:
    allowed = _LITE_FIELDS if request.lite else _CLASSIC_FIELDS
    strange = next((field for field in request.body if field not in allowed), None)
    return None if strange is None else detail(f"Unsupported parameter: {strange}")


def _instructions(request: Incoming) -> Refused | None:
    instructions = request.body.get("instructions")
    if request.lite or (isinstance(instructions, str) and instructions):
        return None
    return detail("Instructions are required")


def _store(request: Incoming) -> Refused | None:
    return None if request.body.get("store") is False else detail("Store must be set to false")


def _stream(request: Incoming) -> Refused | None:
    return None if request.body.get("stream") is True else detail("Stream must be set to true")


def _input(request: Incoming) -> Refused | None:
    items = request.body.get("input")
    if not isinstance(items, list):
        return detail("Input must be a list")
    if not items:
        return error('One of "input" or "previous_response_id" or \'prompt\' must be provided.')
    odd = next((place for place, item in enumerate(items) if not isinstance(item, dict)), None)
    return None if odd is None else wrong_type(f"input[{odd}]", "an input item")


def _include(request: Incoming) -> Refused | None:
    include = request.body.get("include")
    if include is None:
        return None
    if not isinstance(include, list):
        return wrong_type("include", "an array of strings")
    for place, value in enumerate(include):
        if value not in _INCLUDABLE:
            return wrong_value(f"include[{place}]", value, _INCLUDABLE)
    return None


def _stream_options(request: Incoming) -> Refused | None:
    options = request.body.get("stream_options")
    if options is None or options == {}:
        return None
    if options == {"reasoning_summary_delivery": "sequential_cutoff"}:
        return None
    return wrong_value("stream_options", options)


def _client_metadata(request: Incoming) -> Refused | None:
    metadata = request.body.get("client_metadata")
    if metadata is None:
        return None
    if isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values()):
        return None
    return wrong_type("client_metadata", "an object of strings")


def _cache_key(request: Incoming) -> Refused | None:
    key = request.body.get("prompt_cache_key")
    if key is None:
        return None
    if not isinstance(key, str):
        return wrong_type("prompt_cache_key", "a string")
    if len(key) <= _LONGEST_KEY:
        return None
    return error(
        f"Invalid 'prompt_cache_key': string too long. Expected a string with maximum length {_LONGEST_KEY}, "
        f"but got a string with length {len(key)} instead.",
        "prompt_cache_key",
        "string_above_max_length",
    )


def _session(request: Incoming) -> Refused | None:
    """Hold the session header to a UUIDv7 (docs/backend.md, Prompt cache)."""
    session = request.headers.get("session-id")
    return None if session is None or _UUID7.fullmatch(session) else wrong_value("session-id", session)


def _overflow(request: Incoming) -> Refused | None:
    window = request.entry.get("context_window") or request.entry.get("max_context_window")
    if not isinstance(window, int) or prompt_tokens(request.body) <= window:
        return None
    return error(_OVERFLOW, "input", "context_length_exceeded")


def _model_given(request: Incoming) -> Refused | None:
    return None if request.slug else missing("model")


_CHECKS: tuple[Callable[[Incoming], Refused | None], ...] = (
    _fields,
    _instructions,
    _store,
    _stream,
    _input,
    _model_given,
    *MODEL_CHECKS,
    *TOOL_CHECKS,
    *ITEM_CHECKS,
    _include,
    _stream_options,
    _client_metadata,
    _cache_key,
    _session,
    _overflow,
)
