"""The secrets of one attempt to sign in: random texts, and the proof of who began it (RFC 7636, S256)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..secret import Secret


def random_text(size: int) -> str:
    """Return that many random bytes as base64url."""
    return _base64url(secrets.token_bytes(size))


def challenge_of(verifier: Secret[str]) -> str:
    """Return the hash that the issuer will check the verifier against."""
    return _base64url(hashlib.sha256(verifier.reveal().encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
