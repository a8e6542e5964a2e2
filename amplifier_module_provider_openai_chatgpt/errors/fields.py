"""Which fields of the body a refusal names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .refusal import Refusal

# The functions as a whole, wherever they are, but not what is inside one of them.
_TOOLS = r"(?:input\[0\](?:\.tools(?:\[\d+\])?)?|(?:additional_)?tools(?:\[\d+\])?)(?:\.type)?"
_TOOLS_IN_WORDS = (
    r"\badditional_tools\b|\binput\[0\](?:\.tools|\.type)?(?![.\w])|(?:[:'\"`]\s?|\bbody\.)tools\b"
)


def named_fields(refusal: Refusal, fields: Iterable[str]) -> list[str]:
    """Return those of the body's ``fields`` that a refusal names: by its ``param``, else in its message."""
    wanted = sorted(fields)
    if refusal.param:
        return [field for field in wanted if _is_param(refusal.param, field)]
    return [field for field in wanted if _is_in_words(refusal.message, field)]


def _is_param(param: str, field: str) -> bool:
    pattern = _TOOLS if field == "tools" else rf"{re.escape(field)}(?:[.\[].*)?"
    return re.fullmatch(pattern, param) is not None


def _is_in_words(message: str, field: str) -> bool:
    pattern = _TOOLS_IN_WORDS if field == "tools" else rf"\b{re.escape(field)}\b"
    return re.search(pattern, message) is not None
