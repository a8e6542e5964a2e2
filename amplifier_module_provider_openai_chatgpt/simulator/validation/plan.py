"""The rules by which the plan service refuses a call; those it shares with the Codex service are reused.

What is refused is [doc]; the words, and the code of a refused field, are [unsure].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from ..rules import (
    Incoming,
    Json,
    PlanTerms,
    Refused,
    as_list,
    as_object,
    detail,
    error,
    unknown,
)
from . import body, headers as header, images, items, model, pairs, parts, reasoning, tools
from .request import judge
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPABILITY = "subscription_sharing_unsupported_capability"
_REFUSED_FIELDS = frozenset(
    {
        *("background", "conversation", "max_output_tokens", "max_tool_calls", "metadata", "moderation"),
        *("multi_agent", "previous_response_id", "programmatic_tool_calling", "prompt"),
        *("prompt_cache_options", "prompt_cache_retention", "safety_identifier", "temperature"),
        *("top_logprobs", "top_p", "truncation", "user"),
    }
)
_FIELDS = frozenset(
    {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning"),
        *("store", "stream", "stream_options", "include", "text", "prompt_cache_key", "service_tier"),
    }
)
_REFUSED_HEADERS = (
    *("chatgpt-account-id", "originator", "version", "thread-id", "x-client-request-id"),
    *("x-codex-turn-state", "x-openai-fedramp", "x-openai-internal-codex-responses-lite"),
    *("openai-organization", "openai-project"),
)
_FLAT = ("function", "custom")
_IN_BODY = ("namespace", "web_search", *_FLAT)


def judge_plan(raw: bytes, headers: Mapping[str, str], policy: Any) -> Json | Refused:
    """Return the body of a call that the plan service accepts, or its refusal."""
    return judge(raw, headers, policy, PLAN_RULES)


def _terms(request: Incoming) -> PlanTerms:
    return request.policy.plan or PlanTerms()


def _unsupported(request: Incoming, param: str) -> Refused:
    match _terms(request).wording:
        case "capability":
            return error(f"Unsupported capability: {param}.", param, CAPABILITY)
        case "parameter":
            return unknown(param)
        case "detail":
            return detail(f"Unsupported parameter: {param}")
        case wording:
            assert_never(wording)


def _headers(request: Incoming) -> Refused | None:
    """Refuse the headers of other services. [unsure]: the answer; whether `session-id` is one of them."""
    session = () if _terms(request).session_header else ("session-id",)
    strange = next((name for name in (*_REFUSED_HEADERS, *session) if name in request.headers), None)
    return None if strange is None else error(f"Unsupported header: {strange}.", strange, CAPABILITY)


def _capabilities(request: Incoming) -> Refused | None:
    """Refuse the fields that the service does not offer. [unsure]: more of them, by a switch."""
    refused = (_REFUSED_FIELDS | _terms(request).refused_fields) - request.policy.changes.fields
    return next((_unsupported(request, field) for field in request.body if field in refused), None)


def _fields(request: Incoming) -> Refused | None:
    known = _FIELDS | request.policy.changes.fields
    return next((unknown(field) for field in request.body if field not in known), None)


def _model(request: Incoming) -> Refused | None:
    if request.entry:
        return None
    text = f"The model '{request.slug}' does not exist or you do not have access to it."
    return error(text, "model", "model_not_found", status=404)


def _context(request: Incoming) -> Refused | None:
    """Refuse `reasoning.context`. [unsure]: the service may know it."""
    sent = as_object(request.body.get("reasoning")).get("context")
    return None if sent is None else unknown("reasoning.context")


def _tools(request: Incoming) -> Refused | None:
    """Refuse functions outside a namespace and `additional_tools`, and every hosted tool but web search.

    [unsure]: one client sends functions flat and reports them as accepted; switches accept them, and refuse
    those in the input.
    """
    if not _terms(request).additional_tools and request.items[0].get("type") == "additional_tools":
        return _unsupported(request, "input[0].tools")
    allowed = _IN_BODY if _terms(request).flat_tools else _IN_BODY[:2]
    for place, tool in enumerate(as_list(request.body.get("tools"))):
        if isinstance(tool, dict) and tool.get("type") not in allowed:
            return _unsupported(request, f"tools[{place}]")
    return None


def _namespaces(request: Incoming) -> Refused | None:
    """Refuse a namespace without a description. [unsure]: seen at another backend; a switch accepts it."""
    if _terms(request).empty_descriptions:
        return None
    for place, tool in enumerate(request.tools):
        if tool.get("type") == "namespace" and not tool.get("description"):
            return error("Namespace descriptions must not be empty.", f"tools[{place}].description")
    return None


def _named_choice(request: Incoming) -> Refused | None:
    """Refuse a choice of one function where a switch says so. [unsure]: reported by one client."""
    choice = request.body.get("tool_choice")
    if _terms(request).named_choice or not isinstance(choice, dict):
        return None
    return _unsupported(request, "tool_choice")


def _links(request: Incoming) -> Refused | None:
    """Refuse links to images where a switch says so. [unsure]: images are input, links are not named."""
    if _terms(request).image_links:
        return None
    for param, part in parts.parts_of(request.items):
        if str(part.get("image_url", "")).startswith("http"):
            return _unsupported(request, f"{param}.image_url")
    return None


OWN_RULES = {
    "headers": Rule("plan.headers", "Requests", _headers),
    "capabilities": Rule("plan.capabilities", "Requests", _capabilities),
    "fields": Rule("plan.fields", "Requests", _fields),
    "model": Rule("plan.model", "Models", _model),
    "context": Rule("plan.context", "Requests", _context),
    "tools": Rule("plan.tools", "Tools", _tools),
    "namespaces": Rule("plan.namespaces", "Tools", _namespaces),
    "choice": Rule("plan.named-choice", "Tools", _named_choice),
    "links": Rule("plan.image-links", "Requests", _links),
}
# Rules of the Codex service that do not hold here, or that a rule above replaces.
_NOT_HERE = frozenset(
    {
        *("headers.session-id", "headers.thread-id", "headers.turn-state"),
        *("body.fields", "body.instructions", "body.client-metadata"),
        *("model.known", "model.version", "model.request-shape", "model.context", "tools.lite-shape"),
    }
)


def _shared(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if rule.id not in _NOT_HERE)


PLAN_RULES: tuple[Rule, ...] = (
    header.CONTENT_TYPE,
    *_shared(header.RULES),
    OWN_RULES["headers"],
    OWN_RULES["capabilities"],
    OWN_RULES["fields"],
    *_shared(body.FIRST_RULES),
    OWN_RULES["model"],
    OWN_RULES["context"],
    *_shared(model.RULES),
    OWN_RULES["tools"],
    *_shared(tools.RULES),
    OWN_RULES["namespaces"],
    OWN_RULES["choice"],
    *items.RULES,
    *parts.RULES,
    OWN_RULES["links"],
    *images.RULES,
    *items.CALL_RULES,
    *pairs.RULES,
    *reasoning.RULES,
    *_shared(body.LAST_RULES),
)
