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
    from collections.abc import Mapping

    import httpx

    from .router import Router

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


def new_client(*, connect: float, silence: float) -> httpx.AsyncClient:
    """Build a client that belongs to the running event loop and to its caller, who closes it.

    ``connect`` (connect timeout) and ``silence`` (read timeout) are in seconds. Cloudflare's cookies are
    kept as long as the client. Never fails; requests raise httpx's exceptions and
    ``http.failures.HttpFailure``.
    """
    from .cookies import EdgeCookies
    from .lean import httpx

    return httpx.AsyncClient(
        transport=new_router(MAX_ANSWER),
        trust_env=False,  # the router reads the environment
        headers=_headers(),
        cookies=EdgeCookies(),
        timeout=httpx.Timeout(silence, connect=connect, pool=None),
        follow_redirects=False,
    )


def new_router(largest: int | None) -> Router:
    """Build what sends requests and keeps connections, for the running event loop.

    Half as expensive for a small call as a client, whose redirects, cookies and authentication calls do
    not need. ``largest`` bounds the decompressed body, in bytes; None for a stream.
    """
    from .lean import httpx
    from .router import Router

    _redact_logs()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60)
    return Router(limits, largest)


def new_request(
    method: str,
    url: httpx.URL,
    *,
    headers: Mapping[str, str],
    content: bytes | None,
    connect: float,
    silence: float,
) -> httpx.Request:
    """Build a request for a router; the timeouts are those of ``new_client``. Raises httpx's exceptions."""
    from .lean import httpx

    timeout = {"connect": connect, "read": silence, "write": silence, "pool": None}
    return httpx.Request(
        method, url, headers={**_headers(), **headers}, content=content, extensions={"timeout": timeout}
    )


def parsed_url(url: str) -> httpx.URL:
    """Parse a URL once for many requests. Raises httpx.InvalidURL."""
    from .lean import httpx

    return httpx.URL(url)


def _headers() -> dict[str, str]:
    return {"User-Agent": user_agent(), "Accept-Encoding": "gzip"}
