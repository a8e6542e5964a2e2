"""An offline ChatGPT: a loopback server that behaves like the backend and the issuer.

It answers without scripts, refuses what the real service refuses, records every request, and misbehaves
on request. It needs the extra ``simulator``.
"""

from .faults import Fault
from .framings import HARMLESS
from .simulator import Simulator, serve
from .state import Recorded, Reply

__all__ = ["HARMLESS", "Fault", "Recorded", "Reply", "Simulator", "serve"]
