"""Compresses the bodies of requests, for a service that reads that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..http.zstd import compressor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..errors.refusal import Refusal
    from ..settings import Settings

# Bytes; below it, fewer network packets are hardly saved (docs/backend.md, Request headers).
SMALLEST = 16 * 1024

_UNREADABLE = r"(?i)content.?encoding|zstd|compress|decode|pars(?:e|ing)|valid json|utf-?8"
_NONE: Mapping[str, str] = {}
# Addresses whose server has refused a compressed body, as long as this process runs.
_refused: set[str] = set()


def packed(body: bytes, settings: Settings) -> tuple[bytes, Mapping[str, str]]:
    """Return a body as it is sent, and the header that says how.

    It is compressed only for the service's own address: a proxy or a server in its place may not read that.
    """
    service, address = settings.service, settings.base_url
    is_wanted = service.reads_zstd and settings.compress_requests == "auto" and address == service.base_url
    if not is_wanted or len(body) < SMALLEST or address in _refused:
        return body, _NONE
    compress = compressor()
    return (compress(body), {"Content-Encoding": "zstd"}) if compress else (body, _NONE)


def may_be_refused(refusal: Refusal) -> bool:
    """True if a compressed body may have been refused as such: as an encoding, or as what is not JSON.

    What the service says then is not known.
    """
    if refusal.status == 415:
        return True
    return refusal.status == 400 and not refusal.param and bool(re.search(_UNREADABLE, refusal.message))


def stop_compressing(settings: Settings) -> None:
    """Compress nothing more for this address as long as this process runs."""
    _refused.add(settings.base_url)
