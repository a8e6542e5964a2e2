"""What this process has learnt about the request shapes that models accept, per account."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..models.model import version_key
from ..request.effort import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ..protocol.call import Call

# Seconds until it is forgotten: what a model accepts changes with the backend's releases.
LEARNT_FOR = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestShape:
    """What a model accepts. ``tierless``: no fast tier; ``efforts``: empty means any.

    ``flat_tools``: functions are not in the input; ``nameless_choice``: no tool may be named in
    ``tool_choice``; ``left_out``: fields of the body. ``gone``: the backend refuses this model, even if its
    list contains it.
    """

    lite: bool = False
    version: str | None = None
    tierless: bool = False
    efforts: tuple[str, ...] = ()
    flat_tools: bool = False
    nameless_choice: bool = False
    left_out: frozenset[str] = frozenset()
    gone: bool = False

    def applied_to(self, call: Call) -> Call:
        """Return the call in this shape, unless the catalogue has changed since.

        A version below its current minimum is raised to it; Lite is only for models that it flags.
        """
        version = self.version
        if version is not None:
            version = max(version, call.model.minimal_client_version or version, key=version_key)
        effort = call.effort
        if self.efforts and effort is not None and effort not in self.efforts:
            effort = nearest(effort, self.efforts)
        shaped = replace(
            call,
            lite=self.lite and call.model.lite,
            version=version,
            service_tier=None if self.tierless else call.service_tier,
            effort=effort,
            flat_tools=self.flat_tools,
            left_out=self.left_out,
        )
        return shaped.with_required_tool() if self.nameless_choice else shaped


class LearntShapes:
    """The shapes of one backend, shared by all providers of a process.

    Entries are replaced as a whole, so tasks and threads need no lock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shapes: dict[tuple[Hashable, str], tuple[RequestShape, float]] = {}
        self._reported: set[str] = set()

    def get(self, account_id: Hashable, slug: str) -> RequestShape:
        """Return the shape for a model; the default shape if nothing was learnt."""
        shape, learnt_at = self._shapes.get((account_id, slug), (RequestShape(), 0.0))
        return shape if self._clock() - learnt_at < LEARNT_FOR else RequestShape()

    def gone(self, account_id: Hashable) -> list[str]:
        """Return the models that the backend has refused."""
        slugs = [slug for account, slug in self._shapes if account == account_id]
        return [slug for slug in slugs if self.get(account_id, slug).gone]

    def learn(self, account_id: Hashable, slug: str, shape: RequestShape) -> None:
        """Keep a shape for ``LEARNT_FOR`` seconds. Changes are logged once."""
        known = self.get(account_id, slug)
        if shape == known:
            return
        self._shapes[account_id, slug] = (shape, self._clock())
        if changes := _changes(known, shape):
            logger.info("Learnt about the model %s: %s.", slug, changes)

    def is_first_report(self, message: str) -> bool:
        """True the first time a message is passed."""
        if message in self._reported:
            return False
        self._reported.add(message)
        return True

    def forget(self, account_id: Hashable, slug: str) -> None:
        """Forget the shape of a model that was refused in it."""
        if self._shapes.pop((account_id, slug), None):
            logger.info("What was learnt about the model %s is no longer true.", slug)


def _changes(known: RequestShape, shape: RequestShape) -> str:
    facts = {
        "it requires the Lite request shape": shape.lite and not known.lite,
        f"it requires client version {shape.version}": shape.version and shape.version != known.version,
        "it has no fast tier for this account": shape.tierless and not known.tierless,
        f"its efforts are {', '.join(shape.efforts)}": shape.efforts and shape.efforts != known.efforts,
        "its functions are not in the input": shape.flat_tools and not known.flat_tools,
        "its functions are in the input": known.flat_tools and not shape.flat_tools,
        "tool_choice names no tool": shape.nameless_choice and not known.nameless_choice,
        f"it is sent no {' and no '.join(sorted(shape.left_out))}": shape.left_out - known.left_out,
        "it is no longer available": shape.gone and not known.gone,
    }
    return "; ".join(fact for fact, is_new in facts.items() if is_new)
