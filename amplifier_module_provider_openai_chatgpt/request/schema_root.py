"""The top of a tool's schema as a plain object: a reference or a composition there is merged into it.

The backend refuses ``anyOf``, ``oneOf``, ``allOf``, ``enum`` and ``not`` there (docs/backend.md, Tools).
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

COMPOSITIONS = ("anyOf", "oneOf", "allOf")
TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_NOT_AT_TOP = frozenset({*COMPOSITIONS, "enum", "not"})
_ALIASES = {
    **dict.fromkeys(("str", "text", "date", "datetime", "uuid", "file", "char", "enum"), "string"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("int", "long"), "integer"),
    "bool": "boolean",
    **dict.fromkeys(("dict", "map", "struct", "record"), "object"),
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    "none": "null",
}
_DEEPEST = 20


def object_root(document: object) -> Schema | None:
    """Return a schema's root as an object schema; None if only something else satisfies it.

    All properties of all branches are offered; required are those that every branch requires.
    """
    if document is None or isinstance(document, bool):
        return {}
    return _object(document, document, 0)


def resolved(reference: str, document: object) -> object:
    """Return what a local reference points to (RFC 6901), or None."""
    if reference == "#":
        return document
    found, steps = document, reference.split("/")
    if steps[0] != "#":
        return None
    for step in steps[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def known_type(name: object) -> str | None:
    """Return a type of JSON Schema for a type's name, also in other languages' words; None if unknown."""
    lowered = name.strip().lower() if isinstance(name, str) else ""
    return lowered if lowered in TYPES else _ALIASES.get(lowered)


def listed(value: object) -> list[Any]:
    """Return a list, or an empty one instead of anything else."""
    return value if isinstance(value, list) else []


def mapped(value: object) -> Schema:
    """Return an object, or an empty one instead of anything else."""
    return value if isinstance(value, dict) else {}


def names(value: object) -> list[str]:
    """Return the texts of a list, each once."""
    return list(dict.fromkeys(name for name in listed(value) if isinstance(name, str)))


def _object(schema: object, document: object, depth: int) -> Schema | None:
    followed = _followed(schema, document)
    if followed is None or depth > _DEEPEST or not _may_be_object(followed):
        return None
    if _NOT_AT_TOP.isdisjoint(followed):
        return followed
    merged = {key: value for key, value in followed.items() if key not in _NOT_AT_TOP}
    for keyword in COMPOSITIONS:
        branches = [_object(branch, document, depth + 1) for branch in listed(followed.get(keyword))]
        _merge(merged, [branch for branch in branches if branch], every=keyword == "allOf")
    return merged


def _followed(schema: object, document: object) -> Schema | None:
    """Return the schema with the target of its reference in place of it; None if that is not a schema."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, dict):
            return None
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target = resolved(reference, document)
        if not isinstance(target, dict):
            return None
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return None


def _may_be_object(schema: Schema) -> bool:
    """Return whether an object can satisfy the schema, as far as its own type says."""
    named = schema.get("type")
    types = [known_type(name) for name in (named if isinstance(named, list) else [named])]
    return "object" in types or not any(types)


def _merge(merged: Schema, branches: list[Schema], *, every: bool) -> None:
    """Add the properties of the branches, and what all of them require, or any if ``every`` one applies."""
    properties = dict(mapped(merged.get("properties")))
    for branch in branches:
        for name, schema in mapped(branch.get("properties")).items():
            properties[name] = _either(properties[name], schema) if name in properties else schema
    if properties:
        merged["properties"] = properties
    needed = [names(branch.get("required")) for branch in branches]
    candidates = [name for required in needed for name in required]
    shared = [name for name in candidates if every or all(name in required for required in needed)]
    if shared:
        merged["required"] = list(dict.fromkeys([*names(merged.get("required")), *shared]))


def _either(one: object, other: object) -> object:
    """Return a schema for a property that two branches describe."""
    known = one["anyOf"] if isinstance(one, dict) and set(one) == {"anyOf"} else [one]
    if other in listed(known):
        return one
    return {"anyOf": [*listed(known), other]}
