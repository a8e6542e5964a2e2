"""The sign-in for programs that import ``oauth`` of the plugin that this one replaces: the same names.

All three functions work on the credentials that calls use: the same file, lock and rules. A token is a
dictionary in the shape of the token file (docs/sign-in.md).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import LLMError

from .auth.credentials import Credentials
from .auth.shared import renewer, shared_credentials
from .auth.token_file import token_store
from .auth.tokens import Tokens
from .secret import Secret
from .settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from .services import Service

__all__ = ["is_token_valid", "load_tokens", "refresh_tokens"]

logger = logging.getLogger(__name__)


def load_tokens(path: str | Path | None = None) -> dict[str, Any] | None:
    """Return the stored sign-in, None if there is none that may be used; offline.

    ``path`` defaults to where the environment puts the token file. Raises ConfigurationError for a bad
    path or environment variable.
    """
    tokens = _credentials(path).peek()
    return tokens.to_dict() if tokens else None


def is_token_valid(tokens: Mapping[str, Any] | None) -> bool:
    """Return whether there is an access token that has not expired; one of unknown expiry is not valid."""
    return isinstance(tokens, Mapping) and Tokens.from_dict(tokens).is_valid(datetime.now(UTC))


async def refresh_tokens(refresh_token: str, path: str | Path | None = None) -> dict[str, Any] | None:
    """Renew the sign-in and return it, None (with a warning) if it cannot be renewed.

    A refresh token works once. If the file already contains its successor, that one is returned, and
    nothing is sent. If there is no file, the renewed sign-in is stored there. Raises ConfigurationError
    for a bad path or environment variable.
    """
    given = Secret(refresh_token)
    del refresh_token  # tracebacks can show local variables
    credentials = _credentials(path)
    stored = credentials.peek()
    if stored is None and credentials.problem() is None:
        credentials = _alone(given, path)
    try:
        if stored is not None and stored.refresh_token == given:
            renewed = await credentials.renew(stored)
        else:
            renewed = await credentials.current()
    except LLMError as error:
        logger.warning("The sign-in was not renewed. %s", error)
        return None
    return renewed.to_dict()


def _credentials(path: str | Path | None) -> Credentials:
    return shared_credentials(*_place(path))


def _alone(refresh_token: Secret[str], path: str | Path | None) -> Credentials:
    """Return credentials that have only a refresh token, and store its successor at ``path``."""
    file, service = _place(path)
    tokens = Tokens(refresh_token=refresh_token, origin=service.origin, claims=service.claims)
    store = token_store(file, service)
    return Credentials(store, service, tokens=tokens, renew=renewer(store, service))


def _place(path: str | Path | None) -> tuple[Path, Service]:
    settings = read_settings({} if path is None else {"token_file_path": path}, os.environ)
    return settings.token_file_path, settings.service.at(settings.base_url, settings.auth_url)
