"""How this package speaks HTTP: its own name, one TLS context, bounded waits, no secret in a library's log.

httpx is imported when the first client is built, so that mounting the provider stays cheap.
"""

from __future__ import annotations

import logging
import platform
import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ..redaction import REDACTED, without_secrets

if TYPE_CHECKING:
    import ssl

    import httpx

DISTRIBUTION = "amplifier-module-provider-openai-chatgpt"
# They log addresses, and at DEBUG the headers of answers, cookies among them.
_TALKATIVE = ("httpx", "httpcore.http11", "httpcore.http2")


@lru_cache(maxsize=1)
def user_agent() -> str:
    """Name this program and its version; a library's default name gets a Cloudflare challenge."""
    try:
        release = version(DISTRIBUTION)
    except PackageNotFoundError:
        release = "0"
    return f"{DISTRIBUTION}/{release} (Python {platform.python_version()}; {platform.system()})"


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Building a context reads the whole certificate store, so all clients share one."""
    import httpx

    return httpx.create_ssl_context()


@lru_cache(maxsize=1)
def _hush() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_without_secrets)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Let every record pass, rid of all that looks like a secret."""
    text = re.sub(r"(b'set-cookie', b')[^']*", rf"\1{REDACTED}", record.getMessage())
    record.msg, record.args = without_secrets(text), ()
    return True


def new_client(*, connect: float, silence: float) -> httpx.AsyncClient:
    """Build a client that belongs to the running event loop and to its caller, who closes it.

    ``connect`` and ``silence`` are seconds: to a connection, and between two pieces of an answer.
    """
    import httpx

    _hush()
    return httpx.AsyncClient(
        verify=_tls(),
        headers={"User-Agent": user_agent()},
        timeout=httpx.Timeout(silence, connect=connect, pool=None),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60),
        follow_redirects=False,
    )
