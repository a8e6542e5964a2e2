"""The tokens of a prompt, the usage object of an answer and the prompt cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from .rules import as_list
from .tokens import image_tokens, sealed_tokens, text_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]

_CACHE_BLOCK = 128
_SHORTEST_CACHED = 1_024
# What surrounds an item and a tool, such as its role and the marks of its beginning and end.
_ITEM = 4
_TOOL = 6
# Fields of an item that a model does not read as text.
_LABELS = frozenset({"type", "role", "id", "status", "call_id", "phase"})


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Return the tokens of all fields of `body` that a model reads."""
    tools, items = as_list(body.get("tools")), as_list(body.get("input"))
    return _tokens(body.get("instructions")) + sum(map(_tool, tools)) + sum(map(item_tokens, items))


def item_tokens(item: object) -> int:
    """Return the tokens of an item; a summary of reasoning is for people and costs nothing."""
    if not isinstance(item, dict):
        return _tokens(item)
    if item.get("type") == "reasoning":
        return _ITEM + sealed_tokens(item.get("encrypted_content"))
    return _ITEM + sum(_tokens(entry) for key, entry in item.items() if key not in _LABELS)


def _tool(tool: object) -> int:
    return _TOOL + _tokens(tool)


def _tokens(value: object) -> int:
    """Return the tokens of a JSON value, in which a part of a message is its text or picture."""
    match value:
        case {"image_url": str(url)}:
            return image_tokens(url)
        case {"type": "input_text" | "output_text", "text": str(text)} | str(text):
            return text_tokens(text)
        case dict():
            return sum(text_tokens(str(key)) + _tokens(entry) for key, entry in value.items())
        case list() | tuple():
            return sum(map(_tokens, value))
        case _:
            return 0 if value is None else 1


def usage(body: Mapping[str, Any], items: Sequence[Json], cached: int) -> Json:
    """Return the usage object of an answer made of `items` (docs/backend.md, Event stream).

    Cached tokens are part of the input, reasoning tokens part of the output.
    """
    asked = max(1, prompt_tokens(body))
    thought = sum(item_tokens(item) for item in items if item.get("type") == "reasoning")
    written = thought + sum(item_tokens(item) for item in items if item.get("type") != "reasoning")
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": min(cached, asked), "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": asked + written,
    }


class PrefixCache:
    """Remembers the last prompt of each session; a new prompt is cached up to the first difference."""

    def __init__(self) -> None:
        self._prompts: dict[tuple[str, str], bytes] = {}

    def cached_tokens(self, session_id: str | None, body: Mapping[str, Any]) -> int:
        """Return the cached part of `body` in tokens, a multiple of 128, and remember `body`.

        `session_id` is the value of the hyphenated header; without it nothing is cached
        (rule cache.session), nor below 1,024 tokens (rule cache.minimum).
        """
        if not session_id:
            return 0
        prompt = _prompt(body)
        place = (session_id, str(body.get("model")))
        shared = _shared_length(self._prompts.get(place, b""), prompt)
        self._prompts[place] = prompt
        asked = prompt_tokens(body)
        if asked < _SHORTEST_CACHED:
            return 0
        return asked * shared // len(prompt) // _CACHE_BLOCK * _CACHE_BLOCK


def _prompt(body: Mapping[str, Any]) -> bytes:
    return b"\n".join(to_json(body.get(field)) for field in ("instructions", "tools", "input"))


def _shared_length(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix, by bisection: prompts are long and mostly equal."""
    shared, beyond = 0, min(len(one), len(other))
    while shared < beyond:
        middle = (shared + beyond + 1) // 2
        if one[:middle] == other[:middle]:
            shared = middle
        else:
            beyond = middle - 1
    return shared
