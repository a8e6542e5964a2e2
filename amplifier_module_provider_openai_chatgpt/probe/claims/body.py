"""Claims about the fields of a call, its headers and its encoding."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from ...errors.refusal import is_tier_refusal, unsupported_parameter
from ...http.zstd import compressor
from ...services import CHATGPT_CODEX
from ..checks import accepted, answered, judged, refused
from ..claim import Check, Claim, Finding, NotCheckedError, decided
from ..shape import safe
from .places import SMALL, both, codex, plan

if TYPE_CHECKING:
    from ...errors.refusal import Refusal
    from ..reading import Answer
    from ..session import Session

_HI = {"type": "input_text", "text": "Hi"}
_CAPABILITY = "subscription_sharing_unsupported_capability"
_UNKNOWN = "probe_unknown_field"
_BODY, _REQUESTS = "Request body", "Requests"


def _field(name: str, value: object) -> Claim:
    return Claim(
        f"fields.{name.replace('_', '-')}",
        f"The field {name} is refused.",
        codex(_BODY),
        f"the plain call with `{name}`",
        "400",
        refused({name: value}),
    )


def _capability(name: str, value: object) -> Claim:
    def is_named(refusal: Refusal) -> bool:
        return refusal.code == _CAPABILITY and refusal.param == name

    return Claim(
        f"capability.{name.replace('_', '-')}",
        f"The field {name} is refused as a capability that is not supported.",
        plan(_REQUESTS),
        f"the plain call with `{name}`",
        f"400 `{_CAPABILITY}` with its name as `param`",
        refused({name: value}, reads=is_named),
    )


def _packed(name: str) -> Check:
    """Return a check that a body in this encoding is read."""

    async def check(session: Session) -> Finding:
        compress = gzip.compress if name == "gzip" else compressor()
        if compress is None:
            raise NotCheckedError(
                "there is no zstd: install this package with the extra 'zstd', or use Python 3.14"
            )
        base = await session.base()
        body = session.body(base.model.slug)
        headers = {**base.headers, "Content-Encoding": name}
        return answered(await session.post(body, headers, content=compress(to_json(body))))

    return check


def _structured(answer: Answer) -> Finding:
    text = answer.text.strip()
    return decided(text.startswith("{") and '"word"' in text, f"the answer is {len(text)} characters of text")


def _verbose(answer: Answer) -> Finding:
    return decided(bool(answer.text), "the call was answered")


async def _tier(session: Session) -> Finding:
    base = await session.base()
    if "priority" not in base.model.service_tiers:
        raise NotCheckedError(f"{base.model.slug} lists no tier priority")
    answer = await session.call({"service_tier": "priority"})
    return answered(answer, _echo)


def _echo(answer: Answer) -> Finding:
    tier = answer.closing.get("service_tier")
    has = isinstance(tier, str)
    shown = f"the answer says service_tier {safe(str(tier))}" if has else "the answer names no tier"
    return decided(has, shown, {"service_tier": safe(str(tier)) if has else None})


async def _text_body(session: Session) -> Finding:
    """Send a body with a Content-Type that names a character set."""
    base = await session.base()
    headers = {**base.headers, "Content-Type": "application/json; charset=utf-8"}
    answer = await session.post(session.body(base.model.slug), headers)
    return judged(answer, statuses=(400, 415))


async def _other_path(session: Session) -> Finding:
    def is_route(refusal: Refusal) -> bool:
        return refusal.code == "subscription_sharing_route_not_supported"

    return judged(await session.send("GET", "/files"), statuses=(403,), reads=is_route)


_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}

CLAIMS = (
    Claim(
        "refusal.parameter",
        "An unknown field is refused by name, in words that this provider reads.",
        codex(_BODY),
        f"the plain call with `{_UNKNOWN}`",
        f"400 “Unsupported parameter: {_UNKNOWN}”",
        refused({_UNKNOWN: True}, reads=lambda refusal: unsupported_parameter(refusal) == _UNKNOWN),
    ),
    _field("max_output_tokens", 64),
    _field("temperature", 1.0),
    _field("previous_response_id", "resp_1"),
    _field("metadata", {"a": "b"}),
    _field("truncation", "auto"),
    _capability("temperature", 1.0),
    _capability("max_output_tokens", 64),
    _capability("previous_response_id", "resp_1"),
    _capability("metadata", {"a": "b"}),
    Claim(
        "refusal.instructions",
        "A call without instructions is refused.",
        codex(_BODY),
        "the plain call without `instructions`",
        "400 “Instructions are required”",
        refused({"instructions": None}, says="instructions are required"),
    ),
    Claim(
        "refusal.store",
        "A call with store true is refused.",
        both(_BODY, _REQUESTS),
        "the plain call with `store: true`",
        "400 “Store must be set to false”",
        refused({"store": True}, says="store must be set to false"),
    ),
    Claim(
        "refusal.stream",
        "A call with stream false is refused.",
        both(_BODY, _REQUESTS),
        "the plain call with `stream: false`",
        "400 “Stream must be set to true”",
        refused({"stream": False}, says="stream must be set to true"),
    ),
    Claim(
        "refusal.input-text",
        "An input that is text instead of a list is refused.",
        both(_BODY, _REQUESTS),
        "the plain call with a text as `input`",
        "400 “Input must be a list”",
        refused({"input": "Hi"}, says="input must be a list"),
    ),
    Claim(
        "refusal.system-role",
        "A message with the role system is refused.",
        both("Items", _REQUESTS),
        "the plain call with a system message",
        "400 “System messages are not allowed”",
        refused(
            {"input": [{"type": "message", "role": "system", "content": [_HI]}]},
            says="system messages are not allowed",
        ),
    ),
    Claim(
        "refusal.content-type",
        "A Content-Type with a charset is refused.",
        both("Request headers", _REQUESTS),
        "the plain call as `application/json; charset=utf-8`",
        "400 or 415",
        _text_body,
    ),
    Claim(
        "refusal.cache-key",
        "A prompt_cache_key of more than 64 characters is refused.",
        both("Prompt cache", _REQUESTS),
        "the plain call with a key of 65 characters",
        "400 `string_above_max_length`",
        refused({"prompt_cache_key": "k" * 65}, says="string_above_max_length|too long"),
    ),
    Claim(
        "text.schema",
        "A strict JSON schema for the answer is accepted and kept.",
        both(_BODY, _REQUESTS),
        "a call with `text.format` of type json_schema",
        "an answer that is JSON of that schema",
        accepted(
            {"text": {"format": {"type": "json_schema", "name": "probe", "strict": True, "schema": _SCHEMA}}},
            text="Reply with JSON.",
            shows=_structured,
        ),
        tokens=SMALL,
    ),
    Claim(
        "text.verbosity",
        "text.verbosity low is accepted.",
        codex(_BODY),
        "the plain call with `text.verbosity: low`",
        "an answer",
        accepted({"text": {"verbosity": "low"}}, shows=_verbose),
        tokens=SMALL,
    ),
    Claim(
        "tier.echo",
        "The tier priority is accepted, and the answer names a tier.",
        codex(_BODY),
        "the plain call with `service_tier: priority`",
        "an answer whose last event has `service_tier`",
        _tier,
        tokens=SMALL,
    ),
    Claim(
        "tier.unknown",
        "A tier that is not listed is refused.",
        both(_BODY, _REQUESTS),
        "the plain call with `service_tier: probe`",
        "400 about `service_tier`, in words that this provider reads",
        refused({"service_tier": "probe"}, reads=is_tier_refusal),
    ),
    Claim(
        "encoding.gzip",
        "A body in gzip is read.",
        codex("Request headers"),
        "the plain call, compressed",
        "an answer",
        _packed("gzip"),
        tokens=SMALL,
    ),
    Claim(
        "encoding.zstd",
        "A body in zstd is read.",
        codex("Request headers"),
        "the plain call, compressed",
        "an answer",
        _packed("zstd"),
        tokens=SMALL,
    ),
    Claim(
        "route.other",
        "Another path than the two is refused.",
        plan("Refusals"),
        "GET /files",
        "403 `subscription_sharing_route_not_supported`",
        _other_path,
    ),
    Claim(
        "headers.session",
        "The plan service refuses the header session-id.",
        plan(_REQUESTS),
        "the plain call with `session-id`",
        "400",
        refused({}, {CHATGPT_CODEX.request.session[0]: "019af0c0-0000-7000-8000-000000000000"}),
    ),
)
