"""What the backend is reported to refuse in a tool's parameters, independent of what repairs them."""

from typing import Any

TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
NOT_AT_TOP = ("anyOf", "oneOf", "allOf", "enum", "not")


def schema_fault(schema: Any) -> str | None:
    """Why the backend would refuse these parameters, or None."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "the root is not an object"
    if not isinstance(schema.get("properties"), dict):
        return "the root has no properties"
    at_top = [keyword for keyword in NOT_AT_TOP if keyword in schema]
    return f"{at_top[0]} at the top" if at_top else node_fault(schema, schema, ())


def node_fault(schema: Any, root: dict, path: tuple) -> str | None:
    if not isinstance(schema, dict):
        return f"{path}: not a schema"
    if len(path) > 400:
        return "too deep"
    own = own_fault(schema, root)
    if own:
        return f"{path}: {own}"
    inner = [((*path, key), schema[key]) for key in ONE if not isinstance(schema.get(key, True), bool)]
    inner += [((*path, key, n), one) for key in MANY for n, one in enumerate(schema.get(key, ()))]
    inner += [
        ((*path, key, name), one)
        for key in NAMED
        for name, one in schema.get(key, {}).items()
        if not (isinstance(one, bool) and key in {"patternProperties", "dependentSchemas"})
    ]
    return next((fault for place, one in inner if (fault := node_fault(one, root, place))), None)


def own_fault(schema: dict, root: dict) -> str | None:
    nulls = [keyword for keyword, value in schema.items() if value is None]
    if nulls:
        return f"null for {nulls[0]}"
    named = schema.get("type", [])
    types = named if isinstance(named, list) else [named]
    if "type" in schema and (not types or any(not isinstance(t, str) or t not in TYPES for t in types)):
        return f"unknown type {named}"
    if "array" in types and not isinstance(schema.get("items"), dict):
        return "array schema missing items"
    if "object" in types and not isinstance(schema.get("properties"), dict):
        return "object schema missing properties"
    if not all(isinstance(schema.get(key, {}), dict) for key in NAMED):
        return "not an object of schemas"
    if not all(isinstance(name, str) for name in schema.get("required", ())):
        return "required is not a list of names"
    if any(not isinstance(schema.get(key, [0]), list) or not schema.get(key, [0]) for key in (*MANY, "enum")):
        return "an empty list"
    return reference_fault(schema.get("$ref"), root)


def reference_fault(reference: Any, root: Any) -> str | None:
    if reference is None or reference == "#":
        return None
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return f"reference {reference!r}"
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        root = root.get(name) if isinstance(root, dict) else root[int(name)] if isinstance(root, list) else 0
    return None if isinstance(root, dict) else f"dangling reference {reference!r}"
