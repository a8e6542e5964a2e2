"""What is wrong with a JSON schema, in the words of the Responses API; nothing is raised for any value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..rules import Json, as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Path = tuple[str, ...]

_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_UNIONS = ("oneOf", "anyOf", "allOf", "enum", "not")
# The values of these are data, not schemas.
_DATA = frozenset({"default", "const", "enum", "examples", "example"})
_DEEPEST = 64


def root_fault(schema: Json) -> str | None:
    """Return what is wrong with a root that is not an object."""
    kind = schema.get("type")
    if kind == "object":
        return None
    return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."


def properties_fault(schema: Json) -> str | None:
    """Return what is wrong with properties that are absent at the root, or not an object anywhere."""
    if "properties" not in schema:
        return "In context=(), object schema missing properties."
    for path, inner in _schemas(schema):
        properties = inner.get("properties")
        if properties is not None and not isinstance(properties, dict):
            return f"In context={path}, {_short(properties)} is not of type 'object'."
    return None


def union_fault(schema: Json) -> str | None:
    """Return what is wrong with a root that is a choice between schemas."""
    if not any(name in schema for name in _UNIONS):
        return None
    return (
        "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
    )


def type_fault(schema: Json) -> str | None:
    """Return the first type that JSON Schema does not have."""
    for path, inner in _schemas(schema):
        kinds = inner.get("type", [])
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if kind is not None and not (isinstance(kind, str) and kind in _TYPES):
                return f"In context={path}, {_short(kind)} is not valid under any of the given schemas."
    return None


def items_fault(schema: Json) -> str | None:
    """Return the first array that does not say what it is made of."""
    for path, inner in _schemas(schema):
        if inner.get("type") == "array" and not {"items", "prefixItems"} & inner.keys():
            return f"In context={path}, array schema missing items."
    return None


def null_fault(schema: Json) -> str | None:
    """Return the first keyword, or part of a schema, that is null."""
    for path, inner in _schemas(schema):
        for name, value in inner.items():
            if value is None and name not in _DATA:
                return f"In context={(*path, name)}, None is not of type 'object', 'boolean'."
        for name, value in as_object(inner.get("properties")).items():
            if value is None:
                return f"In context={(*path, 'properties', name)}, None is not of type 'object', 'boolean'."
    return None


def strict_fault(schema: Json) -> str | None:
    """Return what a strict schema lacks: closed objects whose properties are all required."""
    for path, inner in _schemas(schema):
        properties = as_object(inner.get("properties"))
        if inner.get("type") != "object" and not properties:
            continue
        if inner.get("additionalProperties") is not False:
            return f"In context={path}, 'additionalProperties' is required to be supplied and to be false."
        required = as_list(inner.get("required"))
        left_out = next((name for name in properties if name not in required), None)
        if left_out is not None:
            return (
                f"In context={path}, 'required' is required to be supplied and to be an array including "
                f"every key in properties. Missing '{left_out}'."
            )
    return None


FAULTS: dict[str, Callable[[Json], str | None]] = {
    "root": root_fault,
    "union": union_fault,
    "nulls": null_fault,
    "types": type_fault,
    "properties": properties_fault,
    "items": items_fault,
}


def _schemas(schema: object, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Yield every schema within a schema, with its place, outermost first."""
    if not isinstance(schema, dict) or len(path) > _DEEPEST:
        return
    yield path, schema
    for place, inner in _inner(schema):
        yield from _schemas(inner, (*path, *place))


def _inner(schema: Json) -> Iterator[tuple[Path, object]]:
    for name in ("properties", "$defs", "definitions"):
        yield from (((name, key), value) for key, value in as_object(schema.get(name)).items())
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from (((name, str(place)), value) for place, value in enumerate(as_list(schema.get(name))))
    for name in ("items", "additionalProperties", "not"):
        if name in schema:
            yield (name,), schema[name]


def _short(value: object) -> str:
    return repr(value)[:80]
