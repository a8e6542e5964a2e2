"""A sign-in is used only where it was obtained: the check, and what a person reads if it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..services import CHATGPT_CODEX, CHATGPT_PLAN_SIGN_IN
from ..settings import LOGIN_COMMAND
from .store import Unusable
from .tokens import Tokens

if TYPE_CHECKING:
    from ..services import Origin, Service
    from .store import TokenStore

_OPENAI = {CHATGPT_CODEX.origin, CHATGPT_PLAN_SIGN_IN.origin}


def bound(tokens: Tokens, service: Service, location: str) -> Tokens | Unusable:
    """Return the tokens if they belong to this issuer and this backend, else why they are not used."""
    if tokens.belongs_to(service.origin):
        return tokens
    holder = tokens.origin or CHATGPT_CODEX.origin
    return Unusable(
        f"The sign-in in {location}",
        f"it belongs to {holder}, but base_url and auth_url name {service.origin}",
        f"Remove these settings; or, only if you trust that service, sign in there: {login_command(service)}",
        foreign=True,
    )


def read_bound(store: TokenStore, service: Service) -> Tokens | Unusable | None:
    """Read a store. The only way to its tokens: nothing of another service passes."""
    found = store.read()
    return bound(found, service, store.location) if isinstance(found, Tokens) else found


def login_command(service: Service) -> str:
    """Return the command that signs in at this service."""
    if service.origin == CHATGPT_CODEX.origin:
        return LOGIN_COMMAND
    return (
        f"OPENAI_CHATGPT_BASE_URL={service.base_url} OPENAI_CHATGPT_AUTH_URL={service.issuer.url} "
        f"{LOGIN_COMMAND}"
    )


def announcement(origin: Origin) -> str:
    """Say which service a sign-in is for; empty for ChatGPT itself."""
    if origin in _OPENAI:
        return ""
    return (
        f"This is not ChatGPT: it signs you in at {origin.issuer},\n"
        f"and your conversations go to {origin.backend}."
    )
