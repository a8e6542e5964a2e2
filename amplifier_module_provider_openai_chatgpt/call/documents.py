"""The backend's documents, for everything that is not a call: a refusal becomes the kernel's error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..transport.base import Document
    from .context import CallContext


async def fetched(document: Awaitable[Document], context: CallContext) -> Document:
    """Await a document of the transport. Raises kernel errors."""
    try:
        return await document
    except Refusal as refusal:
        raise context.explain_now(refusal) from refusal
