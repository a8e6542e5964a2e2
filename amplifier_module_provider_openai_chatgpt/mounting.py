"""Mounts the provider in a session, with a sign-in at the terminal if needed."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from .provider import ChatGPTProvider
from .settings import LOGIN_COMMAND, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger(__name__)

# Token files for which a sign-in was started in this process and has not succeeded: hosts mount several
# times per session, and the user is asked once.
_attempted: set[str] = set()


async def mount_provider(
    coordinator: Any, config: Mapping[str, object] | None
) -> Callable[[], Awaitable[None]]:
    """Implement ``mount``."""
    provider = ChatGPTProvider(config, coordinator)
    provider.check()
    await coordinator.mount("providers", provider, name=PROVIDER)
    register = getattr(coordinator, "register_contributor", None)
    if callable(register):
        register("observability.events", f"provider-{PROVIDER}", _event_names)
        register("session.cost", f"provider-{PROVIDER}", _cost)
    if _should_sign_in(provider, coordinator):
        await _try_sign_in(provider)

    async def cleanup() -> None:
        await provider.close()

    return cleanup


def _event_names() -> list[str]:
    from .call.events import ANNOUNCED

    return list(ANNOUNCED)


def _cost() -> dict[str, str]:
    """Return what the session has cost so far: a subscription has no price per token."""
    return {"cost_usd": "0"}


def _should_sign_in(provider: ChatGPTProvider, coordinator: object) -> bool:
    """True in a real session at a terminal, unless an earlier sign-in failed."""
    return (
        provider.settings.login_on_mount
        and provider.settings.service.issuer.device_code_path != ""
        and provider.auth_status() != "authenticated"
        and _can_be_replaced(provider)
        and provider.credentials.location not in _attempted
        and _is_at_a_terminal()
        and not _is_validator(coordinator)
    )


def _can_be_replaced(provider: ChatGPTProvider) -> bool:
    """Never prompt over another service's sign-in: the project's settings may name a stranger's server."""
    problem = provider.credentials.problem()
    return problem is None or problem.is_ours


def _is_at_a_terminal() -> bool:
    """True if stderr is a terminal; hosts may have removed, closed or replaced it."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _is_validator(coordinator: object) -> bool:
    """True for a validator's coordinator; its testing module is not imported for that."""
    return any(
        kind.__name__ == "MockCoordinator" and kind.__module__ == "amplifier_core.testing"
        for kind in type(coordinator).__mro__
    )


async def _try_sign_in(provider: ChatGPTProvider) -> None:
    """Sign in; after a failure, the provider is signed out and reports that when it is used."""
    location = provider.credentials.location
    _attempted.add(location)
    try:
        await provider.login()
    except Exception as error:  # noqa: BLE001 - the session must continue
        logger.warning("Signing in failed: %s To try again, run: %s", error, LOGIN_COMMAND)
    else:
        _attempted.discard(location)
