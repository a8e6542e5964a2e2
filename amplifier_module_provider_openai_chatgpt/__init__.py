"""Amplifier provider for a ChatGPT subscription. Amplifier's entry point is ``mount``.

Importing this package is cheap: what a session needs is imported when it is mounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .provider import ChatGPTProvider

    __version__: str

__all__ = ["ChatGPTProvider", "mount"]
__amplifier_module_type__ = "provider"


async def mount(
    coordinator: Any, config: Mapping[str, object] | None = None
) -> Callable[[], Awaitable[None]]:
    """Mount a provider, signed in or not, and return its cleanup, which may be called repeatedly.

    Without network and output, unless ``login_on_mount`` is set and a user at a terminal has to sign in.
    Raises ConfigurationError for a bad setting.
    """
    from .mounting import mount_provider

    return await mount_provider(coordinator, config)


def __getattr__(name: str) -> Any:
    if name == "ChatGPTProvider":
        from .provider import ChatGPTProvider

        return ChatGPTProvider
    if name == "__version__":
        from .http import release

        return release()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__amplifier_module_type__", "__doc__", "__file__", "__name__", "__version__"})
