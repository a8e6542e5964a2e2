"""The form of the answer that a caller asks for: ``response_format`` as ``text.format``, and wordiness."""

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


def wire_format(asked: Any) -> dict[str, Any] | None:
    """Translate a response format, the kernel's or OpenAI's dictionaries; None for plain text.

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
    raise invalid("response_format is not known; use text, json or json_schema.")


def _schema_format(schema: Any, around: Mapping[str, Any]) -> dict[str, Any]:
    """Find name and strictness beside the schema or around it; a bare schema is taken as such."""
    if isinstance(schema, Mapping) and isinstance(schema.get("schema"), Mapping):
        around = {**around, **{key: value for key, value in schema.items() if value is not None}}
        schema = schema["schema"]
    if not isinstance(schema, Mapping):
        raise invalid("response_format json_schema has no schema: give it as an object.")
    name = around.get("name")
    return {
        "type": "json_schema",
        "name": name if isinstance(name, str) and _NAME.fullmatch(name) else DEFAULT_NAME,
        "strict": around.get("strict") is True,
        "schema": schema,
    }


def wire_verbosity(asked: Any, model: Model, *, known: bool, warn: Callable[[str], None]) -> str | None:
    """Return the verbosity to send; left out where the model is ``known`` to take none."""
    if asked is None:
        return None
    word = str(asked).strip().lower()
    if word not in VERBOSITIES:
        raise invalid(f"text_verbosity must be one of {', '.join(VERBOSITIES)}.")
    if known and not model.verbosity:
        warn(f"text_verbosity {word} is not sent: {model.slug} does not take it.")
        return None
    return word
