"""What became of tokens: which were refused, renewed or given up, and so which can be used or renewed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from .tokens import Tokens

# Seconds.
PAUSE = 30.0
VERDICT = 300.0

Refused = tuple[Secret[str], ...]


class Judgement:
    """Knows of the tokens of one sign-in what they do not say themselves; ``Credentials`` lists the cases.

    It is written by who is first in the store's queue, so by one thread at a time. It is read without that:
    each read is one step, and what is decided on an old value is decided again in the queue.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        # Refresh tokens that were refused permanently, with the reason.
        self._refused: dict[Secret[str], str] = {}
        # Access tokens that got a 401 and could not be replaced.
        self._rejected: set[Secret[str]] = set()
        # The access token before and after the last refresh.
        self._renewal: Refused = (Secret(""), Secret(""))
        # A renewed sign-in that the backend refuses all the same, and until when (monotonic) this holds.
        self._verdict: tuple[Tokens, float] | None = None
        # Monotonic time. Written when a turn in the queue ends or did not come; the latest write wins.
        self._paused_until = 0.0

    def is_usable(self, tokens: Tokens) -> bool:
        """True until the tokens expire or get a 401, and shortly after they were renewed."""
        if not tokens.access_token or tokens.access_token in self._rejected:
            return False
        is_new = tokens.access_token == self._renewal[1] and self._is_paused()
        return is_new or tokens.is_valid(self._clock())

    def is_fresh(self, tokens: Tokens) -> bool:
        """True while a refresh is not due or cannot help."""
        if not self.is_usable(tokens):
            return False
        return not tokens.is_due(self._clock()) or self._is_paused() or not self.can_refresh(tokens)

    def can_refresh(self, tokens: Tokens) -> bool:
        """True while a refresh can be expected to work."""
        is_spent = tokens.refresh_token in self._refused or self.is_condemned(tokens)
        return tokens.can_refresh and not is_spent

    def satisfies(self, tokens: Tokens, refused: Refused) -> bool:
        """True for a token that makes a refresh unnecessary. ``refused`` are access tokens."""
        if refused:
            return tokens.access_token not in refused and self.is_usable(tokens)
        return self.is_usable(tokens) and not tokens.is_due(self._clock())

    def is_condemned(self, tokens: Tokens) -> bool:
        """True for a while after the backend refused a token that had just been renewed."""
        verdict = self._verdict
        return verdict is not None and verdict[0].is_same(tokens) and time.monotonic() < verdict[1]

    def why_refused(self, tokens: Tokens) -> str:
        """Return why the refresh token was refused permanently; empty if it was not."""
        return self._refused.get(tokens.refresh_token, "")

    def hear(self, refused: Refused, last: Tokens) -> None:
        """Note a 401 for these access tokens: if the last one was just renewed, no other helps."""
        if refused[-2:] == self._renewal:
            self._verdict = (last, time.monotonic() + VERDICT)

    def note_renewal(self, before: Tokens, after: Tokens) -> None:
        """Note that a refresh worked."""
        self._renewal = (before.access_token, after.access_token)

    def note_refusal(self, tokens: Tokens, why: str) -> None:
        """Note that a refresh token will never work again."""
        self._refused[tokens.refresh_token] = why

    def reject(self, refused: Iterable[Secret[str]]) -> None:
        """Note access tokens that got a 401 and cannot be replaced."""
        self._rejected.update(refused)

    def pause(self) -> None:
        """Note the end of a refresh, however it ended."""
        self._paused_until = time.monotonic() + PAUSE

    def forget(self) -> None:
        """Start again with a new sign-in."""
        self._verdict = None
        self._refused.clear()
        self._rejected.clear()

    def _is_paused(self) -> bool:
        """True shortly after a refresh."""
        return time.monotonic() < self._paused_until
