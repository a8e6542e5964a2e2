"""Token estimates, the usage object of an answer and the prompt cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]

_CHARACTERS_PER_TOKEN = 4
_CACHE_BLOCK = 128
_SHORTEST_CACHED = 1_024
_TOKENS_OF_AN_IMAGE = 765
_DATA_URL = "data:image/"


def estimate(value: object) -> int:
    """Return a rough token count: a quarter of the characters, a flat count per image."""
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, dict):
        return sum(_of_text(str(key)) + estimate(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return sum(map(estimate, value))
    return 0 if value is None else 1


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Return the tokens of all fields of `body` that a model reads."""
    return sum(estimate(body.get(field)) for field in ("instructions", "tools", "input"))


def usage(body: Mapping[str, Any], items: Sequence[Json], cached: int) -> Json:
    """Return the usage object of an answer made of `items` (docs/backend.md, Event stream).

    Cached tokens are part of the input, reasoning tokens part of the output.
    """
    asked = max(1, prompt_tokens(body))
    thought = sum(estimate(item) for item in items if item.get("type") == "reasoning")
    written = thought + sum(estimate(item) for item in items if item.get("type") != "reasoning")
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
        tokens = min(shared // _CHARACTERS_PER_TOKEN, asked)
        return tokens // _CACHE_BLOCK * _CACHE_BLOCK


def _of_text(text: str) -> int:
    if text.startswith(_DATA_URL):
        return _TOKENS_OF_AN_IMAGE
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


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
