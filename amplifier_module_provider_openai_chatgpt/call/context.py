"""Everything a call needs from its provider, as one frozen value."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import LLMError

from ..drift import note_code
from ..errors.kernel import ErrorContext, kernel_error
from ..errors.table import BY_CODE, rule_for
from ..secret import Secret
from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import MutableSet

    from amplifier_core.llm_errors import ConfigurationError

    from ..auth.credentials import Credentials
    from ..auth.plan.credentials import PlanCredentials
    from ..errors.refusal import Refusal
    from ..models.catalogue import Catalogue
    from ..settings import Settings
    from ..transport.base import Transport
    from .shapes import LearntShapes
    from .token_memory import TokenMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """The parts of a provider, shared by all its calls.

    ``problem`` is raised before anything is sent. Calls change four of them: ``shapes`` (what was learnt
    about models), ``throttled`` (which windows were reported), ``warned`` (which warnings were logged)
    and ``tokens`` (what conversations were counted to have).
    """

    settings: Settings
    transport: Transport
    credentials: Credentials | PlanCredentials = field(repr=False)
    catalogue: Catalogue
    coordinator: Any
    default_model: str
    raw: bool
    problem: ConfigurationError | None
    shapes: LearntShapes
    throttled: set[tuple[str, str, float | None]]
    warned: MutableSet[str]
    tokens: TokenMemory

    @property
    def is_model_configured(self) -> bool:
        """True if the user chose ``default_model``."""
        settings = self.settings
        return "default_model" in settings.given or self.default_model != settings.default_model

    @property
    def notices(self) -> Notices:
        """The screen of the person who uses the session, if its host has one."""
        return Notices(self.coordinator)

    def account_id(self) -> Secret[str]:
        """Return the id of the signed-in account, empty when signed out; offline."""
        tokens = self.credentials.peek()
        return tokens.account_id if tokens else Secret("")

    async def explain(self, refusal: Refusal, model: str | None) -> LLMError:
        """Return the kernel error for a refusal, to be raised ``from`` it.

        The models it suggests come from the live list, unless that cannot be fetched.
        """
        if rule_for(refusal, self.settings.service.rules).names_models and not self.catalogue.is_live:
            with suppress(LLMError):
                await self.catalogue.list()
        return self.explain_now(refusal, model)

    def explain_now(self, refusal: Refusal, model: str | None = None) -> LLMError:
        """Return the kernel error; the models it suggests are those already known."""
        tokens = self.credentials.peek()
        note_code(refusal.code, BY_CODE, self.settings.service.rules)
        return kernel_error(
            refusal,
            ErrorContext(
                service=self.settings.service,
                now=time.time(),
                model=model,
                plan=tokens.plan_type if tokens else None,
                extra_params=tuple(self.settings.extra_request_params),
                alternatives=[known.slug for known in self.catalogue.known()],
            ),
        )
