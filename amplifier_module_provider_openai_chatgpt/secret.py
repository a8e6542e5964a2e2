"""A secret value: it can be used where it is needed, and shown nowhere by accident."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import quote
from weakref import ref

REDACTED = "[REDACTED]"
# Lengths. Shorter texts, and words, also occur in ordinary sentences.
_SHORTEST = 6
_LONGEST_WORD = 20

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """A value that only ``reveal`` returns: text, representations, copies and dumps do not contain it.

    It equals its value and has the same hash, so it can be found and compared. It cannot be pickled. As
    long as a text exists as a secret, ``redaction`` removes it from everything that it cleans.
    """

    __slots__ = ("__weakref__", "reveal")
    reveal: Callable[[], T_co]

    def __init__(self, value: T_co) -> None:
        # A closure, because debuggers and serialisers read attributes.
        self.reveal = lambda: value
        if isinstance(value, str) and _is_distinct(value):
            _remember(self, value)

    def __repr__(self) -> str:
        return REDACTED

    def __format__(self, _: str) -> str:
        return REDACTED

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        value: object = self.reveal()
        return value == (other.reveal() if isinstance(other, Secret) else other)

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __copy__(self) -> Secret[T_co]:
        return self

    def __deepcopy__(self, _: object) -> Secret[T_co]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def _is_distinct(text: str) -> bool:
    """True for a text that is removed wherever it occurs."""
    is_word = len(text) <= _LONGEST_WORD and text.replace("_", "").isalpha()
    return len(text) >= _SHORTEST and not is_word


# How each text is spelled, by the identity of its secret, because equal secrets are not the same object; the
# reference removes the entry with the secret. Threads share it: each change is one step.
_in_use: dict[int, tuple[ref[Secret[Any]], frozenset[str]]] = {}


def _remember(secret: Secret[Any], text: str) -> None:
    key = id(secret)
    spellings = frozenset({text.lower(), quote(text, safe="").lower()})
    _in_use[key] = (ref(secret, lambda _: _in_use.pop(key, None)), spellings)


def spellings_in_use() -> list[str]:
    """Return the text of every secret that exists now, in lower case and as in an address, longest first."""
    found = {spelling for _, spellings in list(_in_use.values()) for spelling in spellings}
    return sorted(found, key=len, reverse=True)


def revealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields for a request, with the values of the secrets among them. For the moment of sending."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}
