"""What a claim is: one sentence about the service, the request that checks it, and what the answer shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from .session import Session

Verdict: TypeAlias = Literal["confirmed", "refuted", "unclear", "not checked"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "refuted", "unclear", "not checked")
NEVER = "never"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: the verdict, one line for people, and the shape of what was seen (JSON)."""

    verdict: Verdict
    found: str
    shape: object = None


Check: TypeAlias = Callable[["Session"], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Claim:
    """One row. ``sections`` has the heading of the document by the name of the service.

    ``sends`` and ``expects`` describe request and answer for people. ``requests`` and ``tokens`` are a
    rough cost, as it is if the claim is true. Without a ``check`` it is never checked, because of
    ``why_not``. ``confirmed`` is the day on which a live service confirmed it, in ISO 8601, or "never".
    """

    id: str
    text: str
    sections: Mapping[str, str]
    sends: str
    expects: str
    check: Check | None = None
    requests: int = 1
    tokens: int = 0
    why_not: str = ""
    confirmed: str = NEVER

    @property
    def group(self) -> str:
        """The part of the id before its first dot."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """A claim and what was found; ``seconds`` is how long the check took."""

    claim: Claim
    finding: Finding
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "id": self.claim.id,
            "claim": self.claim.text,
            "verdict": self.finding.verdict,
            "found": self.finding.found,
            "shape": self.finding.shape,
            "seconds": round(self.seconds, 1),
        }


@dataclass(slots=True)
class Run:
    """The results so far, and why the run ended early; empty if it did not."""

    service: str
    results: list[Result] = field(default_factory=list)
    stopped: str = ""
    requests: int = 0
    tokens: int = 0

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with a verdict."""
        return sum(result.finding.verdict == verdict for result in self.results)


class UnclearError(Exception):
    """The check cannot decide; the text is the reason."""


class NotCheckedError(Exception):
    """The check does not apply here; the text is the reason."""


class StoppedError(Exception):
    """No further request may be made; the text is the reason."""


def confirmed(found: str, shape: object = None) -> Finding:
    """Return the finding of a claim that is true."""
    return Finding("confirmed", found, shape)


def refuted(found: str, shape: object = None) -> Finding:
    """Return the finding of a claim that is false."""
    return Finding("refuted", found, shape)


def decided(is_true: object, found: str, shape: object = None) -> Finding:
    """Return a finding that confirms or refutes."""
    return Finding("confirmed" if is_true else "refuted", found, shape)
