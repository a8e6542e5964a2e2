"""Staying signed in: four steps to a valid token, one refresh at a time, one rescue after a 401.

The refresh token works once, so a refresh is a transaction: under a lock that all processes share, the
file is read again, the token is spent, and its successor is written before anybody uses it. It runs
in a thread of its own, where neither a cancelled task nor a closing event loop can interrupt it; the
interpreter waits for it before it exits. Only a process killed between the issuer's answer and the
end of the write (some milliseconds) needs a new sign-in.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from amplifier_core.llm_errors import (
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
)

from ..http import new_client
from ..settings import LOGIN_COMMAND, PROVIDER
from . import issuer, oauth, token_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .tokens import Tokens

Status = Literal["authenticated", "expired", "unauthenticated"]

CONNECT_LIMIT = 10.0
REPLY_LIMIT = 30.0
LOCK_LIMIT = 90.0
REVOKE_LIMIT = 10.0
# After a refresh, however it ended, a token that still lives is used this long before the next.
PAUSE = 30.0

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Credentials:
    """One sign-in, for all providers of a process that share its file.

    Safe to use from many tasks, event loops and threads at once. The file is the truth: whoever signs in,
    out or as another is followed at once. Only ``tokens`` given here count before it.
    """

    def __init__(
        self,
        path: Path,
        auth_url: str,
        *,
        tokens: Tokens | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.path = path.absolute()
        self._auth_url = auth_url
        self._clock = clock
        # What the file does not hold: tokens given, or renewed where they could not be written.
        self._memory = tokens
        self._seen: tuple[object, Tokens | None] = (None, None)
        self._refused: dict[str, str] = {}
        self._dead: set[str] = set()
        self._renewal = ("", "")
        self._paused_until = 0.0
        self._mutex = threading.Lock()
        self._flights: dict[tuple[str, ...], Future[Tokens]] = {}

    async def current(self) -> Tokens:
        """Return a token that is expected to be accepted, renewed five minutes before it expires.

        In order: memory, disk, a refresh with memory's refresh token, one with the disk's. When the
        refresh fails, the old token is used while it lives. Raises AuthenticationError when a person
        must sign in, a retryable kernel error when only the moment is bad.
        """
        tokens = self.peek()
        if tokens is None:
            raise _signed_out()
        if self._holds(tokens):
            return tokens
        try:
            return await self._join()
        except LLMError as error:
            tokens = self.peek()
            if tokens is None or not self._lives(tokens):
                raise
            level = logging.INFO if error.retryable else logging.WARNING
            logger.log(level, "The sign-in was not renewed; its token is used while it lives. %s", error)
            return tokens

    async def renew(self, *refused: Tokens) -> Tokens:
        """Return another token than those that got a 401 in this call, the last just now.

        Whatever their expiry says: another one in the file is adopted, else the last is refreshed, once
        for all who ask, unless it came from refreshing the one before. Raises as ``current`` does.
        """
        return await self._join(*refused)

    def peek(self) -> Tokens | None:
        """Return who is signed in as far as memory and disk know; never uses the network."""
        memory = self._memory
        if memory is not None and self._lives(memory):
            return memory
        return self._look() or memory

    def status(self) -> Status:
        """Tell offline whether calls can be expected to work, or a person must act."""
        tokens = self.peek()
        if tokens is None:
            return "unauthenticated"
        if self._lives(tokens) or (tokens.can_refresh and tokens.refresh_token not in self._refused):
            return "authenticated"
        return "expired"

    async def make_room(self) -> None:
        """See that a new sign-in can be stored, before a person takes the trouble.

        Raises ConfigurationError where it cannot.
        """
        await asyncio.to_thread(self._write, token_file.rehearse)

    async def adopt(self, tokens: Tokens) -> None:
        """Store a new sign-in and use it. Raises ConfigurationError where the file cannot be written."""
        await asyncio.to_thread(self._store, tokens)

    async def forget(self) -> bool:
        """Sign out: tell the issuer as far as it can be reached, and delete the file whatever it says.

        Returns whether the issuer heard. Raises ConfigurationError where the file cannot be deleted.
        """
        tokens = await asyncio.to_thread(self._delete)
        if tokens is None:
            return True
        try:
            async with (
                asyncio.timeout(REVOKE_LIMIT),
                new_client(connect=REVOKE_LIMIT, silence=REVOKE_LIMIT) as client,
            ):
                return await oauth.revoke(client, self._auth_url, tokens)
        except TimeoutError:
            return False

    def _lives(self, tokens: Tokens) -> bool:
        """True for a token that may be used: a new one even where a wrong clock says that it has expired."""
        if not tokens.access_token or tokens.access_token in self._dead:
            return False
        is_new = tokens.access_token == self._renewal[1] and time.monotonic() < self._paused_until
        return is_new or tokens.is_valid(self._clock())

    def _holds(self, tokens: Tokens) -> bool:
        """True for a token to be used as it is: far from its end, or a renewal just failed."""
        if not self._lives(tokens):
            return False
        return (
            time.monotonic() < self._paused_until
            or not tokens.is_due(self._clock())
            or not tokens.can_refresh
            or tokens.refresh_token in self._refused
        )

    def _look(self) -> Tokens | None:
        """Return the file's credential, read again only when the file changed."""
        stamp, (seen, stored) = token_file.stamp(self.path), self._seen
        if stamp != seen:
            stored = token_file.load(self.path) if stamp else None
            self._seen = (stamp, stored)
        return stored

    async def _join(self, *refused: Tokens) -> Tokens:
        """Wait for the one renewal under way for this purpose; leaving does not interrupt it."""
        key = tuple(tokens.access_token for tokens in refused)
        with self._mutex:
            flight = self._flights.get(key)
            if flight is None:
                flight = Future()
                flight.set_running_or_notify_cancel()
                threading.Thread(target=self._fly, args=(key, flight), name="token-refresh").start()
                self._flights[key] = flight
        return await asyncio.wrap_future(flight)

    def _fly(self, key: tuple[str, ...], flight: Future[Tokens]) -> None:
        try:
            tokens = self._renew(key)
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait
            result: Tokens | BaseException = error
        else:
            result = tokens
        with self._mutex:
            self._flights.pop(key, None)
        if isinstance(result, BaseException):
            flight.set_exception(result)
        else:
            flight.set_result(result)

    def _renew(self, refused: tuple[str, ...]) -> Tokens:
        """The transaction; runs in a thread of its own. ``refused`` are access tokens."""
        try:
            with token_file.locked(self.path, LOCK_LIMIT):
                return self._renew_alone(refused)
        except TimeoutError as error:
            raise ProviderUnavailableError(
                f"Another process has been renewing the sign-in for {LOCK_LIMIT:g} seconds: try again.",
                provider=PROVIDER,
            ) from error
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            self._paused_until = time.monotonic() + PAUSE

    def _renew_alone(self, refused: tuple[str, ...]) -> Tokens:
        stored = token_file.load(self.path)
        for tokens in (self._memory, stored):
            if tokens is not None and self._is_answer(tokens, refused):
                return self._follow(tokens) if tokens is stored else tokens
        if refused[-2:] == self._renewal:
            raise _signed_out("The backend refuses even the token that was renewed just now.")
        for tokens in self._spendable(stored):
            try:
                return self._spend(tokens, stored)
            except oauth.RefreshRefusedError as refusal:
                self._refused[tokens.refresh_token] = str(refusal)
                winner = token_file.load(self.path)
                if winner is not None and not winner.is_same(tokens) and self._is_answer(winner, refused):
                    return self._follow(winner)
        self._dead.update(refused)
        last = stored or self._memory
        reason = self._refused.get(last.refresh_token) if last is not None else None
        raise _signed_out(f"The stored sign-in cannot be renewed: {reason}." if reason else "")

    def _is_answer(self, tokens: Tokens, refused: tuple[str, ...]) -> bool:
        if refused:
            return tokens.access_token not in refused and self._lives(tokens)
        return self._lives(tokens) and not tokens.is_due(self._clock())

    def _follow(self, stored: Tokens) -> Tokens:
        self._memory = None
        return stored

    def _spendable(self, stored: Tokens | None) -> list[Tokens]:
        """Credentials worth a refresh, memory's first."""
        both = (self._memory, stored)
        found = {tokens.refresh_token: tokens for tokens in both if tokens is not None and tokens.can_refresh}
        return [tokens for token, tokens in found.items() if token not in self._refused]

    def _spend(self, tokens: Tokens, stored: Tokens | None) -> Tokens:
        if tokens is stored:
            token_file.rehearse(self.path)
        reply = asyncio.run(self._ask(tokens.refresh_token))
        renewed = type(tokens).from_reply(reply, now=self._clock(), previous=tokens)
        if stored is not None and token_file.stamp(self.path) is None:
            raise _signed_out("Somebody signed out meanwhile.")
        if self._is_taken(tokens, stored):
            self._memory = None if tokens is stored else renewed
        else:
            self._memory = None if self._save(renewed) else renewed
        if renewed.access_token == tokens.access_token:
            raise issuer.unreadable("the renewed tokens")
        self._renewal = (tokens.access_token, renewed.access_token)
        return renewed

    def _is_taken(self, tokens: Tokens, stored: Tokens | None) -> bool:
        """True where the file is another account's, or was written meanwhile by a program without a lock."""
        found = token_file.load(self.path)
        if found is None:
            return False
        return not found.is_same(stored) or (tokens is not stored and found.account_id != tokens.account_id)

    def _save(self, renewed: Tokens) -> bool:
        """Write a renewed credential; False where that fails.

        Its predecessor is spent: an error would sign the person out, so memory keeps it then.
        """
        try:
            token_file.save(self.path, renewed)
        except OSError as error:
            logger.warning("%s It is kept in memory only.", _unwritable(self.path, error))
            return False
        return True

    async def _ask(self, refresh_token: str) -> dict[str, object]:
        try:
            async with (
                asyncio.timeout(REPLY_LIMIT),
                new_client(connect=CONNECT_LIMIT, silence=REPLY_LIMIT) as client,
            ):
                return dict(await oauth.refresh(client, self._auth_url, refresh_token))
        except TimeoutError as error:
            raise ProviderUnavailableError(
                "The issuer did not renew the sign-in in time. It is still there: try again.",
                provider=PROVIDER,
            ) from error

    def _write(self, write: Callable[..., None], *what: Tokens) -> None:
        try:
            with token_file.locked(self.path, LOCK_LIMIT):
                write(self.path, *what)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _store(self, tokens: Tokens) -> None:
        self._write(token_file.save, tokens)
        self._memory = None
        self._refused.clear()
        self._dead.clear()

    def _delete(self) -> Tokens | None:
        """Delete the file and return what was in use; waits for a renewal under way, but not for ever."""
        try:
            with token_file.locked(self.path, LOCK_LIMIT):
                return self._drop()
        except TimeoutError:
            return self._drop()
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _drop(self) -> Tokens | None:
        tokens = self._memory or token_file.load(self.path)
        self._memory = None
        token_file.delete(self.path)
        return tokens


def _signed_out(because: str = "") -> AuthenticationError:
    return AuthenticationError(
        f"No valid OAuth tokens: run {LOGIN_COMMAND}. {because}".rstrip(), provider=PROVIDER, status_code=401
    )


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    reason = error.strerror or str(error)
    if isinstance(error.filename, str) and error.filename.endswith(".lock"):
        reason = f"{reason} ({error.filename})"
    return ConfigurationError(
        f"The token file {path} cannot be written: {reason}. Mend that, or set token_file_path.",
        provider=PROVIDER,
    )


_shared: dict[tuple[str, str], Credentials] = {}
_shared_mutex = threading.Lock()


def shared_credentials(path: Path, auth_url: str) -> Credentials:
    """Return the one object of this process for a token file and an issuer."""
    key = (str(path.absolute()), auth_url)
    with _shared_mutex:
        if key not in _shared:
            _shared[key] = Credentials(path, auth_url)
        return _shared[key]
