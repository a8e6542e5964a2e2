"""What ``Credentials`` asks of the place where a sign-in is kept, whatever that place is.

``token_file.TokenFile`` is one such place; a keyring would be another class with these methods.
``credentials.token_store`` chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable
    from contextlib import AbstractContextManager

    from .tokens import Tokens


class StoreError(Exception):
    """A store cannot be used. The text is for a person: what happened, then what to do."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something is stored that is not used: what it is, why, and what to do.

    ``foreign``: it is a sign-in, but of another kind or another service. ``is_ours``: a new sign-in may
    replace it. ``is_removable``: a sign-out may remove it. ``login_advice``: what to do instead for a new
    sign-in, if that is not ``advice``.
    """

    what: str
    why: str
    advice: str
    foreign: bool = False
    is_ours: bool = False
    is_link: bool = False
    login_advice: str = ""

    @property
    def is_removable(self) -> bool:
        """True for a sign-in that is damaged, and for a link, whose target stays."""
        return self.is_ours or self.is_link

    @property
    def text(self) -> str:
        """All of it, for a person."""
        return f"{self.what} is not used: {self.why}. {self.advice}"


class TokenStore(Protocol):
    """Keeps at most one sign-in, for every process that uses it.

    All methods block, and all may be called from several threads at a time. Only ``save``, ``rehearse``
    and ``delete`` change anything; they are called by the thread that holds ``lock``, or by a sign-out
    that could not get it in time.
    """

    @property
    def location(self) -> str:
        """What identifies the store: two with one location and one service keep one sign-in."""
        ...

    @property
    def place(self) -> str:
        """Where the sign-in is kept at this moment, for people."""
        ...

    def stamp(self) -> Hashable:
        """Identify the present content cheaply: it changes with every change. None: nothing is stored.

        Never raises.
        """
        ...

    def read(self) -> Tokens | Unusable | None:
        """Return the stored sign-in, None where nothing is stored, else why it is not used (logged once).

        Never raises.
        """
        ...

    def save(self, tokens: Tokens) -> None:
        """Replace the stored sign-in: a reader finds the old one or the new one, whole.

        Raises StoreError; one of them is then still there.
        """
        ...

    def rehearse(self) -> None:
        """Do everything that can fail in ``save``, and change nothing. Raises what ``save`` would."""
        ...

    def salvage(self) -> Tokens | None:
        """Return the tokens of what is stored but not used, as far as they can be read. Never raises."""
        ...

    def delete(self) -> None:
        """Remove the sign-in, if there is one. Raises StoreError."""
        ...

    def note_failure(self, seconds: float) -> None:
        """Leave a note that a renewal has just failed, which is remembered for some seconds. Never raises."""
        ...

    def failed_since(self, moment: float) -> bool:
        """Return whether a renewal failed after this moment, in seconds since 1970. Never raises.

        True for any moment while a failure is remembered.
        """
        ...

    def queue(self, timeout: float) -> AbstractContextManager[None]:
        """Keep out others who want to decide on a renewal, without keeping the renewal itself out.

        Others may yet pass if a process is killed here: it only saves work. Raises as ``lock`` does.
        """
        ...

    def lock(self, timeout: float) -> AbstractContextManager[None]:
        """Keep all other threads and processes that ask for this lock out of the block.

        Raises TimeoutError if others held it for ``timeout`` seconds, StoreError if there cannot be one.
        """
        ...
