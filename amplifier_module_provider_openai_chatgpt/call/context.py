"""What a call works with, handed in as one frozen value by the provider."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors.kernel import ErrorContext, kernel_error

if TYPE_CHECKING:
    from collections.abc import MutableMapping, MutableSet

    from amplifier_core.llm_errors import ConfigurationError, LLMError

    from ..auth.credentials import Credentials
    from ..errors.refusal import Refusal
    from ..models.catalogue import Catalogue
    from ..settings import Settings
    from ..transport.base import Transport
    from .fallbacks import RequestShape


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
    shapes: MutableMapping[str, RequestShape]
    throttled: set[tuple[str, str, float | None]]
    warned: MutableSet[str]

    def account_id(self) -> str:
        """Return the account that is signed in, empty when signed out; offline."""
        tokens = self.credentials.peek()
        return tokens.account_id if tokens else ""

    def explain(self, refusal: Refusal, model: str | None) -> LLMError:
        """Return the one kernel error for a refusal, to be raised ``from`` it."""
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
