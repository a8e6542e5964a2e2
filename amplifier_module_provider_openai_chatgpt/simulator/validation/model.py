"""Rules that depend on the model: gates, request shapes, reasoning, tiers and the text format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..rules import (
    Incoming,
    Json,
    Refused,
    Voice,
    as_list,
    as_object,
    detail,
    error,
    missing,
    unknown,
    unsupported,
    wrong_type,
    wrong_value,
)
from .rule import Rule
from .schemas import strict_fault
from .tools import WIRE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SUMMARIES = ("auto", "concise", "detailed")
_CONTEXTS = ("auto", "current_turn")
_VERBOSITIES = ("low", "medium", "high")
_FORMATS: dict[str, tuple[str, ...]] = {
    "text": ("type",),
    "json_object": ("type",),
    "json_schema": ("type", "name", "schema", "strict", "description"),
}
_CODEX_AGENT = re.compile(r"codex[\w-]*/(\d+(?:\.\d+)*)", re.IGNORECASE)
_NEVER_WITHOUT = re.compile(r"gpt-([6-9]|\d\d)\b")
_LITE_PARALLEL = "X-OpenAI-Internal-Codex-Responses-Lite requires `parallel_tool_calls` to be false."


def _known(request: Incoming) -> Refused | None:
    return None if request.entry else _not_supported(request)


def _version(request: Incoming) -> Refused | None:
    """Compare the client version part by part with the model's minimum (docs/backend.md, Version gates)."""
    needed = _parts(request.entry.get("minimal_client_version"))
    agent = _CODEX_AGENT.match(request.headers.get("user-agent", ""))
    sent = request.headers.get("version") or (agent.group(1) if agent else None)
    if not needed:
        return None
    if sent is None:
        return _closed(request, "not_found") if _is_gated(request) else None
    return None if _parts(sent) >= needed else _closed(request, "upgrade")


def _is_gated(request: Incoming) -> bool:
    """Return True where a client without a version is refused: never for the models before 5.6 [seen]."""
    return request.policy.version_gate == "strict" and bool(request.entry.get("use_responses_lite"))


def _request_shape(request: Incoming) -> Refused | None:
    if request.lite and not request.entry.get("use_responses_lite"):
        return unsupported("model", request.slug, request.slug)
    if not request.lite and request.slug in request.policy.require_lite:
        return _closed(request, "not_found")
    return None


def _parallel(request: Incoming) -> Refused | None:
    parallel = request.body.get("parallel_tool_calls")
    if request.lite and parallel is not False:
        return error(_LITE_PARALLEL, "parallel_tool_calls", "unsupported_value")
    if parallel is None or isinstance(parallel, bool):
        return None
    return wrong_type("parallel_tool_calls", "a boolean")


def _reasoning(request: Incoming) -> Refused | None:
    reasoning = request.body.get("reasoning")
    if reasoning is None:
        return None
    if not isinstance(reasoning, dict):
        return wrong_type("reasoning", "an object")
    strange = next((key for key in reasoning if key not in ("effort", "summary", "context")), None)
    if strange is not None:
        return unknown(f"reasoning.{strange}")
    return None


def _part(
    check: Callable[[Incoming, Json], Refused | None],
) -> Callable[[Incoming], Refused | None]:
    """Return a check of the field `reasoning`, which is an object or absent by then."""
    return lambda request: check(request, as_object(request.body.get("reasoning")))


def _effort(request: Incoming, reasoning: Json) -> Refused | None:
    """Refuse an effort that the endpoint or the model does not accept (docs/backend.md, Request body).

    The catalogue lists `ultra`, a client's word; the endpoint knows it as `max` [seen]. The gpt-6 models
    refuse `none` and `minimal` with the accepted set [seen for astra, sol and 6.1; else unsure]. Older models
    accept `none`, although no list has it [unsure]. Numbers are refused; models that take them are not known.
    """
    effort = reasoning.get("effort")
    if effort is None:
        return None
    if not isinstance(effort, str):
        return wrong_type("reasoning.effort", "a string")
    accepted = _accepted_efforts(request)
    if effort in (*accepted, *request.policy.changes.efforts):
        return None
    if _NEVER_WITHOUT.match(request.slug):
        return wrong_value("reasoning.effort", effort, accepted)
    if effort == "ultra":
        return wrong_value("reasoning.effort", effort, _EFFORTS)
    return unsupported("reasoning.effort", effort, request.slug, accepted)


def _accepted_efforts(request: Incoming) -> list[str]:
    listed = [level for level in _levels(request.entry) if level != "ultra"] or list(_EFFORTS)
    return listed if _NEVER_WITHOUT.match(request.slug) or "none" in listed else ["none", *listed]


def _summary(request: Incoming, reasoning: Json) -> Refused | None:
    summary = reasoning.get("summary")
    if summary is None:
        return None
    if request.entry.get("supports_reasoning_summary_parameter") is False:
        return unsupported("reasoning.summary", summary, request.slug)
    return None if summary in _SUMMARIES else wrong_value("reasoning.summary", summary, _SUMMARIES)


