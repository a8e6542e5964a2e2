"""All claims in the order in which they are checked, and the choice among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .claims import body, catalogue, model, reasoning, sign_in, stream, tools, unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .claim import Claim

# What costs most comes last, so little is lost if a limit ends the run.
_LAST = ("effort.first-text", "images.link", "cache.session-id", "cache.key")
_UNORDERED: tuple[Claim, ...] = (
    *sign_in.CLAIMS,
    *catalogue.CLAIMS,
    *model.CLAIMS,
    *stream.CLAIMS,
    *reasoning.CLAIMS,
    *body.CLAIMS,
    *tools.CLAIMS,
)
CLAIMS: tuple[Claim, ...] = (
    *(claim for claim in _UNORDERED if claim.id not in _LAST),
    *(claim for claim in _UNORDERED if claim.id in _LAST),
    *unchecked.CLAIMS,
)


def claims_of(service: str, only: Iterable[str] = ()) -> list[Claim]:
    """Return the claims about a service; ``only`` are ids, or groups such as "tools"."""
    wanted = set(only)
    of_service = [claim for claim in CLAIMS if service in claim.sections]
    return [claim for claim in of_service if not wanted or {claim.id, claim.group} & wanted]


def unknown_names(service: str, only: Iterable[str]) -> list[str]:
    """Return the names that are neither an id nor a group of this service's claims."""
    known = {name for claim in CLAIMS if service in claim.sections for name in (claim.id, claim.group)}
    return [name for name in only if name not in known]


def estimate(claims: Sequence[Claim]) -> tuple[int, int]:
    """Return the requests and tokens of a run, roughly; the plain call and the list count once.

    Rows without requests look at these two.
    """
    checked = [claim for claim in claims if claim.check is not None]
    shared = 2 if any(claim.group != "sign-in" for claim in checked) else 0
    return shared + sum(claim.requests for claim in checked), sum(claim.tokens for claim in checked)
