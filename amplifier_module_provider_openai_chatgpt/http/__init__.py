"""Builds HTTP clients: with a user agent, timeouts, bounded bodies, and no secrets in libraries' logs.

httpx is imported with the first client, so mounting the provider stays cheap.
"""

from __future__ import annotations

import logging
import platform
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ..redaction import without_secrets
from ..secret import REDACTED

if TYPE_CHECKING:
    import httpx

DISTRIBUTION = "amplifier-module-provider-openai-chatgpt"
# They log addresses, and at DEBUG the headers of answers, including cookies.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)
# The repr of a header, as the server spells its name.
_COOKIE = r"""(?i)(b'set-cookie', )b(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# Default limit of a decompressed answer, in bytes; those of a sign-in server have a few thousand.
MAX_ANSWER = 64 * 1024


@lru_cache(maxsize=1)
def release() -> str:
    """Return the version of the installed package, "0" if it is only a folder of files."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0"


@lru_cache(maxsize=1)
def user_agent() -> str:
    """Return the name and version of this program; Cloudflare challenges the default of a library."""
    return f"{DISTRIBUTION}/{release()} (Python {platform.python_version()}; {platform.system()})"


@lru_cache(maxsize=1)
def _redact_logs() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_secrets)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Log filter: keep every record, and remove everything that looks like a secret."""
    text = re.sub(_COOKIE, rf"\1{REDACTED}", record.getMessage())
    text = re.sub(r"\bauth=\(.*", f"auth={REDACTED}", text)  # the password for a SOCKS proxy
    record.msg, record.args = without_secrets(text), ()
    return True


def new_client(
    *, connect: float, silence: float, largest: int | None = MAX_ANSWER, cookies: bool = True
) -> httpx.AsyncClient:
    """Build a client that belongs to the running event loop and to its caller, who closes it.

    ``connect`` (connect timeout) and ``silence`` (read timeout) are in seconds. ``largest`` bounds the
    decompressed body, in bytes; None for a stream. With ``cookies``, Cloudflare's cookies are kept as
    long as the client. Never fails; requests raise httpx's exceptions and ``http.failures.HttpFailure``.
    """
    import httpx

    from .cookies import EdgeCookies, NoCookies
    from .router import Router

    _redact_logs()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60)
    return httpx.AsyncClient(
        transport=Router(limits, largest),
        trust_env=False,  # the router reads the environment
        headers={"User-Agent": user_agent(), "Accept-Encoding": "gzip"},
        cookies=EdgeCookies() if cookies else NoCookies(),
        timeout=httpx.Timeout(silence, connect=connect, pool=None),
        follow_redirects=False,
    )
