"""What the backend refuses of a call, in its own order and words (docs/backend.md, Failures)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..rules import Incoming, Policy, Refused
from . import body, headers as header, images, items, model, pairs, parts, reasoning, tools
from .json_body import UnreadableError, decoded, parsed
from .rule import Rule, first_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PENDING", "RULES", "judge", "refuse"]

RULES: tuple[Rule, ...] = (
    header.CONTENT_TYPE,
    *header.RULES,
    *body.FIRST_RULES,
    *model.RULES,
    *tools.RULES,
    *items.RULES,
    *parts.RULES,
    *images.RULES,
    *items.CALL_RULES,
    *pairs.RULES,
    *reasoning.RULES,
    *body.LAST_RULES,
)

# Rules that are not in force yet, because the product does not keep them. To be emptied.
PENDING: frozenset[str] = frozenset()


def judge(
    raw: bytes, headers: Mapping[str, str], policy: Policy, rules: tuple[Rule, ...] = RULES
) -> dict[str, Any] | Refused:
    """Return the body of an accepted call, or its refusal; ``raw`` is as sent, perhaps compressed.

    ``rules`` are those of the service, the Codex service's by default.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        content = parsed(decoded(raw, lowered.get("content-encoding", ""), policy.changes.encodings))
    except UnreadableError as failure:
        nothing = Incoming({}, lowered, policy)
        return first_refusal((header.CONTENT_TYPE,), nothing, PENDING) or failure.refused
    return refuse(content, lowered, policy, rules) or content


def refuse(
    content: dict[str, Any], headers: Mapping[str, str], policy: Policy, rules: tuple[Rule, ...] = RULES
) -> Refused | None:
    """Return why the backend refuses this call, or None where it would answer.

    Nothing is raised, whatever the values in ``content`` are.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    request, changes = Incoming(content, lowered, policy), policy.changes
    refused = first_refusal(rules, request, PENDING | changes.lifted)
    if refused is not None:
        return changes.worded(refused)
    return next(filter(None, (check(request) for check in changes.added)), None)
