"""An offline ChatGPT: a loopback server that behaves like the backend and the issuer.

It answers without scripts, refuses what the real service refuses, records every request, and misbehaves
on request. It needs the extra ``simulator``.
"""

from .changes import Changes
from .faults import Fault
from .framings import HARMLESS
from .recorded import Recorded
from .reply import Reply
from .simulator import Simulator, serve
from .worlds import CODEX_WORLDS, DEFAULT_WORLD, WORLDS, World

__all__ = [
    "CODEX_WORLDS",
    "DEFAULT_WORLD",
    "HARMLESS",
    "WORLDS",
    "Changes",
    "Fault",
    "Recorded",
    "Reply",
    "Simulator",
    "World",
    "serve",
]
