"""What ``Credentials`` asks of the place where a sign-in is kept, whatever that place is.

``token_file.TokenFile`` is one such place; a keyring would be another class with these methods.
``credentials.token_store`` chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

    from .tokens import Tokens


class StoreError(Exception):
    """A store cannot be used. The text is for a person: what happened, then what to do."""


class TokenStore(Protocol):
    """Keeps at most one sign-in, for every process that uses it.

    All methods block, and all may be called from several threads at a time. Only ``save``, ``rehearse``
    and ``delete`` change anything; they are called by the thread that holds ``lock``, or by a sign-out
    that could not get it in time.
    """

    @property
    def location(self) -> str:
        """Where the sign-in is kept, for people. Two stores with one location keep one sign-in."""
        ...

    def stamp(self) -> Hashable:
        """Identify the present content cheaply: it changes with every change. None: nothing is stored.

        Never raises.
        """
        ...

    def load(self) -> Tokens | None:
        """Return the stored sign-in. None where there is none, or none that can be used (logged once).

        Never raises.
        """
        ...

    def save(self, tokens: Tokens) -> None:
        """Replace the stored sign-in in one step: a reader finds the old one or the new one, whole.

        Raises StoreError; the old one is then still there.
        """
        ...

    def rehearse(self) -> None:
        """Do everything that can fail in ``save``, and change nothing. Raises what ``save`` would."""
        ...

    def delete(self) -> None:
        """Remove the sign-in, if there is one. Raises StoreError."""
        ...

    def lock(self, timeout: float) -> AbstractContextManager[None]:
        """Keep all other threads and processes that ask for this lock out of the block.

        Raises TimeoutError if others held it for ``timeout`` seconds, StoreError if there cannot be one.
        """
        ...
