"""A whole sign-in: consent in a browser, the exchange, the verified person, the stored credential."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import issuer
from ..binding import announcement
from ..failures import translated
from ..prompting import instructions, open_in_browser, pasting, reported
from ..store import Unusable
from .authorization import Attempt
from .callback import listening
from .credential import Grant, PlanCredential
from .discovery import discover
from .failures import ENABLE, PlanError, Problem, not_used
from .grants import exchange, identify
from .host import host_id
from .identity import Expected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import httpx

    from ...secret import Secret
    from ...services import PlanSignIn
    from .authorization import Brought
    from .callback import Callback
    from .discovery import Endpoints
    from .file import PlanFile

# Seconds in which the person has to decide.
DECISION_LIMIT = 300.0
_NOTHING = PlanCredential()
_WITH_BROWSER = "Continue with ChatGPT in your browser. If it does not open, open this address\nyourself:"
_WITHOUT_BROWSER = "Continue with ChatGPT: open this address in your browser:"


@dataclass(frozen=True, slots=True)
class Screen:
    """How a sign-in talks to the person.

    ``open_url`` opens a browser and gets an address that is for it alone. ``read_line`` answers with a
    pasted line, or "" when there will be no more. ``show_address`` gets the bare address, which is otherwise
    shown with instructions.
    """

    show: Callable[[str], object]
    open_url: Callable[[str], object] | None = None
    read_line: Callable[[], Awaitable[str]] | None = None
    show_address: Callable[[str], object] | None = None


@dataclass(frozen=True, slots=True)
class _Start:
    """What there is at the beginning: the credential in ``source``, else in ``file``, and the attempt."""

    service: PlanSignIn
    file: PlanFile
    source: PlanFile | None
    before: PlanCredential
    attempt: Attempt
    at: Endpoints


async def sign_in(
    client: httpx.AsyncClient,
    service: PlanSignIn,
    file: PlanFile,
    screen: Screen,
    *,
    source: PlanFile | None = None,
    host_file: Path | None = None,
    app_name: str = "Amplifier",
    enable_plan: bool = False,
    limit: float = DECISION_LIMIT,
) -> PlanCredential:
    """Sign in and store the credential; what was stored stays until then.

    The app is registered once: an issued registration is stored before the exchange, and used again. The
    credential may be without permission to use the plan. With a ``source``, that sign-in is continued in
    ``file``, which must be new, and is never changed. Raises kernel errors.
    """
    with translated():
        _check_paths(file, source, host_file)
    with translated(), file.consent():
        before, host = await asyncio.to_thread(_prepare, file, source, host_file)
        attempt = Attempt(
            host_id=host,
            app_name=app_name,
            client_id=before.client_id,
            hint=before.id_token,
            enable_plan=enable_plan,
        )
        start = _Start(service, file, source, before, attempt, await discover(client, service))
        async with listening(attempt, service) as callback:
            brought = await _brought(start, callback, screen, limit)
            with reported(callback.farewell):
                credential = await _redeem(client, start, brought, callback.redirect_uri)
    screen.show(_result(credential, service))
    return credential


def _check_paths(file: PlanFile, source: PlanFile | None, host_file: Path | None) -> None:
    """Raise PlanError if one file has two purposes."""
    given = (file.path, file.registration_path, source and source.path, host_file or file.default_host_file)
    paths = [os.path.realpath(path) for path in given if path]
    for path in paths:
        if paths.count(path) > 1:
            raise PlanError(Problem.SAME_PATHS, place=path)


def _prepare(
    file: PlanFile, source: PlanFile | None, host_file: Path | None
) -> tuple[PlanCredential, Secret[str]]:
    """Return what is known of the account, and the host id; find out whether the result can be stored."""
    host = host_id(host_file or file.default_host_file)
    with file.lock():
        file.rehearse()
        found = _known(file)
    if source is not None:
        if found is not None:
            raise PlanError(Problem.TAKEN, place=str(file.path))
        with source.lock():
            found = _known(source)
    known = found or _NOTHING
    return (known if known.client_id else file.registration() or known), host


def _known(file: PlanFile) -> PlanCredential | None:
    """Return what is stored; of a damaged file what can be read, so the app is not registered again."""
    found = file.read()
    if not isinstance(found, Unusable):
        return found
    if not found.is_ours:
        raise not_used(found)
    salvaged = file.salvage()
    return salvaged.without_tokens() if salvaged else _NOTHING


async def _brought(start: _Start, callback: Callback, screen: Screen, limit: float) -> Brought:
    """Wait for what the browser, or the person, brings."""
    attempt, endpoint, redirect_uri = start.attempt, start.at.authorize, callback.redirect_uri
    shown = attempt.url(endpoint, start.service, redirect_uri)
    if screen.show_address is not None:
        screen.show_address(shown.reveal())
    else:
        tunnel = f"{callback.port}:127.0.0.1:{callback.port}"
        start_text = _WITH_BROWSER if screen.open_url else _WITHOUT_BROWSER
        about = announcement(start.service.origin)
        start_text = f"{about}\n\n{start_text}" if about else start_text
        # A variable with the whole text would be in tracebacks.
        screen.show(
            instructions(start_text, shown.reveal(), tunnel, pasting=screen.read_line is not None)
            + f"\n\nYou have {_span(limit)}."
        )
    if screen.open_url is not None:
        hinted = attempt.url(endpoint, start.service, redirect_uri, hinted=True)
        page = callback.start_page(hinted, shown) if hinted != shown else shown
        open_in_browser(screen.open_url, page)
    async with pasting(callback.take_pasted, callback.brought, screen.read_line, screen.show):
        try:
            async with asyncio.timeout(limit):
                return await callback.brought
        except TimeoutError as error:
            raise PlanError(Problem.TIMED_OUT) from error


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


async def _redeem(
    client: httpx.AsyncClient, start: _Start, brought: Brought, redirect_uri: str
) -> PlanCredential:
    """Make a stored credential of a code."""
    before, attempt, service = start.before, start.attempt, start.service
    registration = replace(
        before.without_tokens(), client_id=brought.client_id, host_id=attempt.host_id, origin=service.origin
    )
    if before.client_id != brought.client_id or start.file.keeps_registration:
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
    identity = await identify(client, start.at, grant.id_token, expected, time.time())
    credential = registration.settled(grant, identity)
    await asyncio.to_thread(_store, start, credential)
    return credential


def _store(start: _Start, credential: PlanCredential) -> None:
    """Store the credential, unless another process signed out or stored another account meanwhile."""
    with start.file.lock():
        is_taken = start.source is not None and start.file.read() is not None
        found = (start.source or start.file).read()
        latest = found if isinstance(found, PlanCredential) else _NOTHING
        same_person = latest.subject in ("", credential.subject)
        same_app = latest.client_id in ("", credential.client_id)
        signed_out = start.before.is_connected and not latest.is_connected
        if not (same_person and same_app) or signed_out or is_taken:
            raise PlanError(Problem.CHANGED_MEANWHILE)
        start.file.save(credential)
        start.file.drop_registration()


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
