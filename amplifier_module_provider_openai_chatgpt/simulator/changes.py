"""Departures of the service from its own rules, so tests can see what notices them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rules import Incoming, Refused

_ENCODINGS = frozenset({"identity", "gzip", "zstd"})


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the rules of docs/simulator.md; by default nothing does.

    * ``lifted``: ids of rules that are not in force
    * ``reworded``: rule id and another message, without a code, for its refusals
    * ``added``: further rules, checked last
    * ``fields``, ``efforts``: further fields of the body, and reasoning efforts, that are accepted
    * ``encodings``: in which bodies are read
    * ``family_bound``: whether reasoning is bound to a family of models, besides the account
    * ``whole_list``: whether the client version 0.0.0 gets the whole list; ``oldest_client`` that gets any
    * ``unknown_token``: the status with which a token that was never issued is refused
    """

    lifted: frozenset[str] = frozenset()
    reworded: Mapping[str, str] = field(default_factory=dict)
    added: tuple[Callable[[Incoming], Refused | None], ...] = ()
    fields: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    encodings: frozenset[str] = _ENCODINGS
    family_bound: bool = True
    whole_list: bool = True
    oldest_client: tuple[int, ...] = (0, 100, 0)
    unknown_token: int = 401

    def worded(self, refused: Refused) -> Refused:
        """Return a refusal in the words that are in force."""
        text = self.reworded.get(refused.rule)
        return refused if text is None else replace(refused, body={"detail": text})
