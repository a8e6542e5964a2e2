"""What each refusal means: the kernel's class, whether a retry may help, and the sentence for users.

A known code always decides; without one, the server's message does, then the HTTP status
(docs/backend.md, Failures). To handle a new refusal, add a row here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
)

from ..services import Rule
from .transport import TransportFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .refusal import Refusal


# ``kernel`` builds the whole sentence.
USAGE_LIMIT = Rule(QuotaExceededError, "ChatGPT usage limit reached", quote=False)
_CREDITS = Rule(
    QuotaExceededError,
    "The quota of this ChatGPT account is used up: check plan and billing at {usage}.",
)
_BALANCE = Rule(
    QuotaExceededError, "The credits of this ChatGPT account are used up: add credits at {usage}."
)
_SPEND_LIMIT = Rule(
    QuotaExceededError,
    "The spend limit of this organization or project is reached: ask its owner to raise it, see {usage}.",
)
_TOO_MANY = Rule(
    RateLimitError,
    "Too many requests in a short time (this is not the usage limit): {wait}.",
    retryable=True,
)
_AT_CAPACITY = Rule(
    ProviderUnavailableError,
    "The model {model} is overloaded: try again in a few minutes or choose another model.",
    retryable=True,
)
_FLEX = Rule(
    ProviderUnavailableError, "The flex tier has no capacity for the model {model}: remove service_tier."
)
_SERVER = Rule(
    ProviderUnavailableError,
    "The ChatGPT backend failed{status}: try again in a few minutes.",
    retryable=True,
)
_CONTEXT = Rule(
    ContextLengthError,
    "The conversation is too long for the model {model}: compact it, or start a new one.",
)
_LONG_TEXT = Rule(
    ContextLengthError,
    "A message or tool result is longer than the backend accepts: "
    "compact the conversation, or start a new one.",
)
_POLICY = Rule(
    ContentFilterError,
    "OpenAI's safety policy stopped this request: rephrase it, or start a new conversation.",
)
_PROMPT = Rule(
    InvalidRequestError, "The backend rejects this prompt: rephrase it, or start a new conversation."
)
# Hosts cut errors after 57 characters, class name included: the command comes first.
_SIGNED_OUT = Rule(
    AuthenticationError, "Run {login}: the ChatGPT sign-in is no longer accepted.", quote=False
)
_ACCOUNT = Rule(
    AuthenticationError,
    "This ChatGPT account or workspace is no longer active: sign in with another one.",
)
_NO_MODEL = Rule(NotFoundError, "{account} does not offer the model {model}: {choose}.")
_GATE = Rule(
    NotFoundError,
    "OpenAI restricts the model {model} to newer clients: update this provider, or {choose}.",
)
_REGION = Rule(
    AccessDeniedError,
    "OpenAI does not serve the country or region this request came from: try without VPN or proxy.",
)
_INVALID = Rule(
    InvalidRequestError,
    "The backend rejects the request as malformed{status}: start a new conversation, or report this.",
)
_PARAMETER = Rule(
    InvalidRequestError,
    "The backend rejects a parameter of the request{status}: check extra_request_params, or report this.",
)
_REASONING = Rule(
    InvalidRequestError,
    "The backend cannot read the reasoning kept from earlier in this conversation: start a new one.",
)
_PAIRS = Rule(
    InvalidRequestError,
    "A tool call in this conversation has no result, or a result has no call: start a new conversation.",
)
_IMAGE = Rule(
    InvalidRequestError, "An image in this conversation cannot be read: send it again as PNG or JPEG."
)
_CHALLENGE = Rule(
    ProviderUnavailableError,
    "Cloudflare blocks this connection to ChatGPT{status}: try another network, without VPN or proxy.",
    retryable=True,
    quote=False,
)
_WEB_PAGE = Rule(
    AccessDeniedError,
    "A web page arrived instead of an answer{status}: a proxy or firewall probably blocks ChatGPT.",
    quote=False,
)

# By the server's `code`, else its `type`, whatever the status (docs/backend.md, Failures).
BY_CODE: dict[str, Rule] = {
    "usage_limit_reached": USAGE_LIMIT,
    "usage_limit_exceeded": USAGE_LIMIT,
    "insufficient_quota": _CREDITS,
    "quota_exceeded": _CREDITS,
    "billing_hard_limit_reached": _CREDITS,
    "credit_balance_exhausted": _BALANCE,
    "organization_spend_limit_exceeded": _SPEND_LIMIT,
    "project_spend_limit_exceeded": _SPEND_LIMIT,
    "rate_limit_exceeded": _TOO_MANY,
    "rate_limit_error": _TOO_MANY,
    "too_many_requests": _TOO_MANY,
    "server_is_overloaded": _AT_CAPACITY,
    "slow_down": _AT_CAPACITY,
    "overloaded": _AT_CAPACITY,
    "overloaded_error": _AT_CAPACITY,
    "flex_unavailable": _FLEX,
    "flex_capacity_exceeded": _FLEX,
    "server_error": _SERVER,
    "internal_server_error": _SERVER,
    "context_length_exceeded": _CONTEXT,
    "context_window_exceeded": _CONTEXT,
    "request_too_large": _CONTEXT,
    "string_above_max_length": _LONG_TEXT,
    "cyber_policy": _POLICY,
    "misalignment_policy_violation": _POLICY,
    "bio_policy": _POLICY,
    "content_filter": _POLICY,
    "content_policy_violation": _POLICY,
    "invalid_prompt": _PROMPT,
    "invalid_encrypted_content": _REASONING,
    "token_expired": _SIGNED_OUT,
    "token_invalidated": _SIGNED_OUT,
    "token_revoked": _SIGNED_OUT,
    "invalid_token": _SIGNED_OUT,
    "invalid_api_key": _SIGNED_OUT,
    "authentication_error": _SIGNED_OUT,
    "account_deactivated": _ACCOUNT,
    "account_suspended": _ACCOUNT,
    "deactivated_workspace": _ACCOUNT,
    "model_not_found": _NO_MODEL,
    "unsupported_country_region_territory": _REGION,
    "unsupported_parameter": _PARAMETER,
    "unknown_parameter": _PARAMETER,
    "unsupported_value": _PARAMETER,
    "invalid_image": _IMAGE,
}

_REQUEST = frozenset({400, 403, 404, 413, 422, None})
_BUSY = frozenset({429, 500, 502, 503, 529, None})
_LIMIT = frozenset({403, 404, 429, None})
# By the server's message, if the code is unknown: (statuses, pattern, rule); the first match decides.
BY_MESSAGE: tuple[tuple[frozenset[int | None], str, Rule], ...] = (
    (_LIMIT, r"\busage limit\b", USAGE_LIMIT),
    (_REQUEST, r"\b(?:unsupported|unknown) parameter\b", _PARAMETER),
    (_REQUEST, r"requires a newer version", _GATE),
    (
        _REQUEST,
        r"^model not found\b|\bmodel is not supported\b|\bmodel '?[^' ]{1,80}'? does not exist",
        _NO_MODEL,
    ),
    (_REQUEST, r"\bcontext (?:length|window)\b|\bmaximum context\b|\btoo many tokens\b", _CONTEXT),
    (_REQUEST, r"\bstring too long\b", _LONG_TEXT),
    (_REQUEST, r"encrypted content .{0,200}could not be verified", _REASONING),
    (_REQUEST, r"does not represent a valid image", _IMAGE),
    (_REQUEST, r"no tool (?:output|call) found for|missing namespace for function_call", _PAIRS),
    (_REQUEST, r"\bcontent[ _-]?filter|\bsafety\b|\bblocked\b", _POLICY),
    (_BUSY, r"\bat capacity\b|\boverloaded\b", _AT_CAPACITY),
    (frozenset({None}), r"\brate limit\b|\btoo many requests\b", _TOO_MANY),
)

_MOVED = Rule(
    ProviderUnavailableError,
    "The backend answered with a redirect{status}: check base_url, and any proxy or login page in between.",
    quote=False,
)
_OTHER_REQUEST = Rule(
    InvalidRequestError, "The backend rejects the request{status}: update this provider, or report this."
)
BY_STATUS: dict[int, Rule] = {
    **dict.fromkeys(
        range(200, 300),
        Rule(
            ProviderUnavailableError,
            "The backend did not send an event stream{status}: try again; if this persists, check base_url.",
            retryable=True,
        ),
    ),
    **dict.fromkeys(range(300, 400), _MOVED),
    **dict.fromkeys(range(400, 500), _OTHER_REQUEST),
    400: _INVALID,
    401: _SIGNED_OUT._replace(quote=True),
    402: Rule(QuotaExceededError, "OpenAI asks for payment{status}: check plan and billing at {usage}."),
    403: Rule(
        AccessDeniedError,
        "{account} is not allowed to do this{status}: a workspace rule may forbid it, ask its administrator.",
    ),
    404: Rule(
        NotFoundError,
        "The backend cannot find this{status}: check base_url and the model {model}, or {choose}.",
    ),
    405: Rule(NotFoundError, "The backend rejects this method at this address{status}: check base_url."),
    407: Rule(
        AccessDeniedError,
        "The proxy requires a sign-in{status}: put its user name and password into HTTPS_PROXY.",
    ),
    408: Rule(
        LLMTimeoutError, "The backend stopped waiting for the request{status}: try again.", retryable=True
    ),
    409: Rule(
        ProviderUnavailableError,
        "The request conflicts with another one at the backend{status}: try again.",
        retryable=True,
    ),
    410: _NO_MODEL,
    413: _CONTEXT,
    422: _INVALID,
    425: Rule(
        ProviderUnavailableError,
        "The backend was not ready for the request{status}: try again.",
        retryable=True,
    ),
    429: _TOO_MANY,
    451: Rule(
        AccessDeniedError,
        "OpenAI may not serve this for legal reasons{status}: nothing on this machine changes that.",
    ),
    **dict.fromkeys(range(500, 600), _SERVER),
    529: _AT_CAPACITY,
}
_UNEXPECTED = Rule(
    LLMError,
    "The backend answered with an unexpected status{status}: check base_url and any proxy.",
)

_COMMON: dict[str | int, Rule] = dict([*BY_CODE.items(), *BY_STATUS.items()])


def rule_for(refusal: Refusal, first: Mapping[str | int, Rule]) -> Rule:
    """Return the rule for a refusal; one without a status was an event in a stream.

    ``first`` are the service's own rules by code or status, which take precedence over the common ones.
    """
    if isinstance(refusal, TransportFault):
        return refusal.rule
    return next(rule for rule in _candidates(refusal, {**_COMMON, **first}) if rule is not None)


def _candidates(refusal: Refusal, rules: Mapping[str | int, Rule]) -> Iterator[Rule | None]:
    by_code = rules.get(refusal.code), rules.get(refusal.kind)
    too_many = USAGE_LIMIT if refusal.quota and refusal.quota.is_used_up() else _TOO_MANY
    if USAGE_LIMIT in by_code:
        yield USAGE_LIMIT
    yield from by_code
    if refusal.cloudflare:
        yield _CHALLENGE
    if "rate_limit" in refusal.code:
        yield too_many
    if refusal.html and refusal.status in {200, 403}:
        yield _WEB_PAGE
    for statuses, pattern, rule in BY_MESSAGE:
        if refusal.status in statuses and re.search(pattern, refusal.message, re.IGNORECASE):
            yield rule
    if refusal.status == 429:
        yield too_many
    if refusal.status is None:
        yield _INVALID if refusal.kind == "invalid_request_error" else _SERVER
    else:
        yield rules.get(refusal.status, _UNEXPECTED)
