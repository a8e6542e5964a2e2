"""What a rule is: an id, the section of docs/backend.md it comes from, and a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..rules import Incoming, Refused

Check = Callable[[Incoming], Refused | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse a request; ``check`` returns the refusal, or None."""

    id: str
    section: str
    check: Check


def first_refusal(rules: Iterable[Rule], request: Incoming, pending: frozenset[str]) -> Refused | None:
    """Return the refusal of the first rule that the request breaks; ``pending`` ones do not count."""
    for rule in rules:
        refused = None if rule.id in pending else rule.check(request)
        if refused is not None:
            return replace(refused, rule=rule.id)
    return None
