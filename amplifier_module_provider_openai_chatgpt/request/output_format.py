"""The requested output format: ``response_format`` as ``text.format``, and ``text.verbosity``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ResponseFormatJson, ResponseFormatJsonSchema, ResponseFormatText

from ..settings import VERBOSITIES
from .invalid import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models.model import Model

DEFAULT_NAME = "response"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def wire_format(asked: object) -> dict[str, Any] | None:
    """Translate a response format, given as the kernel's class or OpenAI's dictionary; None for plain text.

    Raises InvalidRequestError for anything else.
    """
    if asked is None or isinstance(asked, ResponseFormatText):
        return None
    if isinstance(asked, ResponseFormatJson):
        return {"type": "json_object"}
    if isinstance(asked, ResponseFormatJsonSchema):
        return _schema_format(asked.json_schema, {"strict": asked.strict})
    kind = asked.get("type") if isinstance(asked, Mapping) else asked
    if kind == "text":
        return None
    if kind in ("json", "json_object"):
        return {"type": "json_object"}
    if kind == "json_schema" and isinstance(asked, Mapping):
        return _schema_format(asked.get("json_schema", asked.get("schema")), asked)
    raise invalid("Unknown response_format; use text, json or json_schema.")


def _schema_format(schema: object, around: Mapping[str, Any]) -> dict[str, Any]:
    """Read name and strictness next to the schema or one level up; a bare schema is used as it is."""
    if isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping):
        around = {**around, **{key: value for key, value in schema.items() if value is not None}}
        schema = schema["schema"]
    if not isinstance(schema, Mapping):
        raise invalid("response_format json_schema has no schema; its schema must be an object.")
    name = around.get("name")
    return {
        "type": "json_schema",
        "name": name if isinstance(name, str) and _NAME.fullmatch(name) else DEFAULT_NAME,
        "strict": around.get("strict") is True,
        "schema": schema,
    }


def wire_verbosity(asked: object, model: Model, *, known: bool, warn: Callable[[str], None]) -> str | None:
    """Return the verbosity to send; None if the model is ``known`` not to support it."""
    if asked is None:
        return None
    word = str(asked).strip().lower()
    if word not in VERBOSITIES:
        raise invalid(f"text_verbosity must be one of {', '.join(VERBOSITIES)}.")
    if known and not model.verbosity:
        warn(f"text_verbosity {word} is not sent: {model.slug} does not support it.")
        return None
    return word
