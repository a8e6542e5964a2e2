"""One ``complete()``, from Amplifier's request to its response.

Imported by the first call, because most mounted providers are never called.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from ..models.model import LATEST
from ..request.build import build_call, is_model_named, requested_model
from .cancellation import Cancellation
from .default_model import default_model
from .events import Emitter
from .turn import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amplifier_core.message_models import ChatRequest

    from ..protocol.call import Call
    from ..response.response import ChatGPTResponse
    from ..secret import Secret
    from .context import CallContext
    from .events import Exchange


async def complete(
    context: CallContext, request: ChatRequest, kwargs: Mapping[str, object]
) -> ChatGPTResponse:
    """Answer a request; emit one ``llm:request`` and one ``llm:response``. Raises kernel errors."""
    cancellation = Cancellation(context.coordinator)
    exchange = Emitter(context.coordinator).exchange(
        requested_model(request, kwargs, context.default_model),
        len(request.messages),
        raw=context.raw,
        streaming=context.settings.use_streaming,
    )
    async with exchange as events:
        if context.problem is not None:
            raise context.problem
        return await cancellation.guard(_answer(context, request, kwargs, cancellation, events))


async def _answer(
    context: CallContext,
    request: ChatRequest,
    kwargs: Mapping[str, object],
    cancellation: Cancellation,
    events: Exchange,
) -> ChatGPTResponse:
    call = await _prepare_call(context, request, kwargs)
    await events.request(call)
    await events.repaired(call)
    rebuild = None if is_model_named(request, kwargs) else partial(_prepare_call, context, request, kwargs)
    async with aclosing(Turn(call, context, cancellation, rebuild).run()) as steps:
        async for step in steps:
            await events.stream(step)
    return events.answer()


async def _prepare_call(
    context: CallContext, request: ChatRequest, kwargs: Mapping[str, object], gone: str = ""
) -> Call:
    """Build the call in the shape its model is known to accept; ``gone`` is a model to avoid."""
    model = requested_model(request, kwargs, context.default_model)
    account_id = context.account_id()
    if not is_model_named(request, kwargs):
        model = await default_model(context, account_id, gone)
    elif model == LATEST:
        model = await context.catalogue.latest()
    return _build_call(context, request, kwargs, model, account_id)


def build_expected_call(context: CallContext, request: ChatRequest, kwargs: Mapping[str, object]) -> Call:
    """Build the call that ``complete`` will probably send, without the network. Raises kernel errors."""
    if context.problem is not None:
        raise context.problem
    model = requested_model(request, kwargs, context.default_model)
    account_id = context.account_id()
    if model == LATEST or not is_model_named(request, kwargs):
        expected = context.catalogue.expected_model(model)
        model = context.catalogue.cached().resolve(expected, gone=context.shapes.gone(account_id))
    return _build_call(context, request, kwargs, model, account_id)


def _build_call(
    context: CallContext,
    request: ChatRequest,
    kwargs: Mapping[str, object],
    model: str,
    account_id: Secret[str],
) -> Call:
    known = context.catalogue.cached()
    call = build_call(
        request,
        kwargs,
        context.settings,
        model=model,
        find=known.find,
        knows=known.has,
        account_id=account_id,
        session_id=_session_id(context.coordinator),
        warned=context.warned,
    )
    return context.shapes.get(call.account_id, call.slug).applied_to(call)


def _session_id(coordinator: object) -> str | None:
    """Return the session's id; None if it is missing or not a string, as in some hosts' coordinators."""
    session_id = getattr(coordinator, "session_id", None)
    return session_id if isinstance(session_id, str) and session_id else None
