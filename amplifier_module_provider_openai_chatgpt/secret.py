"""A secret value: it can be used where it is needed, and shown nowhere by accident."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar, cast
from weakref import WeakValueDictionary

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
            _in_use[id(self)] = cast("Secret[str]", self)

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


# By identity, because equal secrets are not the same object. Threads share it: each change is one step.
_in_use: WeakValueDictionary[int, Secret[str]] = WeakValueDictionary()


def texts_in_use() -> list[str]:
    """Return the text of every secret that exists now, the longest first."""
    existing = (reference() for reference in _in_use.valuerefs())
    return sorted({secret.reveal() for secret in existing if secret is not None}, key=len, reverse=True)


def revealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields for a request, with the values of the secrets among them. For the moment of sending."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}