def _context(request: Incoming, reasoning: Json) -> Refused | None:
    context = reasoning.get("context")
    if context is None and not request.lite:
        return None
    allowed = ("all_turns",) if request.lite else _CONTEXTS
    return None if context in allowed else unsupported("reasoning.context", context, request.slug, allowed)


def _tier(request: Incoming) -> Refused | None:
    if "service_tier" not in request.body:
        return None
    if request.policy.tier_refused:
        return detail("Unsupported parameter: service_tier")
    tier = request.body["service_tier"]
    listed = [as_object(one).get("id") for one in as_list(request.entry.get("service_tiers"))]
    if tier is None or tier in listed:
        return None
    return unsupported("service_tier", tier, request.slug, listed)


def _text(request: Incoming) -> Refused | None:
    text = request.body.get("text")
    if text is None:
        return None
    if not isinstance(text, dict):
        return wrong_type("text", "an object")
    strange = next((key for key in text if key not in ("verbosity", "format")), None)
    if strange is not None:
        return unknown(f"text.{strange}")
    return _verbosity(request, text) or _format(request, text)


def _verbosity(request: Incoming, text: Json) -> Refused | None:
    verbosity = text.get("verbosity")
    if verbosity is None:
        return None
    if not request.entry.get("support_verbosity"):
        return unsupported("text.verbosity", verbosity, request.slug)
    return None if verbosity in _VERBOSITIES else wrong_value("text.verbosity", verbosity, _VERBOSITIES)


def _format(request: Incoming, text: Json) -> Refused | None:
    chosen = text.get("format")
    if chosen is None:
        return None
    if not isinstance(chosen, dict):
        return wrong_type("text.format", "an object")
    kind = chosen.get("type")
    if not isinstance(kind, str) or kind not in _FORMATS:
        return wrong_value("text.format.type", kind, tuple(_FORMATS))
    strange = next((key for key in chosen if key not in _FORMATS[kind]), None)
    if strange is not None:
        return unknown(f"text.format.{strange}")
    return _schema_format(chosen) if kind == "json_schema" else _json_word(request, kind)


def _json_word(request: Incoming, kind: str) -> Refused | None:
    if kind != "json_object" or "json" in repr(request.body.get("input")).lower():
        return None
    return error(
        "Response input messages must contain the word 'json' in some form "
        "to use 'text.format' of type 'json_object'.",
        "input",
    )


def _schema_format(chosen: Json) -> Refused | None:
    name, schema, strict = chosen.get("name"), chosen.get("schema"), chosen.get("strict")
    if name is None:
        return missing("text.format.name")
    if not isinstance(name, str) or not WIRE_NAME.fullmatch(name):
        return wrong_value("text.format.name", name)
    if not isinstance(schema, dict):
        return (
            missing("text.format.schema") if schema is None else wrong_type("text.format.schema", "an object")
        )
    if strict is not None and not isinstance(strict, bool):
        return wrong_type("text.format.strict", "a boolean")
    fault = strict_fault(schema) if strict else None
    if fault is None:
        return None
    return error(
        f"Invalid schema for response_format '{name}': {fault}", "text.format.schema", "invalid_json_schema"
    )


def _levels(entry: Json) -> list[str]:
    levels = (as_object(level).get("effort") for level in as_list(entry.get("supported_reasoning_levels")))
    return [level for level in levels if isinstance(level, str)]


def _parts(version: object) -> tuple[int, ...]:
    """Read "0.144.0" or [0, 144, 0]; anything else is older than everything."""
    if isinstance(version, list):
        return tuple(part for part in version if isinstance(part, int))
    if isinstance(version, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})*", version, re.ASCII):
        return tuple(map(int, version.split(".")))
    return ()


def _closed(request: Incoming, usual: Voice) -> Refused:
    """Refuse a model that this client may not use, in the voice of the policy or the usual one."""
    return _VOICES[request.policy.gate_voice or usual](request)


def _not_found(request: Incoming) -> Refused:
    return detail(f"Model not found {request.slug}", 404)


def _not_supported(request: Incoming) -> Refused:
    return detail(f"The '{request.slug}' model is not supported when using Codex with a ChatGPT account.")


def _newer_version(request: Incoming) -> Refused:
    return detail(
        f"The '{request.slug}' model requires a newer version of Codex. "
        "Please upgrade to the latest app or CLI and try again."
    )


_VOICES: dict[Voice, Callable[[Incoming], Refused]] = {
    "not_found": _not_found,
    "not_supported": _not_supported,
    "upgrade": _newer_version,
}


RULES = (
    Rule("model.known", "Version gates", _known),
    Rule("model.version", "Version gates", _version),
    Rule("model.request-shape", "Lite", _request_shape),
    Rule("model.parallel-calls", "Lite", _parallel),
    Rule("model.reasoning", "Request body", _reasoning),
    Rule("model.effort", "Request body", _part(_effort)),
    Rule("model.summary", "Request body", _part(_summary)),
    Rule("model.context", "Lite", _part(_context)),
    Rule("model.tier", "Request body", _tier),
    Rule("model.text", "Request body", _text),
)
