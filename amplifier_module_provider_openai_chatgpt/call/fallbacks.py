"""Changes a refused call to what the backend accepts, and learns what each model accepts."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import InvalidRequestError, LLMError, NotFoundError

from ..errors.fields import named_fields
from ..errors.refusal import (
    accepted_efforts,
    is_image_refusal,
    is_shape_refusal,
    is_stale_reasoning,
    is_tier_refusal,
    is_unsupported_model,
    is_version_gate,
    unsupported_parameter,
)
from ..errors.table import rule_for
from ..request.effort import nearest
from .shapes import RequestShape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..errors.refusal import Refusal
    from ..protocol.call import Call
    from .context import CallContext

    Rebuild = Callable[[str], Awaitable[Call]]

# Requests that may be sent before a refused model is given up, including the first.
MAX_REQUESTS = 3
# Errors that mean a corrected call was rejected too; any other error is reported as it is.
_REJECTED_AGAIN = (InvalidRequestError, NotFoundError)

logger = logging.getLogger(__name__)


class Fallbacks:
    """The corrections for one ``complete()``, each tried once.

    * Reasoning the backend cannot decrypt is left out.
    * Images it cannot read become text notes, the older ones first; the conversation remembers it.
    * A service tier it does not offer is left out.
    * An effort it does not accept becomes the nearest one that it accepts.
    * A contested field of the body that it names is sent in its other form, or not at all.
    * A refused model that the live list contains is tried with the client version that the list names,
      then in the Lite shape if the list flags it. If that fails, and the refusal is not about the client
      version, the model's successor is used, unless the caller named the model.

    ``rebuild(slug)`` builds the call as if that model were gone; None if the caller named the model.
    """

    def __init__(self, context: CallContext, rebuild: Rebuild | None) -> None:
        self._catalogue = context.catalogue
        self._shapes = context.shapes
        self._rules = context.settings.service.rules
        self._contested = context.settings.service.contested
        self._rebuild = rebuild
        self._tried: set[str] = set()
        self._model_requests = 1
        self._first_refusal: Refusal | None = None
        self._first_named: frozenset[str] = frozenset()
        self._learnt = RequestShape()
        self._gone = ""

    async def corrected(self, call: Call, refusal: Refusal) -> Call | None:
        """Return the call changed as the refusal requires, or None."""
        named = self._named(refusal)
        corrected = (
            self._correct_form(call, refusal, named)
            or await self._correct_content(call, refusal)
            or await self._correct_model(call, refusal)
        )
        if corrected is not None and self._first_refusal is None:
            self._first_refusal, self._first_named = refusal, named
        return corrected

    def to_report(self, refusal: Refusal) -> Refusal:
        """Return the refusal to report: the first one, if the corrected call was rejected too.

        After a contested field, a refusal that does not name it is about something else.
        """
        first, is_rejected_again = self._first_refusal, self._rejects(refusal)
        is_news = bool(self._first_named) and not self._first_named & self._named(refusal)
        return first if first is not None and is_rejected_again and not is_news else refusal

    def _rejects(self, refusal: Refusal) -> bool:
        return rule_for(refusal, self._rules).error in _REJECTED_AGAIN

    def _named(self, refusal: Refusal) -> frozenset[str]:
        """Return the contested fields that a refusal rejects."""
        if not self._contested or not self._rejects(refusal):
            return frozenset()
        return frozenset(named_fields(refusal, self._contested))

    def pin_model(self) -> None:
        """Never change the model from now on, because part of its answer has arrived."""
        self._rebuild = None

    def learn(self, call: Call) -> None:
        """Remember the request shape with which this model has just answered."""
        known = self._shapes.get(call.account_id, call.slug)
        learnt = self._learnt
        shape = RequestShape(
            lite=call.lite,
            version=call.version,
            tierless=known.tierless or learnt.tierless,
            efforts=learnt.efforts or known.efforts,
            flat_tools=call.flat_tools if call.tools else known.flat_tools,
            nameless_choice=known.nameless_choice or learnt.nameless_choice,
            left_out=call.left_out,
        )
        if shape.tierless and not known.tierless:
            logger.warning(
                "The model %s has no fast tier for this account; requests are sent without it.", call.slug
            )
        self._shapes.learn(call.account_id, call.slug, shape)
        if self._gone:
            self._shapes.learn(call.account_id, self._gone, RequestShape(gone=True))

    async def _correct_content(self, call: Call, refusal: Refusal) -> Call | None:
        if is_stale_reasoning(refusal) and call.replays_reasoning and self._is_first_try("reasoning"):
            return call.without_reasoning()
        if is_image_refusal(refusal) and call.has_images and (found := self._without_images(call)):
            return found
        if is_tier_refusal(refusal) and call.fast and self._is_first_try("tier"):
            # Without `param`, it may be a temporary shortage of the tier.
            self._learnt = replace(self._learnt, tierless=refusal.param == "service_tier")
            return call.without_tier()
        if (
            (efforts := await self._accepted_efforts(call, refusal))
            and call.effort
            and self._is_first_try("effort")
        ):
            self._learnt = replace(self._learnt, efforts=tuple(efforts))
            return call.with_effort(nearest(call.effort, efforts))
        return None

    def _correct_form(self, call: Call, refusal: Refusal, named: frozenset[str]) -> Call | None:
        corrected = call
        for field in sorted(named):
            other = corrected.in_other_form(field)
            if other is not corrected and self._is_first_try(field):
                corrected = other
        if corrected is call:
            return None
        learnt = self._learnt
        self._learnt = replace(
            learnt,
            nameless_choice=learnt.nameless_choice or corrected.tool_choice != call.tool_choice,
            tierless=learnt.tierless or (corrected.fast != call.fast and _names_tier(refusal)),
        )
        return corrected

    def _without_images(self, call: Call) -> Call | None:
        """Leave out the older images first: the user most likely asks about the newest."""
        if self._is_first_try("older images"):
            fewer = call.without_images(keep_newest=True)
            if fewer.items != call.items:
                return fewer
        return call.without_images(keep_newest=False) if self._is_first_try("all images") else None

    async def _accepted_efforts(self, call: Call, refusal: Refusal) -> Sequence[str]:
        """Return the efforts accepted instead of the call's; empty if the refusal is about something else."""
        found: Sequence[str] | None = accepted_efforts(refusal)
        if found is None:
            return ()
        if not found:
            await self._ensure_list()
            found = self._catalogue.find(call.slug).efforts
        return [effort for effort in found if effort != call.effort]

    async def _correct_model(self, call: Call, refusal: Refusal) -> Call | None:
        gated = is_version_gate(refusal)
        if not (gated or _is_about_model(call, refusal)):
            return None
        if self._shapes.get(call.account_id, call.slug) != RequestShape():
            self._shapes.forget(call.account_id, call.slug)
        await self._ensure_list(is_outdated=call.lite or call.version is not None)
        if self._model_requests >= MAX_REQUESTS:
            return None
        corrected = None
        if gated or self._catalogue.knows(call.slug) or not is_unsupported_model(refusal):
            corrected = self._in_another_shape(call, gated=gated)
        if corrected is None and not gated:
            corrected = await self._with_successor(call)
        self._model_requests += corrected is not None
        return corrected

    def _in_another_shape(self, call: Call, *, gated: bool) -> Call | None:
        model = self._catalogue.find(call.slug)
        version = model.minimal_client_version
        if version and version != call.version and self._is_first_try(f"version {version}"):
            return call.with_version(version)
        if call.lite and not model.lite and self._is_first_try("classic"):
            return replace(call, lite=False)
        if model.lite and not (gated or call.lite) and self._is_first_try("lite"):
            return call.as_lite()
        return None

    async def _with_successor(self, call: Call) -> Call | None:
        if self._rebuild is None or not self._is_first_try("successor"):
            return None
        other = await self._rebuild(call.slug)
        if other.slug == call.slug:
            return None
        self._gone = call.slug
        return other

    async def _ensure_list(self, *, is_outdated: bool = False) -> None:
        """Fetch the list once, unless it is current. A failure to do so must not replace the refusal.

        ``is_outdated``: the backend has just refused what the list says.
        """
        if self._catalogue.is_live and not is_outdated:
            return
        if self._is_first_try("list"):
            self._catalogue.expire()
            with suppress(LLMError):
                await self._catalogue.list()

    def _is_first_try(self, name: str) -> bool:
        """True the first time: a correction that did not help is not tried again."""
        if name in self._tried:
            return False
        self._tried.add(name)
        return True


def _names_tier(refusal: Refusal) -> bool:
    """True if the field itself is refused, and not only the tier for a moment."""
    return "service_tier" in {refusal.param, unsupported_parameter(refusal)}


def _is_about_model(call: Call, refusal: Refusal) -> bool:
    """True if another request shape or another model may help."""
    if call.lite and refusal.param == "model":
        return True
    return is_shape_refusal(refusal) or is_unsupported_model(refusal)
