"""Reasoning kept between turns: stamped when it arrives, replayed only where the backend can read it.

The ciphertext of a reasoning item can be decrypted only for the account and model that produced it
(docs/backend.md, Reasoning replay). ``ThinkingBlock.content`` stores it as one dictionary with named values,
because transcript writers drop None, which would shift the positions in a list.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from ..services import CHATGPT_CODEX
from . import items
from .text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..secret import Secret
    from .items import Item

logger = logging.getLogger(__name__)


def account_stamp(account_id: Secret[str], service: str = CHATGPT_CODEX.name) -> str:
    """Return a digest that distinguishes accounts and services, without writing ids into transcripts."""
    account = account_id.reveal()
    owner = account if service == CHATGPT_CODEX.name else f"{service}\n{account}"
    return hashlib.sha256(owner.encode("utf-8", "replace")).hexdigest()[:16]


def to_block_content(
    item: Mapping[str, Any], model: str, account_id: Secret[str], service: str = CHATGPT_CODEX.name
) -> list[dict[str, Any]] | None:
    """Return the ``ThinkingBlock.content`` for a reasoning item; None if it has no ciphertext."""
    ciphertext = item.get("encrypted_content")
    if not isinstance(ciphertext, str) or not ciphertext:
        return None
    state = {
        "type": "reasoning",
        "encrypted_content": ciphertext,
        "summary": [clean_text(text) for text in _summary_texts(item.get("summary"))],
        "model": model,
        "account": account_stamp(account_id, service),
    }
    return [state]


def to_item(content: object, model: str, account: str) -> Item | None:
    """Return the input item for a block's ``content``, or None if it must be left out.

    ``account`` is an ``account_stamp``. The model must be the exact slug that produced the reasoning:
    related models refuse each other's. Content without a stamp, as other plugins store it
    (``[ciphertext]``, ``[ciphertext, id]``), has an unknown owner and could cause a refused call.
    """
    for state in content if isinstance(content, list) else ():
        if isinstance(state, dict) and state.get("type") == "reasoning":
            if state.get("model") == model and state.get("account") == account:
                return replayed(state)
            logger.debug("Reasoning of another model or account is not sent to %s", model)
            return None
    if content:
        logger.debug("Reasoning without a stamp is not sent")
    return None


def replayed(item: Mapping[str, Any]) -> Item | None:
    """Return the input item for an output item or stored content; None without ciphertext."""
    ciphertext = item.get("encrypted_content")
    if not isinstance(ciphertext, str) or not ciphertext:
        return None
    return items.reasoning(ciphertext, _summary_texts(item.get("summary")))


def _summary_texts(summary: object) -> list[str]:
    """Return the texts of a summary, given as wire parts or as our own list of texts."""
    if not isinstance(summary, list) or not summary:
        return []
    texts = [part.get("text") if isinstance(part, dict) else part for part in summary]
    return [text for text in texts if isinstance(text, str)]
