"""Fetching the backend's documents outside of calls: a refusal becomes a kernel error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..transport.base import Document
    from .context import CallContext


async def fetched(document: Awaitable[Document], context: CallContext) -> Document:
    """Await a document from the transport. Raises kernel errors."""
    try:
        return await document
    except Refusal as refusal:
        raise context.explain_now(refusal) from refusal
