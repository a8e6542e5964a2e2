"""Amplifier provider for a ChatGPT subscription: ``mount`` is the one door Amplifier uses.

Importing this package costs next to nothing: what a session needs is imported when it mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .provider import ChatGPTProvider

__all__ = ["ChatGPTProvider", "mount"]
__amplifier_module_type__ = "provider"


async def mount(coordinator: Any, config: Mapping[str, Any] | None = None) -> Callable[[], Awaitable[None]]:
    """Mount a provider, signed in or not, and return its cleanup, which may be called repeatedly.

    Offline and silent, unless ``login_on_mount`` is set and a person at a terminal has to sign in.
    Raises ConfigurationError for a bad setting.
    """
    from .mounting import mount_provider

    return await mount_provider(coordinator, config)


def __getattr__(name: str) -> Any:
    if name == "ChatGPTProvider":
        from .provider import ChatGPTProvider

        return ChatGPTProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
