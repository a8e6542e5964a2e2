"""Secrets at the wrong service: the issuer's at the backend, or the backend's at the issuer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .accounts import Accounts
    from .edge import Service
    from .recorded import Recorded

_CANDIDATE = re.compile(
    rb"(?:eyJ|rt_|at_|ac_|oaiapp_|deviceauth_)[\w.-]{10,}|(?<![\w-])[\w-]{86}(?![\w-])", re.ASCII
)
_REVOKE = "/oauth/revoke"
_HINT_AT = "/api/accounts/authorize"


def strays(service: Service, request: Recorded, accounts: Accounts) -> list[str]:
    """Return a sentence for each misplaced secret, which names its kind and place and not the secret."""
    return [
        f"{service}: {kind} token or secret in the {place} of {request.method} {request.path}"
        for place, kind in _secrets(request, accounts)
        if not _belongs(service, place, kind, request.path)
    ]


def _belongs(service: Service, place: str, kind: str, path: str) -> bool:
    """Return True for a secret at its place.

    Rule strays.backend: only an access token, only in the authorization header. Rule strays.issuer: never
    an access or id token, except an access token to be revoked and an id token as the hint of a sign-in.
    """
    if service == "backend":
        return (place, kind) == ("authorization header", "access")
    if place == "authorization header":
        return False
    if (place, kind) == ("query", "identity"):
        return path == _HINT_AT
    return kind == "issuer" or (kind == "access" and path.endswith(_REVOKE))


def _secrets(request: Recorded, accounts: Accounts) -> Iterator[tuple[str, str]]:
    for place, text in _places(request):
        for found in _CANDIDATE.findall(text):
            kind = accounts.kind(found.decode("ascii"))
            if kind is not None:
                yield place, kind


def _places(request: Recorded) -> Iterator[tuple[str, bytes]]:
    for name, value in request.headers.items():
        yield f"{name} header", value.encode("latin-1", "replace")
    yield "query", " ".join(request.query.values()).encode("utf-8", "replace")
    yield "body", request.content
