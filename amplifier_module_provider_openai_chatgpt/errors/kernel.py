"""Every refusal and failure in Amplifier's vocabulary, as the error that leaves this package.

A person sees nothing of an error but its one line, so each sentence says what happened, whose turn
it is and what to do. What a refusal means stands in ``verdicts``, what a broken connection or stream
means in ``outages``; the rest of the package takes all of it from here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import LLMError

from ..quota import USAGE_PAGE, Window, plan_name, reset_phrase, span
from ..settings import PROVIDER
from .refusal import (
    Refusal,
    clean,
    is_lane_refusal,
    is_stale_reasoning,
    is_tier_refusal,
    is_version_gate,
    read_event_refusal,
    read_refusal,
    unsupported_parameter,
)
from .table import USAGE_LIMIT, Rule, row_for
from .transport import (
    Phase,
    event_too_large,
    filtered_answer,
    garbage_stream,
    not_json,
    silent_stream,
    stream_ended_early,
    translated,
    transport_error,
    transport_failures,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import tzinfo

__all__ = [
    "Phase",
    "Refusal",
    "event_too_large",
    "filtered_answer",
    "garbage_stream",
    "is_lane_refusal",
    "is_stale_reasoning",
    "is_tier_refusal",
    "is_version_gate",
    "kernel_error",
    "may_be_repeated",
    "not_json",
    "read_event_refusal",
    "read_refusal",
    "refusal_of",
    "silent_stream",
    "stream_ended_early",
    "translated",
    "transport_error",
    "transport_failures",
]

_MODELS_COMMAND = "amplifier-openai-chatgpt models"

# What the server's own message repeats without adding anything.
_EMPTY_WORDS = frozenset(
    {
        "an error occurred",
        "bad gateway",
        "bad request",
        "error",
        "forbidden",
        "gateway timeout",
        "internal server error",
        "not found",
        "service unavailable",
        "too many requests",
        "unauthorized",
        "unknown error",
    }
)

_WORKSPACE = {
    "workspace_owner_credits_depleted": "Your ChatGPT workspace is out of credits: add some to go on",
    "workspace_member_credits_depleted": "Your ChatGPT workspace is out of credits: ask its owner for more",
    "workspace_owner_usage_limit_reached": "Your ChatGPT workspace is at its spend cap: raise it to go on",
    "workspace_member_usage_limit_reached": "Your ChatGPT workspace is at its spend cap: ask its owner",
}


def kernel_error(
    refusal: Refusal,
    *,
    model: str | None,
    now: float,
    plan: str | None = None,
    extra_params: Collection[str] = (),
    alternatives: Sequence[str] = (),
    tz: tzinfo | None = None,
) -> LLMError:
    """Return the kernel error for a refusal, to be raised ``from`` it.

    ``plan`` is the account's, where the refusal does not tell it; ``extra_params``: body fields that
    came from the setting; ``alternatives``: models that do work. Times are told in ``tz``, else local.
    """
    row = row_for(refusal)
    plan = refusal.plan or clean(plan, 60)
    resets_at = _resets_at(refusal, now) if row is USAGE_LIMIT else None
    if row is USAGE_LIMIT:
        sentence = _usage_limit(refusal, plan, resets_at, now, tz)
    else:
        sentence = _parameter(refusal, extra_params) or row.say.format(
            model=model or "asked for",
            status=f" (HTTP {refusal.status})" if refusal.status else "",
            account=_account(plan),
            choose=_choose(alternatives, model),
            wait=_wait(refusal.retry_after),
        )
    wait = resets_at - now if resets_at else refusal.retry_after
    return row.error(
        sentence + _said(refusal, row) + _trace(refusal),
        provider=PROVIDER,
        model=model,
        status_code=refusal.status,
        retryable=row.retryable,
        retry_after=max(0.0, wait) if wait is not None else None,
    )


def refusal_of(error: BaseException) -> Refusal | None:
    """Return what the backend said, if that is what caused ``error``."""
    return error.__cause__ if isinstance(error.__cause__, Refusal) else None


def may_be_repeated(error: BaseException) -> bool:
    """True when the same request may work a moment later.

    A Cloudflare challenge keeps the kernel's ``retryable`` flag, but repeating only hardens it.
    """
    if not isinstance(error, LLMError) or not error.retryable:
        return False
    refusal = refusal_of(error)
    return refusal is None or not refusal.cloudflare


def _resets_at(refusal: Refusal, now: float) -> float | None:
    """When a used-up limit starts anew: as told in so many words, else by its window, else by Retry-After."""
    window = refusal.quota.exhausted() if refusal.quota else None
    told = refusal.resets_at or (window.resets_at if window else None)
    return told or (now + refusal.retry_after if refusal.retry_after else None)


def _usage_limit(
    refusal: Refusal, plan: str | None, resets_at: float | None, now: float, tz: tzinfo | None
) -> str:
    window = _spent_window(refusal, resets_at)
    reached = refusal.quota.reached_type if refusal.quota else None
    when = f"works again {reset_phrase(resets_at, now, tz)}" if resets_at else ""
    if workspace := _WORKSPACE.get(reached or ""):
        return f"{workspace}{'; ' + when if when else ''}. See {USAGE_PAGE}"
    subject = "ChatGPT usage limit" + (f" for {window.limit}" if window and window.limit else "")
    place = f" on the {plan_name(plan)} plan" if plan else ""
    length = f" ({window.name} window)" if window and window.minutes else ""
    return (
        f"{subject} reached{place}{length}: {when or 'the backend does not say until when'}. See {USAGE_PAGE}"
    )


def _spent_window(refusal: Refusal, resets_at: float | None) -> Window | None:
    """Find the window that is used up: the fullest that resets at the told time, else the slowest."""
    if not refusal.quota:
        return None
    told = [
        window
        for window in refusal.quota.windows
        if resets_at and window.resets_at and abs(window.resets_at - resets_at) < 120
    ]
    return max(told, key=lambda window: window.used_percent, default=refusal.quota.exhausted())


def _parameter(refusal: Refusal, extra_params: Collection[str]) -> str:
    """Name the body field at fault, first of all one that the person added."""
    if refusal.status not in {400, 422}:
        return ""
    words = set(re.findall(r"\w+", f"{refusal.message} {refusal.param or ''}".lower()))
    added = next((name for name in extra_params if name.lower() in words), None)
    if added:
        return f"The backend refuses {added!r}, which the setting extra_request_params adds: remove it."
    name = unsupported_parameter(refusal)
    if name:
        return f"The backend refuses the parameter {name!r}: update this provider, or report this."
    if refusal.code == "unsupported_value" and refusal.param:
        return f"The backend refuses the value of {refusal.param!r}: check the settings, or report this."
    return ""


def _account(plan: str | None) -> str:
    return f"This ChatGPT account ({plan_name(plan)} plan)" if plan else "This ChatGPT account"


def _choose(alternatives: Sequence[str], model: str | None) -> str:
    others = [name for name in alternatives if name != model][:4]
    if not others:
        return f"choose one that `{_MODELS_COMMAND}` lists"
    return f"choose another, such as {', '.join(others)}"


def _wait(seconds: float | None) -> str:
    return f"try again in {span(seconds)}" if seconds else "try again in a moment"


def _said(refusal: Refusal, row: Rule) -> str:
    words = refusal.message
    if not row.quote or not words or words.lower().rstrip(".!") in _EMPTY_WORDS:
        return ""
    return f" The server says: {words}"


def _trace(refusal: Refusal) -> str:
    named = (("request id", refusal.request_id), ("cf-ray", refusal.cf_ray))
    parts = [f"{name} {value}" for name, value in named if value]
    return f" ({', '.join(parts)})" if parts else ""
