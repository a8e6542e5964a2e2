"""Claims about the stream of an answer, and about the limits that the service reports."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...drift import FIELDS, ITEM_FIELDS, QUIET_EVENTS
from ...quota import read_headers, read_usage
from ...response.accumulator import ResponseAccumulator
from ..checks import seen
from ..claim import Check, Claim, Finding, UnclearError, confirmed, decided, refuted
from ..session import PROMPT, why_not
from ..shape import at, header_names, safe, shape_of
from .places import SMALL, both, codex

if TYPE_CHECKING:
    from ..reading import Answer
    from ..session import Session

_FIRST = ("response.created", "codex.rate_limits")
_USAGE = ("input_tokens", "output_tokens", "total_tokens")


def _kinds(answer: Answer) -> list[str]:
    return list(dict.fromkeys(safe(str(event["type"])) for event in answer.events))


def _order(answer: Answer) -> Finding:
    kinds = [event["type"] for event in answer.events]
    is_so = kinds[0] in _FIRST and "response.created" in kinds and kinds[-1] == "response.completed"
    return decided(is_so, f"from {safe(kinds[0])} to {safe(kinds[-1])}", _kinds(answer))


def _known(answer: Answer) -> Finding:
    unknown = sorted(
        {event["type"] for event in answer.events} - ResponseAccumulator.KNOWN_EVENTS - QUIET_EVENTS
    )
    shown = ", ".join(safe(kind) for kind in unknown[:5])
    return decided(not unknown, f"unknown: {shown}" if unknown else "all are known", _kinds(answer))


def _item_fields(answer: Answer) -> Finding:
    unknown = {
        f"{safe(str(item.get('type')))}.{safe(str(name))}"
        for item in answer.items
        for name in item.keys() - ITEM_FIELDS.get(str(item.get("type")), frozenset())
    }
    shapes = [shape_of(dict(item)) for item in answer.items[:4]]
    return decided(
        not unknown, f"unknown: {', '.join(sorted(unknown)[:5])}" if unknown else "all are known", shapes
    )


def _empty_output(answer: Answer) -> Finding:
    output = answer.closing.get("output")
    return decided(output == [], "empty" if output == [] else "not empty", shape_of(dict(answer.closing)))


def _usage(answer: Answer) -> Finding:
    usage = answer.closing.get("usage")
    shape = shape_of(usage)
    if not isinstance(usage, Mapping):
        return refuted("the last event has no usage", shape)
    missing = [name for name in _USAGE if not isinstance(usage.get(name), int)]
    if not isinstance(at(usage, "input_tokens_details", "cached_tokens"), int):
        missing.append("cached_tokens")
    if not isinstance(at(usage, "output_tokens_details", "reasoning_tokens"), int):
        missing.append("reasoning_tokens")
    unknown = sorted(safe(str(name)) for name in usage.keys() - FIELDS["usage"])
    shown = f"also {', '.join(unknown[:5])}" if unknown else "as described"
    return decided(not missing, f"missing: {', '.join(missing)}" if missing else shown, shape)


def _deltas(answer: Answer) -> Finding:
    pieces = [event.get("delta") for event in answer.events if event["type"] == "response.output_text.delta"]
    joined = "".join(piece for piece in pieces if isinstance(piece, str))
    is_same = bool(joined) and joined == answer.text
    return decided(is_same, f"{len(pieces)} deltas, {'equal to' if is_same else 'not'} the finished text")


def _request_id(answer: Answer) -> Finding:
    found = [name for name in answer.names.request_id if answer.headers.get(name)]
    return decided(found, f"in {found[0]}" if found else "in no known header", header_names(answer.headers))


def _limit_headers(answer: Answer) -> Finding:
    prefix = f"x-{answer.names.quota}-"
    quota = read_headers(answer.headers, answer.names.quota, time.time())
    shape = [name for name in header_names(answer.headers) if name.startswith(prefix)]
    windows = quota.windows if quota else ()
    if not quota or not quota.plan or not windows or not all(w.minutes and w.resets_at for w in windows):
        return refuted("plan, or a window with its length and reset, is missing", shape)
    return confirmed(f"windows: {', '.join(window.name for window in windows)}", shape)


async def _usage_document(session: Session) -> Mapping[str, Any]:
    answer = await session.usage()
    if not isinstance(answer.document, Mapping):
        raise UnclearError(why_not(answer))
    return answer.document


async def _windows(session: Session) -> Finding:
    document = await _usage_document(session)
    quota = read_usage(dict(document), time.time())
    shape = shape_of(dict(document))
    if not quota.plan or not quota.windows or not all(w.minutes and w.resets_at for w in quota.windows):
        return refuted("plan, or a window with its length and reset, is missing", shape)
    return confirmed(f"windows: {', '.join(window.name for window in quota.windows)}", shape)


async def _document_fields(session: Session) -> Finding:
    document = await _usage_document(session)
    unknown = sorted(safe(str(name)) for name in document.keys() - FIELDS["wham/usage"])
    text = f"unknown: {', '.join(unknown[:5])}" if unknown else "all are known"
    return decided(not unknown, text, shape_of(dict(document)))


def _document_field(kind: type, *path: str) -> Check:
    """Return a check that a field of the usage document is there, of this type."""

    async def check(session: Session) -> Finding:
        document = await _usage_document(session)
        found = at(document, *path)
        is_so = isinstance(found, kind) and (kind is bool or not isinstance(found, bool))
        return decided(
            is_so, "as described" if is_so else f"it is {type(found).__name__}", shape_of(document)
        )

    return check


async def _whole(session: Session) -> Finding:
    """Ask through the provider itself."""
    from amplifier_core.llm_errors import InvalidRequestError, NotFoundError
    from amplifier_core.message_models import ChatRequest, Message

    base = await session.base()
    session.requests += 1
    request = ChatRequest(messages=[Message(role="user", content=PROMPT)])
    try:
        response = await session.provider.complete(request, model=base.model.slug, reasoning_effort="low")
    except (InvalidRequestError, NotFoundError) as error:
        return refuted(f"refused: {safe(str(error))}")
    session.tokens += (response.usage.total_tokens or 0) if response.usage else 0
    return decided(response.content, "answered" if response.content else "the answer is empty")


CLAIMS = (
    Claim(
        "stream.order",
        "A stream begins with response.created and ends with response.completed.",
        both("Event stream", "Answers"),
        "the plain call",
        "these events; `codex.rate_limits` may be the first",
        seen(_order),
        requests=0,
    ),
    Claim(
        "stream.events",
        "Each event type is known.",
        both("Event stream", "Answers"),
        "the plain call",
        "no event type besides those that this provider knows",
        seen(_known),
        requests=0,
    ),
    Claim(
        "stream.items",
        "Each field of a finished item is known.",
        both("Items", "Answers"),
        "the plain call",
        "no field besides those that this provider knows",
        seen(_item_fields),
        requests=0,
    ),
    Claim(
        "stream.empty-output",
        "The output of the last event is empty.",
        both("Event stream", "Answers"),
        "the plain call",
        "`output` is an empty list",
        seen(_empty_output),
        requests=0,
    ),
    Claim(
        "stream.usage",
        "The last event has the token counts, with cached and reasoning tokens.",
        both("Endings", "Answers"),
        "the plain call",
        "`usage` with its details",
        seen(_usage),
        requests=0,
    ),
    Claim(
        "stream.deltas",
        "The deltas of a text are the text.",
        both("Event stream", "Answers"),
        "the plain call",
        "the joined deltas are the finished text",
        seen(_deltas),
        requests=0,
    ),
    Claim(
        "stream.request-id",
        "Each answer has a request id in a header.",
        both("Event stream", "Answers"),
        "the plain call",
        "`x-request-id` or `x-oai-request-id`",
        seen(_request_id),
        requests=0,
    ),
    Claim(
        "limits.headers",
        "Each answer has plan and limit windows in its headers.",
        codex("Limits"),
        "the plain call",
        "`x-codex-plan-type`, and a window with percentage, length and reset",
        seen(_limit_headers),
        requests=0,
    ),
    Claim(
        "limits.usage",
        "/wham/usage has the plan and the same windows.",
        codex("Limits"),
        "the usage document",
        "`plan_type`, and `rate_limit` with at least one window",
        _windows,
    ),
    Claim(
        "limits.fields",
        "Each field of /wham/usage is known.",
        codex("Limits"),
        "the usage document",
        "no field besides those of the section",
        _document_fields,
        requests=0,
    ),
    Claim(
        "limits.spend-cap",
        "/wham/usage says whether a spend cap is reached.",
        codex("Limits"),
        "the usage document",
        "`spend_control.reached` is true or false",
        _document_field(bool, "spend_control", "reached"),
        requests=0,
    ),
    Claim(
        "limits.reset-credits",
        "/wham/usage counts the saved resets.",
        codex("Limits"),
        "the usage document",
        "`rate_limit_reset_credits.available_count` is a number",
        _document_field(int, "rate_limit_reset_credits", "available_count"),
        requests=0,
    ),
    Claim(
        "provider.call",
        "A call of this provider is answered.",
        both("Event stream", "Answers"),
        "one call as a session makes it",
        "an answer",
        _whole,
        tokens=SMALL,
    ),
)
