"""Limits on the length of one text; what is longer is shortened in the history, with its head and tail kept.

The backend refuses a longer text with code ``string_above_max_length`` (docs/backend.md, Items), and would
refuse every later call of the conversation as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from amplifier_core.llm_errors import ContextLengthError
from pydantic_core import from_json

from ..protocol.text import DEEPEST, json_text
from ..settings import PROVIDER

LONGEST_TEXT = 10_485_760
LONGEST_ARGUMENTS = 1_048_576
KEPT = 20_000


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text, cut to ``KEPT`` characters if it is longer than ``longest``."""
    if len(text) <= longest:
        return text
    half = KEPT // 2
    return f"{text[:half]}\n[... shortened, the original has {len(text):,} characters ...]\n{text[-half:]}"


def shortened_arguments(text: str) -> str:
    """Return a call's arguments, with its long strings shortened if the whole is too long."""
    if len(text) <= LONGEST_ARGUMENTS:
        return text
    try:
        arguments = from_json(text)
    except ValueError:
        return shortened(text, KEPT)
    smaller = json_text(_with_short_strings(arguments, 0))
    return smaller if len(smaller) <= LONGEST_ARGUMENTS else json_text({"_shortened": shortened(text, KEPT)})


def _with_short_strings(value: object, depth: int) -> object:
    if isinstance(value, str):
        return shortened(value, KEPT)
    if isinstance(value, Mapping) and depth < DEEPEST:
        return {key: _with_short_strings(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list) and depth < DEEPEST:
        return [_with_short_strings(inner, depth + 1) for inner in value]
    return value


def check_length(text: str, what: str) -> None:
    """Raise ContextLengthError if a text that must not be shortened is too long."""
    if len(text) > LONGEST_TEXT:
        raise ContextLengthError(
            f"{what} has {len(text):,} characters; ChatGPT accepts at most {LONGEST_TEXT:,} in one text.",
            provider=PROVIDER,
        )
