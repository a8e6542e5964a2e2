"""One ``complete()``, from Amplifier's request to its response.

Imported with the first call: sessions mount far more providers than they call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models.model import LATEST
from ..request.build import build_call, requested_model
from .events import Emitter
from .fallbacks import RequestShape
from .turn import Cancellation, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amplifier_core.message_models import ChatRequest

    from ..protocol.call import Call
    from ..provider import ChatGPTProvider
    from ..response.response import ChatGPTResponse


async def complete(
    provider: ChatGPTProvider, request: ChatRequest, kwargs: Mapping[str, Any]
) -> ChatGPTResponse:
    """Answer a request between its ``llm:request`` and its one ``llm:response``. Raises as ``complete()``."""
    cancellation = Cancellation(provider.coordinator)
    exchange = Emitter(provider.coordinator).exchange(
        requested_model(request, kwargs, provider.default_model),
        len(request.messages),
        raw=provider.raw,
        streaming=provider.settings.use_streaming,
    )
    async with exchange as events:
        provider.check()
        call = await cancellation.guard(_describe(provider, request, kwargs))
        await events.request(call)
        await events.repaired(call)
        turn = Turn(
            call,
            client=provider.client,
            exchange=events,
            catalogue=provider.catalogue,
            settings=provider.settings,
            cancellation=cancellation,
            shapes=provider.shapes,
            throttled=provider.throttled,
        )
        events.response = response = await cancellation.guard(turn.run())
    return response


async def _describe(provider: ChatGPTProvider, request: ChatRequest, kwargs: Mapping[str, Any]) -> Call:
    """Describe the call in the form that its model is known to want."""
    model = requested_model(request, kwargs, provider.default_model)
    if model == LATEST:
        model = await provider.catalogue.latest()
    call = build_call(
        request,
        kwargs,
        provider.settings,
        model=model,
        find=provider.catalogue.find,
        knows=provider.catalogue.knows,
        account_id=provider.account_id(),
        session_id=_session_id(provider.coordinator),
        warned=provider.warned,
    )
    return provider.shapes.get(call.model, RequestShape()).call(call)


def _session_id(coordinator: Any) -> str | None:
    """Return the session's id, if it is one: foreign coordinators have anything there."""
    session_id = getattr(coordinator, "session_id", None)
    return session_id if isinstance(session_id, str) and session_id else None
