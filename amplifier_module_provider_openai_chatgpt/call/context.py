"""What a call works with, handed in as one frozen value by the provider."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import LLMError

from ..errors.kernel import ErrorContext, kernel_error
from ..errors.table import rule_for

if TYPE_CHECKING:
    from collections.abc import MutableSet

    from amplifier_core.llm_errors import ConfigurationError

    from ..auth.credentials import Credentials
    from ..errors.refusal import Refusal
    from ..models.catalogue import Catalogue
    from ..settings import Settings
    from ..transport.base import Transport
    from .shapes import LearntShapes


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """The provider's parts, shared by all its calls.

    ``problem`` is raised before anything is sent. ``shapes``, ``throttled`` and ``warned`` are shared and
    changed by calls: what was learnt about models, and which windows and warnings were reported.
    """

    settings: Settings
    transport: Transport
    credentials: Credentials = field(repr=False)
    catalogue: Catalogue
    coordinator: Any
    default_model: str
    raw: bool
    problem: ConfigurationError | None
    shapes: LearntShapes
    throttled: set[tuple[str, str, float | None]]
    warned: MutableSet[str]

    @property
    def is_model_configured(self) -> bool:
        """True unless ``default_model`` is our own default."""
        settings = self.settings
        return "default_model" in settings.given or self.default_model != settings.default_model

    def account_id(self) -> str:
        """Return the account that is signed in, empty when signed out; offline."""
        tokens = self.credentials.peek()
        return tokens.account_id if tokens else ""

    async def explain(self, refusal: Refusal, model: str | None) -> LLMError:
        """Return the one kernel error for a refusal, to be raised ``from`` it.

        The models that it names as alternatives are live ones, as far as the list can be had.
        """
        if rule_for(refusal, self.settings.service.rules).names_models and not self.catalogue.is_live:
            with suppress(LLMError):
                await self.catalogue.list()
        return self.explain_now(refusal, model)

    def explain_now(self, refusal: Refusal, model: str | None = None) -> LLMError:
        """Return the kernel error with the models that are known already."""
        tokens = self.credentials.peek()
        return kernel_error(
            refusal,
            ErrorContext(
                service=self.settings.service,
                now=time.time(),
                model=model,
                plan=tokens.plan_type if tokens else None,
                extra_params=tuple(self.settings.extra_request_params),
                alternatives=[one.slug for one in self.catalogue.known()],
            ),
        )
