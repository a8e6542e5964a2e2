"""The sign-in as a provider's settings configure it: addresses, files and the app's name."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...http import new_client
from ...services import CHATGPT_PLAN_SIGN_IN
from ..failures import translated
from ..store import Unusable
from .discovery import discover
from .failures import PlanError, Problem
from .file import PlanFile
from .host import host_id
from .sign_in import DECISION_LIMIT, sign_in
from .transfer import imported

if TYPE_CHECKING:
    from pathlib import Path

    from ...services import PlanSignIn
    from ...settings import Settings
    from .credential import PlanCredential
    from .sign_in import Screen

# Longest wait for one answer of the issuer, in seconds.
_ANSWER_LIMIT = 30.0


def file_of(settings: Settings, path: Path | None = None) -> PlanFile:
    """Return the file of the sign-in, or another one at ``path`` for the same service."""
    return PlanFile(path or settings.token_file_path, _service(settings).origin)


def host_file_of(settings: Settings) -> Path:
    """Return where the id of this machine is stored."""
    return settings.host_file_path or file_of(settings).default_host_file


def host_id_of(settings: Settings) -> str:
    """Return the id of this machine, made the first time. Raises ConfigurationError."""
    with translated():
        return host_id(host_file_of(settings)).reveal()


def stored_account(settings: Settings) -> str | Unusable:
    """Return the e-mail address of the stored sign-in, else why it is not used; empty without a sign-in."""
    found = file_of(settings).read()
    if isinstance(found, Unusable):
        return found
    return (found.email.reveal() or "unknown") if found and found.is_connected else ""


async def sign_in_as_configured(
    settings: Settings,
    screen: Screen,
    *,
    enable_plan: bool = False,
    source: Path | None = None,
    registration: Path | None = None,
    limit: float = DECISION_LIMIT,
) -> PlanCredential:
    """Sign in and store the credential; what was stored stays until then. Raises kernel errors.

    ``source`` and ``registration`` are the paths of those files.
    """
    with translated():
        require_library()
    service = _service(settings)
    async with new_client(connect=settings.connect_timeout, silence=_ANSWER_LIMIT) as client:
        return await sign_in(
            client,
            service,
            PlanFile(settings.token_file_path, service.origin, registration=registration),
            screen,
            source=file_of(settings, source) if source else None,
            host_file=settings.host_file_path,
            app_name=settings.app_name,
            enable_plan=enable_plan,
            limit=limit,
        )


async def import_as_configured(settings: Settings, source: Path) -> PlanCredential:
    """Store a credential that was carried from another machine. Raises kernel errors."""
    with translated():
        require_library()
        carried, file = file_of(settings, source), file_of(settings)
        return await imported(_service(settings), carried, file, settings.host_file_path)


async def check_discovery(settings: Settings, limit: float) -> None:
    """Ask the issuer for its addresses, with a time limit in seconds. Raises kernel errors."""
    with translated():
        async with new_client(connect=limit, silence=limit) as client:
            await discover(client, _service(settings))


def require_library() -> None:
    """Find out before a sign-in begins whether it can be verified. Raises PlanError."""
    if find_spec("cryptography") is None:
        raise PlanError(Problem.NO_LIBRARY)


def _service(settings: Settings) -> PlanSignIn:
    return CHATGPT_PLAN_SIGN_IN.at(settings.base_url, settings.auth_url)
