"""The interface of a transport: it sends a call and returns events, or raises a Refusal.

No other package depends on the protocol used: limits and the ETag of the model list are returned as
values, and every failure is an ``errors.refusal.Refusal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from ..protocol.call import Call
    from ..protocol.events import Event
    from ..quota.values import Quota
    from ..secret import Secret


class Identity(Protocol):
    """What a request needs to know about the signed-in account."""

    @property
    def access_token(self) -> Secret[str]:
        """The bearer token."""
        ...

    @property
    def account_id(self) -> Secret[str]:
        """The id of the ChatGPT account; empty if no claim names it."""
        ...

    @property
    def is_fedramp(self) -> bool:
        """True for FedRAMP accounts, whose requests need a special header."""
        ...


class SignIn(Protocol):
    """Keeps an account signed in. Both methods raise a kernel error if that is impossible."""

    async def current(self) -> Identity:
        """Return an identity that the backend should accept."""
        ...

    async def renew(self, *refused: Any) -> Identity:
        """Return an identity other than those that were refused in this call."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document of the backend, with the ETag that names its version."""

    content: object
    etag: str | None = None


class ResponseStream(Protocol):
    """An answer that has started. ``quota`` and ``models_etag`` were in its headers."""

    @property
    def quota(self) -> Quota | None:
        """The limits as of this answer."""
        ...

    @property
    def models_etag(self) -> str | None:
        """The current version of the model list."""
        ...

    def reads(self) -> AsyncGenerator[list[Event]]:
        """Yield the events of each read, until the stream ends. Raises Refusal if it breaks."""
        ...

    async def drain(self) -> None:
        """Read the end of a stream whose answer is complete, so its connection can be reused."""
        ...


class Transport(Protocol):
    """Sends calls to one backend; used by many tasks, and by several event loops in turn.

    Every failure is a Refusal, except the kernel errors of the ``SignIn``.
    """

    def open(self, call: Call) -> AbstractAsyncContextManager[ResponseStream]:
        """Send one call; leaving the context always closes its answer."""
        ...

    async def models(self, client_version: str | None) -> Document:
        """Fetch the model list as a client of that version."""
        ...

    async def usage(self) -> Document:
        """Fetch the limits of the account."""
        ...

    async def close(self) -> None:
        """Close the connections of the running loop; the transport can be used again afterwards."""
        ...
