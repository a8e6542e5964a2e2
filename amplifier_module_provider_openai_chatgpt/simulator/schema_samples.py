"""Sample values for JSON schemas, taken from the words of a prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .rules import Json, as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST = 12
_FORMATS = {
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "date-time": "2026-01-02T03:04:05Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


def salient(prompt: str) -> str:
    """Return the subject of a prompt: its last quoted text, else its last capitalised word, else all of it.

    The first word does not count as capitalised: sentences start with one.
    """
    quoted = re.findall(r"[\"“`]([^\"”`]+)[\"”`]", prompt)
    if quoted:
        return str(quoted[-1])
    words = re.findall(r"[^\W\d_][\w'’-]*", prompt)
    names = [word for word in words[1:] if word[0].isupper()]
    return names[-1] if names else prompt or "nothing"


def sample(schema: object, prompt: str) -> Any:
    """Return a value that satisfies a simple `schema`; texts come from `prompt`."""
    return _Sampler(schema, prompt).value(schema, 0)


class _Sampler:
    def __init__(self, root: object, prompt: str) -> None:
        self._root = as_object(root)
        self._text = salient(prompt)
        self._number = next(iter(re.findall(r"\d{1,15}", prompt)), "1")
        self._kinds: dict[str, Callable[[Json, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._integer,
            "boolean": lambda _schema, _depth: True,
            "null": lambda _schema, _depth: None,
        }

    def value(self, schema: object, depth: int) -> Any:
        """Return a value for `schema`; null below the deepest level."""
        known = self._resolved(as_object(schema))
        for fixed in ("const", "default"):
            if fixed in known:
                return known[fixed]
        if as_list(known.get("enum")):
            return self._choice(known["enum"])
        branches = as_list(known.get("anyOf")) or as_list(known.get("oneOf"))
        if depth > _DEEPEST:
            return None
        if branches:
            return self.value(branches[0], depth + 1)
        return self._kinds.get(_kind(known), self._string)(known, depth)

    def _resolved(self, schema: Json) -> Json:
        """Follow a reference within the document and join the parts of `allOf`."""
        for _ in range(_DEEPEST):
            if not isinstance(schema.get("$ref"), str):
                break
            found: Any = self._root
            for step in schema["$ref"].split("/")[1:]:
                found = as_object(found).get(step)
            schema = as_object(found)
        joined = dict(schema)
        for part in map(as_object, as_list(schema.get("allOf"))):
            merged = {**as_object(joined.get("properties")), **as_object(part.get("properties"))}
            needed = [*as_list(joined.get("required")), *as_list(part.get("required"))]
            joined = {**joined, **part, "properties": merged, "required": needed}
        return joined

    def _choice(self, options: list[Any]) -> Any:
        named = [option for option in options if isinstance(option, str) and option == self._text]
        return named[0] if named else options[0]

    def _object(self, schema: Json, depth: int) -> Json:
        """Fill the required properties; if none is required, all of them."""
        properties = as_object(schema.get("properties"))
        wanted = as_list(schema.get("required")) or list(properties)
        return {
            name: self.value(properties.get(name, {}), depth + 1) for name in wanted if isinstance(name, str)
        }

    def _array(self, schema: Json, depth: int) -> list[Any]:
        least = schema.get("minItems", 1)
        most = schema.get("maxItems", 10)
        count = min(max(least, 1), most) if isinstance(least, int) and isinstance(most, int) else 1
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(min(count, 100))]

    def _string(self, schema: Json, depth: int) -> str:
        del depth
        text = _FORMATS.get(str(schema.get("format")), self._text)
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = text.ljust(min(least, 1000), ".") if isinstance(least, int) else text
        return text[:most] if isinstance(most, int) and most >= 0 else text

    def _integer(self, schema: Json, depth: int) -> int | float:
        del depth
        number: int | float = int(self._number)
        step = _limit(schema, "multipleOf")
        if step is not None and step > 0:
            number = max(1, number // step) * step
        low, above = _limit(schema, "minimum"), _limit(schema, "exclusiveMinimum")
        high, below = _limit(schema, "maximum"), _limit(schema, "exclusiveMaximum")
        ceilings = [high, None if below is None else below - 1]
        floors = [low, None if above is None else above + 1]
        number = min([number, *(limit for limit in ceilings if limit is not None)])
        return max([number, *(limit for limit in floors if limit is not None)])


def _limit(schema: Json, key: str) -> int | float | None:
    limit = schema.get(key)
    return limit if isinstance(limit, int | float) and not isinstance(limit, bool) else None


def _kind(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None and schema.get("properties"):
        return "object"
    return str(kind)
