"""A whole sign-in: consent in a browser, the exchange, the verified person, the stored credential."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...secret import Secret
from .. import issuer
from ..failures import SignInError, translated
from .authorization import Attempt, pasted_query
from .callback import listening
from .credential import Grant, PlanCredential
from .discovery import discover
from .failures import ENABLE, PlanError, Problem
from .grants import exchange, identify
from .host import host_id
from .identity import Expected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    import httpx

    from ...services import PlanSignIn
    from .authorization import Brought
    from .callback import Callback
    from .discovery import Endpoints
    from .file import PlanFile

# Seconds in which the person has to decide.
DECISION_LIMIT = 300.0
_NOTHING = PlanCredential()


@dataclass(frozen=True, slots=True)
class Screen:
    """How a sign-in talks to the person.

    ``open_url`` opens a browser and gets an address that must not be shown. ``read_line`` answers with a
    pasted line, or "" when there will be no more.
    """

    show: Callable[[str], object]
    open_url: Callable[[str], object] | None = None
    read_line: Callable[[], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True)
class _Start:
    """What there is at the beginning: the stored credential and the attempt."""

    service: PlanSignIn
    file: PlanFile
    before: PlanCredential
    attempt: Attempt
    at: Endpoints


async def sign_in(
    client: httpx.AsyncClient,
    service: PlanSignIn,
    file: PlanFile,
    screen: Screen,
    *,
    host_file: Path | None = None,
    app_name: str = "Amplifier",
    enable_plan: bool = False,
    limit: float = DECISION_LIMIT,
) -> PlanCredential:
    """Sign in and store the credential; what was stored stays until then.

    The app is registered once: an issued registration is stored before the exchange, and used again. The
    credential may be without permission to use the plan. Raises kernel errors.
    """
    with translated():
        before, host = await asyncio.to_thread(_prepare, file, host_file or file.default_host_file)
        attempt = Attempt(
            host_id=host,
            app_name=app_name,
            client_id=before.client_id,
            hint=before.id_token,
            enable_plan=enable_plan,
        )
        start = _Start(service, file, before, attempt, await discover(client, service))
        async with listening(attempt, service) as callback:
            brought = await _brought(start, callback, screen, limit)
            with _farewell(callback):
                credential = await _redeem(client, start, brought, callback.redirect_uri)
    screen.show(_result(credential, service))
    return credential


def _prepare(file: PlanFile, host_file: Path) -> tuple[PlanCredential, str]:
    """Return what is known of the account, and the host id; find out whether the result can be stored."""
    host = host_id(host_file)
    with file.lock():
        file.rehearse()
        found = file.read()
    known = found if isinstance(found, PlanCredential) else _NOTHING
    return (known if known.client_id else file.registration() or known), host


async def _brought(start: _Start, callback: Callback, screen: Screen, limit: float) -> Brought:
    """Wait for what the browser, or the person, brings."""
    attempt, endpoint, redirect_uri = start.attempt, start.at.authorize, callback.redirect_uri
    shown = attempt.url(endpoint, start.service, redirect_uri)
    screen.show(_instructions(shown, callback.port, screen))
    if screen.open_url is not None:
        url = Secret(attempt.url(endpoint, start.service, redirect_uri, hinted=True))
        threading.Thread(target=_open, args=(screen.open_url, url), daemon=True).start()
    async with _pasting(callback, screen):
        try:
            async with asyncio.timeout(limit):
                return await callback.brought
        except TimeoutError as error:
            raise PlanError(Problem.TIMED_OUT) from error


async def _redeem(
    client: httpx.AsyncClient, start: _Start, brought: Brought, redirect_uri: str
) -> PlanCredential:
    """Make a stored credential of a code."""
    before, attempt, service = start.before, start.attempt, start.service
    registration = replace(
        before.without_tokens(), client_id=brought.client_id, host_id=attempt.host_id, origin=service.origin
    )
    if before.client_id != brought.client_id:
        await asyncio.to_thread(start.file.save_registration, registration)
    reply = await exchange(
        client,
        start.at,
        service,
        brought.client_id,
        code=brought.code,
        verifier=attempt.verifier,
        redirect_uri=redirect_uri,
    )
    grant = Grant.from_reply(reply.reveal(), time.time())
    if not grant.access_token:
        raise issuer.unreadable("the tokens")
    expected = Expected(
        issuer=start.at.issuer,
        client_id=brought.client_id,
        nonce=attempt.nonce,
        subject=before.subject or None,
    )
    identity = await identify(client, start.at, grant.id_token, expected)
    credential = registration.settled(grant, identity)
    await asyncio.to_thread(_store, start.file, before, credential)
    return credential


def _store(file: PlanFile, before: PlanCredential, credential: PlanCredential) -> None:
    """Store the credential, unless another process signed out or stored another account meanwhile."""
    with file.lock():
        found = file.read()
        latest = found if isinstance(found, PlanCredential) else _NOTHING
        same_person = latest.subject in ("", credential.subject)
        same_app = latest.client_id in ("", credential.client_id)
        signed_out = before.is_connected and not latest.is_connected
        if not (same_person and same_app) or signed_out:
            raise PlanError(Problem.CHANGED_MEANWHILE)
        file.save(credential)
        file.drop_registration()


@contextlib.contextmanager
def _farewell(callback: Callback) -> Iterator[None]:
    """Show the waiting browser how the block ended."""
    try:
        yield
    except SignInError as failure:
        callback.farewell("Sign-in failed", str(failure))
        raise
    callback.farewell("Signed in", "You can close this page and return to the terminal.")


@contextlib.asynccontextmanager
async def _pasting(callback: Callback, screen: Screen) -> AsyncIterator[None]:
    """Take pasted addresses as well as the callback, as long as the block runs."""
    if screen.read_line is None:
        yield
        return
    task = asyncio.create_task(_read_pasted(callback, screen.read_line, screen.show))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read_pasted(
    callback: Callback, read_line: Callable[[], Awaitable[str]], show: Callable[[str], object]
) -> None:
    """A code alone is not enough: the address has the state and, the first time, the registration."""
    while not callback.brought.done() and (line := await read_line()):
        query = pasted_query(line, callback.redirect_uri)
        if line.strip() and (query is None or not callback.take(query)):
            show(
                "This is not the address at which this sign-in ends.\n"
                "Paste the whole address of the page that failed to load.\n"
            )


def _open(open_url: Callable[[str], object], url: Secret[str]) -> None:
    """Open the browser where there is one; an address is on screen anyway."""
    with contextlib.suppress(Exception):
        open_url(url.reveal())


def _instructions(url: str, port: int, screen: Screen) -> str:
    start = (
        "Continue with ChatGPT in your browser. If it does not open, open this address\nyourself:"
        if screen.open_url
        else "Continue with ChatGPT: open this address in your browser:"
    )
    paste = (
        "\n\nOr: sign in there, copy the address of the final page (it will fail to load),\n"
        "paste it here and press Enter (input is hidden)."
    )
    return (
        f"{start}\n\n{url}\n\n"
        "Is the browser on another machine? Forward the port there first:\n\n"
        f"    ssh -L {port}:127.0.0.1:{port} <this machine>{paste if screen.read_line else ''}\n"
    )


def _result(credential: PlanCredential, service: PlanSignIn) -> str:
    """Say whose plan is used from now on, and where that is managed."""
    account = f" as {credential.email.reveal()}" if credential.email else ""
    if not credential.uses_plan:
        return (
            f"You are signed in{account}, but this app may not use your ChatGPT plan yet.\n"
            f"To allow it, run {ENABLE}."
        )
    return (
        f"You are signed in{account}. This app uses your ChatGPT plan from now on.\n"
        f"Manage usage: {service.usage_page}"
    )
