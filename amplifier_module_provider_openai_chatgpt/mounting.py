"""What happens when a session mounts the provider, the sign-in at the terminal included."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from .provider import ChatGPTProvider
from .settings import LOGIN_COMMAND, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

logger = logging.getLogger(__name__)

# Token files for which a sign-in was begun in this process and has not succeeded: hosts mount several times
# a session, and a person is asked once.
_asked_for: set[str] = set()


async def mount_provider(coordinator: Any, config: Mapping[str, Any] | None) -> Callable[[], Awaitable[None]]:
    """Do the work of ``mount``."""
    provider = ChatGPTProvider(config, coordinator)
    provider.check()
    await coordinator.mount("providers", provider, name=PROVIDER)
    register = getattr(coordinator, "register_contributor", None)
    if callable(register):
        register("observability.events", f"provider-{PROVIDER}", _event_names)
    if _may_sign_in(provider, coordinator):
        await _sign_in(provider)

    async def cleanup() -> None:
        await provider.close()

    return cleanup


def _event_names() -> list[str]:
    from .call.events import EVENTS

    return list(EVENTS)


def _may_sign_in(provider: ChatGPTProvider, coordinator: Any) -> bool:
    """Ask only a person at a terminal, in a real session, and not again after it failed."""
    return (
        provider.settings.login_on_mount
        and provider.auth_status() != "authenticated"
        and provider.credentials.location not in _asked_for
        and _is_at_a_terminal()
        and not _is_validator(coordinator)
    )


def _is_at_a_terminal() -> bool:
    """Tell whether somebody reads stderr, which a host may have taken away, closed or replaced."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _is_validator(coordinator: Any) -> bool:
    """Tell a validator's coordinator without importing the testing module that it comes from."""
    return any(
        kind.__name__ == "MockCoordinator" and kind.__module__ == "amplifier_core.testing"
        for kind in type(coordinator).__mro__
    )


async def _sign_in(provider: ChatGPTProvider) -> None:
    """A failed sign-in leaves a signed-out provider, which says so when it is used."""
    place = provider.credentials.location
    _asked_for.add(place)
    try:
        await provider.login()
    except Exception as error:  # noqa: BLE001 - whatever failed, the session must go on
        logger.warning("Signing in failed: %s To try again, run: %s", error, LOGIN_COMMAND)
    else:
        _asked_for.discard(place)
