"""Builds the kernel error for a refusal, once per failure.

Users see only one line of an error, so each sentence says what happened, who has to act and what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import LLMError, StreamError

from ..quota.words import plan_name, reset_phrase, span
from ..settings import PROVIDER
from .refusal import Refusal, clean, unsupported_parameter
from .table import USAGE_LIMIT, rule_for
from .transport import TransportFault

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import tzinfo

    from ..quota.values import Window
    from ..services import Rule, Service

_MODELS_COMMAND = "amplifier-openai-chatgpt models"

# Server messages that add nothing to the sentence.
_UNINFORMATIVE = frozenset(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """What is needed to build a sentence, apart from the refusal.

    ``now`` is in Unix seconds; ``plan`` is the account's, for refusals that do not name it;
    ``extra_params`` are body fields that the user added; ``alternatives`` are models to suggest. Times
    are shown in ``tz``, or in local time.
    """

    service: Service
    now: float
    model: str | None = None
    plan: str | None = None
    extra_params: Collection[str] = ()
    alternatives: Sequence[str] = ()
    tz: tzinfo | None = None


def kernel_error(refusal: Refusal, context: ErrorContext) -> LLMError:
    """Return the kernel error for a refusal, to be raised ``from`` it."""
    rule = rule_for(refusal, context.service.rules)
    resets_at = _resets_at(refusal, context.now) if rule is USAGE_LIMIT else None
    wait = resets_at - context.now if resets_at else refusal.retry_after
    error = rule.error(
        _sentence(refusal, rule, context, resets_at) + _server_words(refusal, rule) + _support_ids(refusal),
        provider=PROVIDER,
        model=context.model,
        status_code=refusal.status,
        retryable=rule.retryable,
        retry_after=max(0.0, wait) if wait is not None else None,
    )
    if isinstance(error, StreamError) and isinstance(refusal, TransportFault):
        error.partial_text = refusal.partial
    return error


def may_be_retried(error: LLMError, refusal: Refusal | None) -> bool:
    """True if the same request may succeed later; ``refusal`` is the cause of the error, if known.

    The error for a Cloudflare challenge keeps the kernel's ``retryable`` flag, but a retry would only
    prolong the block.
    """
    return error.retryable and not (refusal is not None and refusal.cloudflare)


def retry_limit(refusal: Refusal | None, service: Service, most: int) -> int:
    """Return how often a call may be retried after a failure; ``most`` is the setting."""
    if service.retries_after_hint is None or refusal is None or refusal.retry_after is None:
        return most
    return min(most, service.retries_after_hint) if (refusal.status or 0) >= 500 else most


def _sentence(refusal: Refusal, rule: Rule, context: ErrorContext, resets_at: float | None) -> str:
    plan = refusal.plan or clean(context.plan, 60)
    if rule is USAGE_LIMIT:
        return _usage_limit_sentence(refusal, plan, resets_at, context)
    if isinstance(refusal, TransportFault):
        return refusal.sentence()
    return _parameter_sentence(refusal, context.extra_params) or rule.sentence.format(
        model=context.model or "asked for",
        status=f" (HTTP {refusal.status})" if refusal.status else "",
        account=_account_phrase(plan),
        choose=_choose_phrase(context.alternatives, context.model),
        wait=_retry_phrase(refusal.retry_after),
        param=refusal.param or "a part of this request",
        login=context.service.login,
        usage=context.service.usage_page,
    )


def _resets_at(refusal: Refusal, now: float) -> float | None:
    """Return when a used-up limit resets: as the refusal says, else its window, else Retry-After."""
    window = refusal.quota.exhausted() if refusal.quota else None
    given = refusal.resets_at or (window.resets_at if window else None)
    return given or (now + refusal.retry_after if refusal.retry_after else None)


def _usage_limit_sentence(
    refusal: Refusal, plan: str | None, resets_at: float | None, context: ErrorContext
) -> str:
    window = _exhausted_window(refusal, resets_at)
    reached = refusal.quota.reached_type if refusal.quota else None
    when = f"resets {reset_phrase(resets_at, context.now, context.tz)}" if resets_at else ""
    page = context.service.usage_page
    if workspace := _WORKSPACE.get(reached or ""):
        return f"{workspace}{'; ' + when if when else ''}. See {page}"
    subject = "ChatGPT usage limit" + (f" for {window.limit}" if window and window.limit else "")
    place = f" on the {plan_name(plan)} plan" if plan else ""
    length = f" ({window.name} window)" if window and window.minutes else ""
    when = when or "the backend does not say when it resets"
    return f"{subject} reached{place}{length}: {when}. See {page}"


def _exhausted_window(refusal: Refusal, resets_at: float | None) -> Window | None:
    """Find the used-up window: the fullest one that resets at the given time, else the one resetting last."""
    if not refusal.quota:
        return None
    matching = [
        window
        for window in refusal.quota.windows
        if resets_at and window.resets_at and abs(window.resets_at - resets_at) < 120
    ]
    return max(matching, key=lambda window: window.used_percent, default=refusal.quota.exhausted())


def _parameter_sentence(refusal: Refusal, extra_params: Collection[str]) -> str:
    """Return the sentence about a rejected body field, if it is about one; fields the user added first."""
    if refusal.status not in {400, 422}:
        return ""
    words = set(re.findall(r"\w+", f"{refusal.message} {refusal.param or ''}".lower()))
    added = next((name for name in extra_params if name.lower() in words), None)
    if added:
        return f"The backend rejects {added!r}, which the setting extra_request_params adds: remove it."
    name = unsupported_parameter(refusal)
    if name:
        return f"The backend rejects the parameter {name!r}: update this provider, or report this."
    if refusal.code == "unsupported_value" and refusal.param:
        return f"The backend rejects the value of {refusal.param!r}: check the settings, or report this."
    return ""


def _account_phrase(plan: str | None) -> str:
    return f"This ChatGPT account ({plan_name(plan)} plan)" if plan else "This ChatGPT account"


def _choose_phrase(alternatives: Sequence[str], model: str | None) -> str:
    others = [name for name in alternatives if name != model][:4]
    if not others:
        return f"choose one that `{_MODELS_COMMAND}` lists"
    return f"choose another, such as {', '.join(others)}"


def _retry_phrase(seconds: float | None) -> str:
    return f"try again in {span(seconds)}" if seconds else "try again in a moment"


def _server_words(refusal: Refusal, rule: Rule) -> str:
    message = refusal.message
    if not rule.quote or not message or message.lower().rstrip(".!") in _UNINFORMATIVE:
        return ""
    return f" {'Cause' if isinstance(refusal, TransportFault) else 'The server says'}: {message}"


def _support_ids(refusal: Refusal) -> str:
    ids = (("request id", refusal.request_id), ("cf-ray", refusal.cf_ray))
    parts = [f"{name} {value}" for name, value in ids if value]
    return f" ({', '.join(parts)})" if parts else ""
