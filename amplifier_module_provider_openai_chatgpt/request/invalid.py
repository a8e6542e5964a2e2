"""The error for a request that cannot be sent as the caller meant it."""

from __future__ import annotations

from amplifier_core.llm_errors import InvalidRequestError

from ..settings import PROVIDER


def invalid(message: str) -> InvalidRequestError:
    """Return the error to raise; ``message`` says what is wrong and what to give instead."""
    return InvalidRequestError(message, provider=PROVIDER)
