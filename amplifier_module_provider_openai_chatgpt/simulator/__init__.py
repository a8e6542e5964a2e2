"""An offline ChatGPT: one loopback server that behaves as the backend and the issuer do.

It answers by itself, refuses what the real service refuses, records what it is asked, and misbehaves
when told to. It needs the extra ``simulator``.
"""

from .faults import Fault
from .framings import HARMLESS
from .simulator import Simulator, serve
from .state import Recorded, Reply

__all__ = ["HARMLESS", "Fault", "Recorded", "Reply", "Simulator", "serve"]
