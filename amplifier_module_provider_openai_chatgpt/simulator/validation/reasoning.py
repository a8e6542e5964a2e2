"""Rules for replayed reasoning."""

from __future__ import annotations

from ..rules import Incoming, Refused, error, missing, opens
from .rule import Rule


def _hollow(request: Incoming) -> Refused | None:
    """Refuse reasoning without ciphertext: nothing of it is stored (docs/backend.md, Reasoning replay)."""
    for place, item in enumerate(request.items):
        if item["type"] == "reasoning" and not item.get("encrypted_content"):
            return missing(f"input[{place}].encrypted_content")
    return None


def _unreadable(request: Incoming) -> Refused | None:
    """Refuse ciphertext of another account or family of models, and any from before a key change."""
    blobs = (item["encrypted_content"] for item in request.items if item.get("encrypted_content") is not None)
    for blob in blobs:
        if not opens(blob, request.policy, request.slug):
            text = f"The encrypted content {blob[:4]}...{blob[-4:]} could not be verified. "
            reason = "Reason: Encrypted content could not be decrypted or parsed."
            return error(text + reason, None, "invalid_encrypted_content")
    return None


# [unsure] and so not a rule: the public API refuses reasoning "without its required following item". That was
# seen for items with ids only; for encrypted ones without ids nothing is known, and clients send them.
RULES = (
    Rule("reasoning.hollow", "Reasoning replay", _hollow),
    Rule("reasoning.readable", "Reasoning replay", _unreadable),
)
