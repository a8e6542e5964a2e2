"""How much of a conversation fits: what a loop asks before a call, and after one that was too long.

The numbers are described in docs/requests.md, Budget. Nothing here uses the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from amplifier_core.llm_errors import ContextLengthError, LLMError

from .completion import build_expected_call
from .estimate import estimate_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amplifier_core.message_models import ChatRequest

    from ..protocol.call import Call
    from .context import CallContext
    from .estimate import CallEstimate

# The backend refuses a longer text with `string_above_max_length` (docs/backend.md, Failures).
LONGEST_TEXT = 1_048_576
# Loops count four characters as a token.
_CHARACTERS_PER_TOKEN = 4
# Percent of what fits, because a shortened view may be denser than the whole was.
_MARGIN = 90
# Percent of a refused conversation that is kept at most.
_KEPT = 80
# A loop's count is not larger than this.
_MOST = 2**53


class RequestBudget(TypedDict):
    """What a loop reads: the tokens of the request, how many fit, and how many of its own tokens fit.

    ``context_token_budget`` is in the unit of the loop's ``context_estimate``.
    """

    estimated_input_tokens: int
    input_limit_tokens: int
    context_token_budget: int


@dataclass(frozen=True, slots=True)
class _Size:
    """A request in tokens: ``fixed`` are those no loop can remove, ``limit`` is how many fit."""

    total: int
    fixed: int
    limit: int

    def budget(self, context: int) -> RequestBudget:
        """Return the budget of a loop whose own count of the messages is ``context``."""
        movable, room = max(1, self.total - self.fixed), max(0, self.limit - self.fixed)
        fits = self.total <= self.limit
        share = context * room * (100 if fits else _MARGIN) // (movable * 100)
        return {
            "estimated_input_tokens": self.total,
            "input_limit_tokens": self.limit,
            "context_token_budget": share if fits else max(0, min(share, context - 1)),
        }


def request_budget(
    context: CallContext, request: ChatRequest, context_estimate: object, options: Mapping[str, object]
) -> RequestBudget | None:
    """Return the budget of a request; None for one that cannot be sent, whose call says why."""
    try:
        call = build_expected_call(context, request, options)
    except LLMError:
        return None
    size = _size(context, call, estimate_call(call))
    return size.budget(_count(context_estimate) or size.total - size.fixed)


def overflow_budget(
    context: CallContext,
    request: ChatRequest,
    error: object,
    context_estimate: object,
    options: Mapping[str, object],
) -> RequestBudget | None:
    """Return a smaller budget for a request that was refused as too long; None if nothing can be done.

    The estimate is above the limit, because the backend has said so, and later estimates of this
    conversation are corrected until its next answer.
    """
    if not isinstance(error, ContextLengthError):
        return None
    try:
        call = build_expected_call(context, request, options)
    except ContextLengthError:
        return _without_call(context, context_estimate)
    except LLMError:
        return None
    parts = estimate_call(call)
    is_text_too_long = parts.longest_text > LONGEST_TEXT
    if not is_text_too_long:
        context.tokens.refuse(call, parts)
    size = _size(context, call, parts)
    size = replace(size, total=max(size.total, size.limit + 1))
    return _smaller(size, _count(context_estimate) or size.total - size.fixed, by_text=is_text_too_long)


def _without_call(context: CallContext, context_estimate: object) -> RequestBudget | None:
    """Return a budget for a request with a text so long that no call can be built of it."""
    catalogue = context.catalogue
    limit = catalogue.find(catalogue.expected_model(context.default_model)).input_limit
    estimate = _count(context_estimate)
    return _smaller(_Size(max(limit + 1, estimate), 0, limit), estimate, by_text=True)


def _smaller(size: _Size, context: int, *, by_text: bool) -> RequestBudget | None:
    budget = size.budget(context)
    most = min(budget["context_token_budget"], context * _KEPT // 100)
    if by_text:
        # A view with fewer characters than one text may have has no text that is too long.
        most = min(most, LONGEST_TEXT // _CHARACTERS_PER_TOKEN * _MARGIN // 100)
    return {**budget, "context_token_budget": most} if most >= 1 else None


def _size(context: CallContext, call: Call, parts: CallEstimate) -> _Size:
    total = context.tokens.estimate(call, parts)
    return _Size(total, min(parts.fixed.tokens, total), call.model.input_limit)


def _count(value: object) -> int:
    """Read a loop's count of tokens; 0 for what is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 < value <= _MOST else 0
