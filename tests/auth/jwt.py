"""Unsigned tokens with chosen claims."""

import base64
import json

AUTH = "https://api.openai.com/auth"
PROFILE = "https://api.openai.com/profile"


def jwt(**claims):
    """A JWT of three non-empty parts; ``auth`` and ``profile`` go under their long names."""
    names = {"auth": AUTH, "profile": PROFILE}
    payload = {names.get(name, name): value for name, value in claims.items()}
    parts = (b'{"alg":"none"}', json.dumps(payload).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
