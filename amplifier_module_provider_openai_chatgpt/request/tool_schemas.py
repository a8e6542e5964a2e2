"""Parameter schemas of tools made acceptable for the backend, which refuses a whole call for one bad schema.

What the backend checks is in docs/backend.md, Tools. The rules follow the official client [source]: what is
missing is filled in (``type``, ``properties``, ``items``), what is invalid is removed, the rest is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import from_json

from ..protocol.text import json_text
from .schema_root import COMPOSITIONS, Schema, known_type, listed, mapped, names, object_root, resolved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Schemas inside each other, and in all; the backend's own limits are not known [unsure].
DEEPEST = 50
MOST = 10_000
_PASSES = 5
_LONGEST_KEPT = 100_000

# The type that a keyword implies, in the order in which they are looked for.
_IMPLIED = (
    (("properties", "required", "additionalProperties", "patternProperties", "minProperties"), "object"),
    (("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    (("format", "pattern", "minLength", "maxLength"), "string"),
    (("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"),
)
_TYPE_OF: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def sanitised(parameters: object) -> Schema | None:
    """Return the schema to send for a tool's parameters, any JSON value; None if it cannot be an object's.

    A valid schema comes back unchanged, and so does a result. Results are kept by content for the
    whole process, for all tools; callers must not change them.
    """
    text = json_text(parameters)
    return _sanitised(text) if len(text) <= _LONGEST_KEPT else _sanitised.__wrapped__(text)


@lru_cache(maxsize=2048)
def _sanitised(text: str) -> Schema | None:
    try:
        schema = object_root(from_json(text))
    except ValueError:  # nested deeper than the parser reads
        return None
    for _ in range(_PASSES):
        if schema is None:
            return None
        clean = _root(schema)
        if clean == schema:
            return clean
        schema = clean  # what was removed may have been the target of a reference
    return None


def _root(schema: Schema) -> Schema | None:
    walk = _Walk(schema)
    root = _node(schema, walk, 0, infer=False)
    if walk.count > MOST:
        return None
    if "type" not in root:
        root = {"type": "object", **root}
    root["type"] = "object"
    root.setdefault("properties", {})
    return root


@dataclass(slots=True)
class _Walk:
    """One pass over a document, and how many schemas it has seen."""

    document: Schema
    count: int = 0


_Rule: TypeAlias = "Callable[[object, _Walk, int], object]"


def _node(schema: Schema, walk: _Walk, depth: int, *, infer: bool) -> Schema:
    """Return a copy of a schema in which each keyword has a valid value; None values are removed.

    ``infer`` fills in a missing type, which would change the meaning of a mere condition.
    """
    walk.count += 1
    clean: Schema = {}
    if walk.count > MOST:
        return clean
    for keyword, value in schema.items():
        rule = _RULES.get(keyword)
        kept = rule(value, walk, depth) if rule and value is not None else value
        if kept is not None:
            clean[keyword] = kept
        elif keyword == "const":
            clean["type"] = "null"
    return _completed(clean, infer=infer)


def _completed(schema: Schema, *, infer: bool) -> Schema:
    """Fill in what the backend requires: a type, items of an array, properties of an object."""
    if infer and "type" not in schema and not any(key in schema for key in ("$ref", "not", *COMPOSITIONS)):
        schema = {"type": _implied_type(schema), **schema}
    types = schema.get("type")
    if types == "array" or "array" in listed(types):
        schema.setdefault("items", {"type": "string"})
    if types == "object" or "object" in listed(types):
        schema.setdefault("properties", {})
    return schema


def _implied_type(schema: Schema) -> str | list[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    kinds = list(dict.fromkeys(_type_of(value) for value in values))
    if kinds:
        return kinds[0] if len(kinds) == 1 else kinds
    found = (kind for keywords, kind in _IMPLIED if any(keyword in schema for keyword in keywords))
    return next(found, "string")


def _type_of(value: object) -> str:
    return next((name for kind, name in _TYPE_OF if isinstance(value, kind)), "null")


def _schema(value: object, walk: _Walk, depth: int) -> Schema:
    """Return a subschema; what is not a schema, or too deep, becomes text, as in the official client."""
    if depth >= DEEPEST or not isinstance(value, dict):
        return {"type": "string"}
    return _node(value, walk, depth + 1, infer=True)


def _condition(value: object, walk: _Walk, depth: int) -> Schema | bool | None:
    if isinstance(value, bool):
        return value
    if depth >= DEEPEST or not isinstance(value, dict):
        return None
    return _node(value, walk, depth + 1, infer=False)


def _additional(value: object, walk: _Walk, depth: int) -> Schema | bool | None:
    if isinstance(value, bool):
        return value
    return _schema(value, walk, depth) if isinstance(value, dict) else None


def _properties(value: object, walk: _Walk, depth: int) -> Schema:
    return {name: _schema(schema, walk, depth) for name, schema in mapped(value).items()}


def _definitions(value: object, walk: _Walk, depth: int) -> Schema | None:
    return _properties(value, walk, depth) if isinstance(value, dict) else None


def _conditions(value: object, walk: _Walk, depth: int) -> Schema | None:
    if not isinstance(value, dict):
        return None
    inner = ((name, _condition(schema, walk, depth)) for name, schema in value.items())
    return {name: schema for name, schema in inner if schema is not None}


def _alternatives(value: object, walk: _Walk, depth: int) -> list[Schema] | None:
    branches = (branch for branch in listed(value) if isinstance(branch, dict | bool))
    return [_schema(branch, walk, depth) for branch in branches] or None


def _conjunction(value: object, walk: _Walk, depth: int) -> list[object] | None:
    branches = (_condition(branch, walk, depth) for branch in listed(value))
    return [branch for branch in branches if isinstance(branch, dict)] or None


def _items(value: object, walk: _Walk, depth: int) -> Schema:
    """Return one schema for all items; the schemas of a tuple become alternatives."""
    if not isinstance(value, list):
        return _schema(value, walk, depth)
    branches = _alternatives(value, walk, depth) or [{"type": "string"}]
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _type(value: object, _: _Walk, __: int) -> str | list[str] | None:
    if isinstance(value, list):
        return list(dict.fromkeys(filter(None, map(known_type, value)))) or None
    return known_type(value)


def _reference(value: object, walk: _Walk, _: int) -> str | None:
    """Keep a reference to a schema of this document; the backend cannot load another one."""
    found = resolved(value, walk.document) if isinstance(value, str) else None
    return value if isinstance(value, str) and isinstance(found, dict | bool) else None


def _required(value: object, _: _Walk, __: int) -> list[str] | None:
    return names(value) if isinstance(value, list) else None


def _values(value: object, _: _Walk, __: int) -> object:
    return listed(value) or None


def _typed(*kinds: type) -> _Rule:
    """Keep a value of these types; True and False are not numbers."""

    def rule(value: object, _: _Walk, __: int) -> object:
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        return value if fits else None

    return rule


_TEXT, _NUMBER, _FLAG = _typed(str), _typed(int, float), _typed(bool)
_NUMERIC = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
)

# Each keyword and the function that returns its value to send, or None to remove it; others are kept.
_RULES: Mapping[str, _Rule] = {
    "type": _type,
    "properties": _properties,
    "items": _items,
    "required": _required,
    "enum": _values,
    "anyOf": _alternatives,
    "oneOf": _alternatives,
    "allOf": _conjunction,
    "prefixItems": _alternatives,
    "additionalProperties": _additional,
    "$ref": _reference,
    **dict.fromkeys(("$defs", "definitions"), _definitions),
    **dict.fromkeys(("patternProperties", "dependentSchemas"), _conditions),
    **dict.fromkeys(("not", "if", "then", "else", "contains", "propertyNames"), _condition),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), _condition),
    **dict.fromkeys(("$schema", "$id", "$comment", "title", "description", "format", "pattern"), _TEXT),
    **dict.fromkeys(_NUMERIC, _NUMBER),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _FLAG),
}
