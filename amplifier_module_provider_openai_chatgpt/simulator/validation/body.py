"""Rules for the fields of the body that depend on nothing else.

The texts under `detail` are [seen], those of the public API's shape are [unsure].
"""

from __future__ import annotations

from ..rules import Incoming, Refused, detail, error, missing, wrong_type, wrong_value
from ..usage import prompt_tokens
from .rule import Rule

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
_LONGEST_KEY = 64
_OVERFLOW = "Your input exceeds the context window of this model. Please adjust your input and try again."


def _fields(request: Incoming) -> Refused | None:
    allowed = (_LITE_FIELDS if request.lite else _CLASSIC_FIELDS) | request.policy.changes.fields
    strange = next((field for field in request.body if field not in allowed), None)
    return None if strange is None else detail(f"Unsupported parameter: {strange}")


def _instructions(request: Incoming) -> Refused | None:
    """Refuse missing, empty and blank instructions; Lite has them in the input, if any."""
    instructions = request.body.get("instructions")
    if request.lite or (isinstance(instructions, str) and instructions.strip()):
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


def _model(request: Incoming) -> Refused | None:
    return None if request.slug else missing("model")


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
    """Refuse a key of more than 64 characters; a key need be neither a UUID nor the session's id [seen]."""
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


def _context_window(request: Incoming) -> Refused | None:
    """Refuse an input beyond the window in the stream, as `response.failed` (docs/backend.md, Failures)."""
    window = request.entry.get("context_window") or request.entry.get("max_context_window")
    if not isinstance(window, int) or prompt_tokens(request.body) <= window:
        return None
    return error(_OVERFLOW, "input", "context_length_exceeded", status=200)


FIRST_RULES = (
    Rule("body.fields", "Request body", _fields),
    Rule("body.instructions", "Request body", _instructions),
    Rule("body.store", "Request body", _store),
    Rule("body.stream", "Request body", _stream),
    Rule("body.input", "Request body", _input),
    Rule("body.model", "Request body", _model),
)
LAST_RULES = (
    Rule("body.include", "Request body", _include),
    Rule("body.stream-options", "Request body", _stream_options),
    Rule("body.client-metadata", "Request body", _client_metadata),
    Rule("body.cache-key", "Prompt cache", _cache_key),
    Rule("body.context-window", "Failures", _context_window),
)
