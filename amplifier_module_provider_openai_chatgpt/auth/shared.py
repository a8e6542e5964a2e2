"""The one ``Credentials`` object of this process for each token file, and what renews it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from .credentials import Credentials
from .renewal import InThread, Renewal
from .token_file import token_store

if TYPE_CHECKING:
    from pathlib import Path

    from ..services import Origin, Service
    from .renewal import Order, Renewed, Renewer
    from .store import TokenStore

_shared: dict[tuple[str, str, Origin], Credentials] = {}
_shared_mutex = threading.Lock()


def _forget_the_parents_threads() -> None:
    """Replace the mutex after a fork: the thread that held it may not have come along."""
    global _shared_mutex  # noqa: PLW0603 - per process
    _shared_mutex = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_the_parents_threads)


def shared_credentials(path: Path, service: Service) -> Credentials:
    """Return the one object of this process for a token file and a service at its addresses."""
    store = token_store(path, service)
    key = (store.location, service.name, service.origin)
    with _shared_mutex:
        if key not in _shared:
            _shared[key] = Credentials(store, service, renew=renewer(store, service))
        return _shared[key]


def renewer(store: TokenStore, service: Service) -> Renewer:
    """Return what renews in a process of its own, which Ctrl-C does not reach."""

    def renew(order: Order) -> Renewed:
        from .detached import Detached  # mounting does without it

        return Detached(store.location, service, otherwise=InThread(Renewal(store, service)))(order)

    return renew
