"""What a transport is: it carries a call to the backend and brings back events, or raises a Refusal.

Nothing outside this package knows which protocol is spoken: limits and the model list's ETag come out
as values, and every failure as ``errors.refusal.Refusal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from ..protocol.call import Call
    from ..protocol.events import Event
    from ..quota import Quota


class Identity(Protocol):
    """What a request needs to know about the person who signed in."""

    @property
    def access_token(self) -> str:
        """The bearer token."""
        ...

    @property
    def account_id(self) -> str:
        """The ChatGPT account; empty where no claim names one."""
        ...

    @property
    def is_fedramp(self) -> bool:
        """True for accounts whose requests need a header of their own."""
        ...


class SignIn(Protocol):
    """Keeps a person signed in; both raise a kernel error where that is impossible."""

    async def current(self) -> Identity:
        """Return an identity that is expected to be accepted."""
        ...

    async def renew(self, *refused: Any) -> Identity:
        """Return another identity than those that were refused in one call."""
        ...


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document of the backend, with the ETag that names its version."""

    content: object
    etag: str | None = None


class ResponseStream(Protocol):
    """An answer that has begun. ``quota`` and ``models_etag`` arrived ahead of its events."""

    @property
    def quota(self) -> Quota | None:
        """The limits as of this answer."""
        ...

    @property
    def models_etag(self) -> str | None:
        """The present version of the model list."""
        ...

    def reads(self) -> AsyncGenerator[list[Event]]:
        """Yield the events of each read. Ends where the stream ends; raises Refusal where it breaks."""
        ...

    async def drain(self) -> None:
        """Read the end of a stream whose answer is complete, so its connection can serve the next call."""
        ...


class Transport(Protocol):
    """Carries calls to one backend; used by many tasks, and by several event loops in turn.

    Every failure is a Refusal; only the kernel errors of the ``SignIn`` pass through.
    """

    def open(self, call: Call) -> AbstractAsyncContextManager[ResponseStream]:
        """Send one call; leaving the context closes its answer whatever happens."""
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
