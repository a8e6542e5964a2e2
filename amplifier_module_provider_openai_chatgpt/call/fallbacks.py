"""Sending a call once more in the form that its refusal asks for, and learning what each model accepts."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import InvalidRequestError, LLMError, NotFoundError

from ..errors.refusal import (
    accepted_efforts,
    is_image_refusal,
    is_shape_refusal,
    is_stale_reasoning,
    is_tier_refusal,
    is_unsupported_model,
    is_version_gate,
)
from ..errors.table import rule_for
from ..request.effort import nearest
from .shapes import RequestShape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..errors.refusal import Refusal
    from ..protocol.call import Call
    from .context import CallContext

    DescribeAgain = Callable[[str], Awaitable[Call]]

# For one refusal of a model, the first one included.
MAX_REQUESTS = 3
# Errors by which a backend rejects a form; any other failure of a corrected call speaks for itself.
_REJECTIONS = (InvalidRequestError, NotFoundError)

logger = logging.getLogger(__name__)


class Fallbacks:
    """The forms that one ``complete()`` has tried, each of them once.

    * Reasoning the backend cannot read is left out.
    * Images it cannot read become text notes, the older ones first; the conversation remembers it.
    * A tier it does not offer is left out.
    * An effort it does not accept becomes the nearest it does.
    * A model it does not answer for: while the live list has it, first with the client version the list
      names, then in the Lite shape if the list flags it. If that does not help, and the refusal does
      not speak of the client, the call goes to the successor of the model, unless the caller named it.

    ``describe_again(slug)`` describes the call as if that model were gone; None where the caller named it.
    """

    def __init__(self, context: CallContext, describe_again: DescribeAgain | None) -> None:
        self._catalogue = context.catalogue
        self._shapes = context.shapes
        self._rules = context.settings.service.rules
        self._describe_again = describe_again
        self._tried: set[str] = set()
        self._model_requests = 1
        self._first: Refusal | None = None
        self._lesson = RequestShape()
        self._gone = ""

    async def corrected(self, call: Call, refusal: Refusal) -> Call | None:
        """Return the call in the form that the refusal asks for, or None."""
        corrected = await self._by_content(call, refusal) or await self._by_model(call, refusal)
        if corrected is not None and self._first is None:
            self._first = refusal
        return corrected

    def meaning(self, refusal: Refusal) -> Refusal:
        """Return the refusal to report: a correction that is rejected too does not replace the first."""
        is_rejection = rule_for(refusal, self._rules).error in _REJECTIONS
        return self._first if self._first is not None and is_rejection else refusal

    def pin_model(self) -> None:
        """Keep the model from now on: part of its answer is there."""
        self._describe_again = None

    def learn(self, call: Call) -> None:
        """Remember the form in which this model has just answered a call."""
        known = self._shapes.get(call.account_id, call.slug)
        lesson = self._lesson
        shape = RequestShape(
            lite=call.lite,
            version=call.version,
            tierless=known.tierless or lesson.tierless,
            efforts=lesson.efforts or known.efforts,
        )
        if shape.tierless and not known.tierless:
            logger.warning(
                "The model %s has no fast tier for this account; requests are sent without it.", call.slug
            )
        self._shapes.learn(call.account_id, call.slug, shape)
        if self._gone:
            self._shapes.learn(call.account_id, self._gone, RequestShape(gone=True))

    async def _by_content(self, call: Call, refusal: Refusal) -> Call | None:
        if is_stale_reasoning(refusal) and call.replays_reasoning and self._is_first("reasoning"):
            return call.without_reasoning()
        if is_image_refusal(refusal) and call.has_images and (found := self._without_images(call)):
            return found
        if is_tier_refusal(refusal) and call.fast and self._is_first("tier"):
            # Words alone may mean a passing shortage of the tier.
            self._lesson = RequestShape(tierless=refusal.param == "service_tier")
            return call.without_tier()
        if (efforts := await self._efforts(call, refusal)) and call.effort and self._is_first("effort"):
            self._lesson = RequestShape(efforts=tuple(efforts))
            return call.with_effort(nearest(call.effort, efforts))
        return None

    def _without_images(self, call: Call) -> Call | None:
        """Leave out the older images first: the newest is most likely what the person asks about."""
        if self._is_first("older images"):
            fewer = call.without_images(keep_newest=True)
            if fewer.items != call.items:
                return fewer
        return call.without_images(keep_newest=False) if self._is_first("all images") else None

    async def _efforts(self, call: Call, refusal: Refusal) -> Sequence[str]:
        """Return the efforts accepted instead of the call's; empty for a refusal of anything else."""
        found: Sequence[str] | None = accepted_efforts(refusal)
        if found is None:
            return ()
        if not found:
            await self._know_the_list()
            found = self._catalogue.find(call.slug).efforts
        return [effort for effort in found if effort != call.effort]

    async def _by_model(self, call: Call, refusal: Refusal) -> Call | None:
        gated = is_version_gate(refusal)
        if not (gated or _is_about_model(call, refusal)):
            return None
        if self._shapes.get(call.account_id, call.slug) != RequestShape():
            self._shapes.forget(call.account_id, call.slug)
        await self._know_the_list(is_outdated=call.lite or call.version is not None)
        if self._model_requests >= MAX_REQUESTS:
            return None
        corrected = None
        if gated or self._catalogue.knows(call.slug) or not is_unsupported_model(refusal):
            corrected = self._in_another_form(call, gated=gated)
        if corrected is None and not gated:
            corrected = await self._by_successor(call)
        self._model_requests += corrected is not None
        return corrected

    def _in_another_form(self, call: Call, *, gated: bool) -> Call | None:
        model = self._catalogue.find(call.slug)
        version = model.minimal_client_version
        if version and version != call.version and self._is_first(f"version {version}"):
            return call.with_version(version)
        if call.lite and not model.lite and self._is_first("classic"):
            return replace(call, lite=False)
        if model.lite and not (gated or call.lite) and self._is_first("lite"):
            return call.as_lite()
        return None

    async def _by_successor(self, call: Call) -> Call | None:
        if self._describe_again is None or not self._is_first("successor"):
            return None
        other = await self._describe_again(call.slug)
        if other.slug == call.slug:
            return None
        self._gone = call.slug
        return other

    async def _know_the_list(self, *, is_outdated: bool = False) -> None:
        """Fetch the list once, unless it is known and holds; its own failure must not replace the refusal.

        ``is_outdated``: the backend has just refused what the list says.
        """
        if self._catalogue.is_live and not is_outdated:
            return
        if self._is_first("list"):
            self._catalogue.expire()
            with suppress(LLMError):
                await self._catalogue.list()

    def _is_first(self, name: str) -> bool:
        """True once for each form: a second refusal of the same kind is meant."""
        if name in self._tried:
            return False
        self._tried.add(name)
        return True


def _is_about_model(call: Call, refusal: Refusal) -> bool:
    """True where another form of the call, or another model, may help."""
    if call.lite and refusal.param == "model":
        return True
    return is_shape_refusal(refusal) or is_unsupported_model(refusal)
