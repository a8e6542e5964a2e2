"""Waits that a person notices are announced: one log line, which a command shows on stderr."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds.
ANNOUNCE_AFTER = 2.0
OTHER_PROCESS = "Waiting for another process that is renewing the sign-in …"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def announced(text: str, after: float = ANNOUNCE_AFTER) -> Iterator[None]:
    """Log a warning if the block takes longer than ``after`` seconds. Works in any thread and in a loop."""
    timer = threading.Timer(after, logger.warning, [text])
    timer.daemon = True
    with contextlib.suppress(RuntimeError):  # no new threads while the interpreter exits
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def silent_issuer(host: str) -> str:
    """Return what to say while a sign-in server is silent."""
    return f"Waiting for an answer of {host} …"
