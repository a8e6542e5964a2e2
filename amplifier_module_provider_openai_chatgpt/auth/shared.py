"""The one object of this process for each stored sign-in, and what renews it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from .credentials import Credentials
from .renewal import Renewal
from .single_flight import InThread
from .token_file import token_store

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from ..services import Service
    from .renewal import Order, Renewed, Renewer
    from .store import TokenStore

Item = TypeVar("Item")


class Shared(Generic[Item]):
    """Holds one object for each key, for all threads."""

    def __init__(self) -> None:
        # Under the mutex.
        self._items: dict[Hashable, Item] = {}
        self._mutex = threading.Lock()
        self._process = os.getpid()

    def get(self, key: Hashable, build: Callable[[], Item]) -> Item:
        """Return the object of a key, which is built the first time."""
        if self._process != os.getpid():
            # A fork took the mutex along, but perhaps not the thread that held it.
            self._mutex, self._process = threading.Lock(), os.getpid()
        with self._mutex:
            if key not in self._items:
                self._items[key] = build()
            return self._items[key]

    def clear(self) -> None:
        """Forget all of them."""
        self._items.clear()


_shared: Shared[Credentials] = Shared()


def shared_credentials(path: Path, service: Service) -> Credentials:
    """Return the one object of this process for a token file and a service at its addresses."""
    store = token_store(path, service)
    key = (store.location, service.name, service.origin)
    return _shared.get(key, lambda: Credentials(store, service, renew=renewer(store, service)))


def renewer(store: TokenStore, service: Service) -> Renewer:
    """Return what renews in a process of its own, which Ctrl-C does not reach."""

    def renew(order: Order) -> Renewed:
        from .detached import Detached  # mounting does without it

        return Detached(store.location, service, otherwise=InThread(Renewal(store, service)))(order)

    return renew
