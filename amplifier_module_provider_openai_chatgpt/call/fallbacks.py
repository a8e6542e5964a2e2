"""Sending a call once more in the form that its refusal asks for, and remembering what a model wants."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import kernel as errors

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from amplifier_core.llm_errors import LLMError

    from ..models.catalogue import Catalogue
    from ..protocol.call import Call

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """How a model wants to be asked, as learnt from its refusals; ``tierless``: at no fast tier."""

    lite: bool = False
    version: str | None = None
    tierless: bool = False

    def call(self, call: Call) -> Call:
        """Return the call in the form that its model is known to want."""
        tier = None if self.tierless else call.service_tier
        return replace(call, lite=self.lite, version=self.version, service_tier=tier)


class Fallbacks:
    """The forms that one ``complete()`` has tried, each of them once."""

    def __init__(self, catalogue: Catalogue, shapes: MutableMapping[str, RequestShape]) -> None:
        self._catalogue = catalogue
        self._shapes = shapes
        self._tried: set[str] = set()

    async def corrected(self, call: Call, error: LLMError) -> Call | None:
        """Return the call in the form that the refusal behind ``error`` asks for, or None."""
        refusal = errors.refusal_of(error)
        if refusal is None:
            return None
        lite = errors.is_lane_refusal(refusal) and self._catalogue.find(call.model).lite
        forms: tuple[tuple[str, bool, Callable[[], Call]], ...] = (
            (
                "reasoning",
                errors.is_stale_reasoning(refusal) and call.replays_reasoning,
                call.without_reasoning,
            ),
            ("tier", errors.is_tier_refusal(refusal) and call.fast, call.without_tier),
            ("lite", lite and not call.lite, call.as_lite),
        )
        for name, applies, form in forms:
            if applies and self._is_first(name):
                return form()
        gated = errors.is_version_gate(refusal) or errors.is_lane_refusal(refusal)
        return await self._with_version(call) if gated and not call.version else None

    async def _with_version(self, call: Call) -> Call | None:
        if not self._is_first("version"):
            return None
        if not self._catalogue.knows(call.model):
            await self._catalogue.list()
        version = self._catalogue.find(call.model).minimal_client_version
        return call.with_version(version) if version else None

    def _is_first(self, name: str) -> bool:
        """True once for each form: a second refusal of the same kind is meant."""
        if name in self._tried:
            return False
        self._tried.add(name)
        return True

    def learn(self, call: Call) -> None:
        """Remember the form in which this model has just accepted a call."""
        known = self._shapes.get(call.model, RequestShape())
        shape = RequestShape(call.lite, call.version, tierless=known.tierless or "tier" in self._tried)
        if shape.tierless and not known.tierless:
            logger.warning("The model %s has no fast tier for this account: it is asked without.", call.model)
        if shape != known:
            self._shapes[call.model] = shape
