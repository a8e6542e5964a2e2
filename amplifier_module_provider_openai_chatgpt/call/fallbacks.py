"""Sending a call once more in the form that its refusal asks for, and remembering what each model wants."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors.refusal import is_shape_refusal, is_stale_reasoning, is_tier_refusal, is_version_gate

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from ..errors.refusal import Refusal
    from ..models.catalogue import Catalogue
    from ..protocol.call import Call

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """The form a model accepts, as learnt from its refusals; ``tierless``: it has no fast tier."""

    lite: bool = False
    version: str | None = None
    tierless: bool = False

    def applied_to(self, call: Call) -> Call:
        """Return the call in this form."""
        tier = None if self.tierless else call.service_tier
        return replace(call, lite=self.lite, version=self.version, service_tier=tier)


class Fallbacks:
    """The forms that one ``complete()`` has tried, each of them once."""

    def __init__(self, catalogue: Catalogue, shapes: MutableMapping[str, RequestShape]) -> None:
        self._catalogue = catalogue
        self._shapes = shapes
        self._tried: set[str] = set()

    async def corrected(self, call: Call, refusal: Refusal) -> Call | None:
        """Return the call in the form that the refusal asks for, or None."""
        lite = is_shape_refusal(refusal) and call.model.lite
        forms: tuple[tuple[str, bool, Callable[[], Call]], ...] = (
            ("reasoning", is_stale_reasoning(refusal) and call.replays_reasoning, call.without_reasoning),
            ("tier", is_tier_refusal(refusal) and call.fast, call.without_tier),
            ("lite", lite and not call.lite, call.as_lite),
        )
        for name, applies, form in forms:
            if applies and self._is_first(name):
                return form()
        gated = is_version_gate(refusal) or is_shape_refusal(refusal)
        return await self._with_version(call) if gated and not call.version else None

    async def _with_version(self, call: Call) -> Call | None:
        if not self._is_first("version"):
            return None
        if not self._catalogue.knows(call.slug):
            await self._catalogue.list()
        version = self._catalogue.find(call.slug).minimal_client_version
        return call.with_version(version) if version else None

    def _is_first(self, name: str) -> bool:
        """True once for each form: a second refusal of the same kind is meant."""
        if name in self._tried:
            return False
        self._tried.add(name)
        return True

    def learn(self, call: Call) -> None:
        """Remember the form in which this model has just answered a call."""
        known = self._shapes.get(call.slug, RequestShape())
        shape = RequestShape(call.lite, call.version, tierless=known.tierless or "tier" in self._tried)
        if shape.tierless and not known.tierless:
            logger.warning(
                "The model %s has no fast tier for this account; requests are sent without it.", call.slug
            )
        if shape != known:
            self._shapes[call.slug] = shape
