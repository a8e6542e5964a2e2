"""Claims about models: which are served, version gates, the Lite shape, efforts, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors.refusal import accepted_efforts, is_unsupported_model, is_version_gate
from ..checks import answered, judged, refused
from ..claim import Claim, Finding, NotCheckedError, UnclearError, confirmed, decided, refuted
from ..session import INSTRUCTIONS, must_be_answered, why_not
from ..shape import refusal_shape, safe
from .places import SMALL, both, codex, plan

if TYPE_CHECKING:
    from ...errors.refusal import Refusal
    from ...models.model import Model
    from ..reading import Answer
    from ..session import Session

_NO_MODEL = "gpt-probe-unknown"
_RETIRED = "gpt-5.5"
_OLD_CLIENT = "0.1.0"
_TIMED = ("low", "medium", "high")
_SLOW = 60.0


def _is_plan_refusal(refusal: Refusal) -> bool:
    return refusal.code == "model_not_found" or is_unsupported_model(refusal)


async def _plain(session: Session) -> Finding:
    base = await session.base()
    if base.refused is None:
        return confirmed(f"{base.model.slug} answered")
    slug, first = base.refused
    shape = refusal_shape(first.refusal) if first.refusal else None
    how = "with a client version" if base.headers else "to the same call"
    return refuted(f"{slug}: {why_not(first)}; {base.model.slug} answered {how}", shape)


async def _old_client(session: Session) -> Finding:
    base = await session.base()
    name = session.service.request.version
    if base.model.minimal_client_version is None:
        raise NotCheckedError(f"{base.model.slug} has no minimal client version")
    answer = await session.post(session.body(base.model.slug), {**base.headers, name: _OLD_CLIENT})
    return judged(answer, reads=is_version_gate)


async def _effort(session: Session) -> Finding:
    """Send an effort that does not exist: the refusal names those that the model accepts."""
    base = await session.base()
    answer = await session.call({"reasoning": {"effort": "probe"}})
    finding = judged(answer)
    if finding.verdict != "confirmed" or answer.refusal is None:
        return finding
    named = accepted_efforts(answer.refusal)
    if not named:
        return refuted(f"the accepted efforts cannot be read: {why_not(answer)}", finding.shape)
    missing = [effort for effort in base.model.efforts if effort not in (*named, "ultra")]
    shown = f"accepted: {', '.join(map(safe, named))}"
    return decided(
        not missing, f"{shown}; listed and not accepted: {missing}" if missing else shown, finding.shape
    )


def _is_new(model: Model) -> bool:
    return model.slug.startswith("gpt-6")


async def _effort_none(session: Session) -> Finding:
    found = [model for model in await session.models() if _is_new(model)]
    base = await session.base()
    if not found:
        raise NotCheckedError("no gpt-6 model is listed")
    slug = base.model.slug if _is_new(base.model) else found[0].slug
    return judged(await session.call({"reasoning": {"effort": "none"}}, model=slug))


async def _flagged(session: Session) -> Model:
    base = await session.base()
    if base.model.lite:
        return base.model
    found = next((model for model in await session.models() if model.lite), None)
    if found is None:
        raise NotCheckedError("no listed model has the Lite flag")
    return found


async def _send_lite(session: Session, *, parallel: bool) -> Answer:
    model = await _flagged(session)
    base = await session.base()
    body = {name: value for name, value in session.body(model.slug).items() if name not in _NOT_IN_LITE}
    says = {"type": "message", "role": "developer", "content": [_text(INSTRUCTIONS)]}
    items = [{"type": "additional_tools", "role": "developer", "tools": []}, says, *body["input"]]
    lite = {
        "input": items,
        "parallel_tool_calls": parallel,
        "reasoning": {**body["reasoning"], "context": "all_turns"},
    }
    headers = {**base.headers, session.service.request.lite: "true"}
    return await session.post({**body, **lite}, headers)


_NOT_IN_LITE = ("instructions", "tools")


def _text(text: str) -> Mapping[str, Any]:
    return {"type": "input_text", "text": text}


async def _lite(session: Session) -> Finding:
    return answered(await _send_lite(session, parallel=False))


async def _lite_parallel(session: Session) -> Finding:
    return judged(await _send_lite(session, parallel=True), says="parallel_tool_calls")


async def _first_text(session: Session) -> Finding:
    base = await session.base()
    efforts = [effort for effort in _TIMED if not base.model.efforts or effort in base.model.efforts]
    seconds: dict[str, float] = {}
    for effort in efforts:
        answer = await session.call({"reasoning": {"effort": effort, "summary": "auto"}})
        if answer.refusal is not None and answer.refusal.status == 400:
            return refuted(f"effort {effort} is refused: {why_not(answer)}", refusal_shape(answer.refusal))
        must_be_answered(answer)
        if answer.first_text is None:
            raise UnclearError(f"no text arrived at effort {effort}")
        seconds[effort] = round(answer.first_text, 1)
    shown = ", ".join(f"{effort} {time:g} s" for effort, time in seconds.items())
    return decided(max(seconds.values(), default=0) < _SLOW, shown, seconds)


CLAIMS = (
    Claim(
        "model.plain",
        "A model answers the classic shape without a client version, also one flagged for Lite.",
        codex("Version gates"),
        "the plain call to a small listed model",
        "an answer without the header `version`",
        _plain,
        requests=0,
        tokens=SMALL,
    ),
    Claim(
        "model.plan-plain",
        "A listed model answers a plain call.",
        plan("Requests"),
        "the plain call to a small listed model",
        "an answer",
        _plain,
        requests=0,
        tokens=SMALL,
    ),
    Claim(
        "model.unknown",
        "An unknown model is refused in words that this provider reads.",
        both("Version gates", "Models"),
        f"the plain call to `{_NO_MODEL}`",
        "400 “… is not supported when using Codex with a ChatGPT account”, or 404 `model_not_found`",
        refused(model=_NO_MODEL, reads=_is_plan_refusal, statuses=(400, 404)),
    ),
    Claim(
        "model.retired",
        f"{_RETIRED}, retired in October 2026, is refused.",
        codex("Models"),
        f"the plain call to `{_RETIRED}`",
        "400 or 404",
        refused(model=_RETIRED, statuses=(400, 404)),
    ),
    Claim(
        "model.old-client",
        "A client version below the model's minimum is refused in words that this provider reads.",
        codex("Version gates"),
        f"the plain call with `version: {_OLD_CLIENT}`",
        "400 “… requires a newer version of Codex”",
        _old_client,
    ),
    Claim(
        "effort.accepted",
        "An unknown effort is refused with the accepted ones, among them all that the list names.",
        both("Request body", "Requests"),
        "the plain call with an effort that does not exist",
        "400 for `reasoning.effort` with the list of supported values",
        _effort,
    ),
    Claim(
        "effort.ultra",
        "The effort ultra, which lists name, is refused in requests.",
        both("Request body", "Requests"),
        "the plain call with effort `ultra`",
        "400",
        refused({"reasoning": {"effort": "ultra"}}),
    ),
    Claim(
        "effort.none",
        "The gpt-6 models refuse the effort none.",
        both("Models", "Models"),
        "the plain call to a gpt-6 model with effort `none`",
        "400",
        _effort_none,
    ),
    Claim(
        "effort.first-text",
        "At the efforts low, medium and high the first text arrives within a minute.",
        both("Request body", "Requests"),
        "three plain calls",
        "answers; the report has the seconds to the first text",
        _first_text,
        requests=3,
        tokens=900,
    ),
    Claim(
        "lite.accepted",
        "A model flagged for Lite answers the Lite shape.",
        codex("Lite"),
        "a call in the Lite shape",
        "an answer",
        _lite,
        tokens=SMALL,
    ),
    Claim(
        "lite.parallel",
        "Lite refuses parallel tool calls.",
        codex("Lite"),
        "a call in the Lite shape with `parallel_tool_calls: true`",
        "400 that names `parallel_tool_calls`",
        _lite_parallel,
    ),
)
