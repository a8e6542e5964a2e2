"""The plan sign-in for programs that import ``plan_auth`` of the plugin that this one replaces.

All functions work on the credentials that calls in plan mode use: the same file, lock and rules. Credentials
are a dictionary in the shape of their file (docs/library.md). Every failure is a kernel error (LLMError):
AuthenticationError if a person must sign in, AccessDeniedError without the permission to use the plan,
ConfigurationError for a bad argument, a bad environment variable and a file that is not of this mode or of
another service, and a retryable error if the trouble is transient.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from amplifier_core.llm_errors import ConfigurationError

from .redaction import without_secrets
from .settings import PROVIDER, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .auth.plan.credentials import PlanCredentials

__all__ = [
    "PlanStatus",
    "Revocation",
    "auth_status",
    "ensure_tokens",
    "import_credentials",
    "login",
    "logout",
]


class PlanStatus(TypedDict):
    """Who is connected, without secrets.

    ``authenticated``: a token is valid or can be renewed. ``plan_permission_granted``: the person allowed
    this app to use the plan. ``plan_enabled``: both. A field that is not known is None.
    """

    auth_mode: str
    authenticated: bool
    plan_enabled: bool
    plan_permission_granted: bool
    email: str | None
    client_id: str | None
    subject: str | None


class Revocation(TypedDict):
    """Whether the sign-in server confirmed that the tokens are no longer valid."""

    revocation_confirmed: bool


async def login(
    *,
    token_file_path: str | Path | None = None,
    host_file_path: str | Path | None = None,
    app_name: str | None = None,
    print_fn: Callable[[str], object] | None = None,
    timeout: float = 180.0,  # noqa: ASYNC109 - hosts know it by this name
    request_plan_permission: bool = False,
    source_token_file_path: str | Path | None = None,
    registration_file_path: str | Path | None = None,
    base_url: str | None = None,
    auth_url: str | None = None,
) -> dict[str, Any]:
    """Sign in with a browser on this machine, and return the credentials that were stored.

    ``print_fn`` gets the address to open, once, without a token in it; by default it is written to stderr.
    The person has ``timeout`` seconds. ``request_plan_permission``: ask again for the permission to use the
    plan. The credentials may be without it.

    With ``source_token_file_path``, that sign-in is continued in ``token_file_path``, which must be new: a
    host can switch to it after it succeeded. The source is never changed. ``registration_file_path`` keeps
    the registration of this app over attempts with different files, and stays.
    """
    settings = _settings(
        token_file_path=token_file_path,
        host_file_path=host_file_path,
        app_name=app_name,
        base_url=base_url,
        auth_url=auth_url,
    )
    source = _path("source_token_file_path", source_token_file_path)
    registration = _path("registration_file_path", registration_file_path)
    limit = _seconds("timeout", timeout)
    from .auth.plan.configured import sign_in_as_configured
    from .auth.plan.sign_in import Screen

    credential = await sign_in_as_configured(
        settings,
        Screen(show=_unheard, show_address=print_fn or _to_stderr),
        enable_plan=request_plan_permission,
        source=source,
        registration=registration,
        limit=limit,
    )
    return credential.to_dict()


def auth_status(
    token_file_path: str | Path | None = None, *, base_url: str | None = None, auth_url: str | None = None
) -> PlanStatus:
    """Return who is connected, as far as this machine knows; offline."""
    from .auth.failures import kernel_error
    from .auth.store import StoreError

    credentials = _credentials(token_file_path, base_url, auth_url)
    problem = credentials.problem()
    if problem is not None and not problem.is_ours:
        raise kernel_error(StoreError(problem.text))
    return _status(credentials)


async def ensure_tokens(
    token_file_path: str | Path | None = None, *, base_url: str | None = None, auth_url: str | None = None
) -> dict[str, Any]:
    """Return credentials that may be used now; their token is renewed if it is due."""
    return (await _credentials(token_file_path, base_url, auth_url).credential()).to_dict()


async def logout(
    token_file_path: str | Path | None = None, *, base_url: str | None = None, auth_url: str | None = None
) -> Revocation:
    """Forget the tokens and have them revoked; the registration and the host id stay.

    Without confirmation the person is signed out here; ChatGPT's settings show the apps that are connected.
    """
    credentials = _credentials(token_file_path, base_url, auth_url)
    problem = credentials.problem()
    is_removable = problem is not None and problem.is_removable
    confirmed = await (credentials.remove_unusable() if is_removable else credentials.sign_out())
    return Revocation(revocation_confirmed=confirmed)


async def import_credentials(
    source_file: str | Path,
    *,
    token_file_path: str | Path | None = None,
    host_file_path: str | Path | None = None,
    base_url: str | None = None,
    auth_url: str | None = None,
) -> PlanStatus:
    """Store credentials that were carried here from another machine, with the host id of this one.

    From then on only this machine may renew them. ``source_file`` is left as it is.
    """
    settings = _settings(
        token_file_path=token_file_path,
        host_file_path=host_file_path,
        base_url=base_url,
        auth_url=auth_url,
    )
    source = _path("source_file", source_file)
    if source is None:
        raise _bad("source_file", source_file, "a path")
    from .auth.plan.configured import import_as_configured

    await import_as_configured(settings, source)
    return _status(_credentials(token_file_path, base_url, auth_url))


def _status(credentials: PlanCredentials) -> PlanStatus:
    known = credentials.known()
    granted = known is not None and known.is_connected and known.uses_plan
    authenticated = credentials.status() == "authenticated"
    return PlanStatus(
        auth_mode=credentials.service.name,
        authenticated=authenticated,
        plan_enabled=authenticated and granted,
        plan_permission_granted=granted,
        email=(known and known.email.reveal()) or None,
        client_id=(known and known.client_id.reveal()) or None,
        subject=(known and known.subject.reveal()) or None,
    )


def _credentials(
    token_file_path: str | Path | None, base_url: str | None, auth_url: str | None
) -> PlanCredentials:
    from .auth.plan.credentials import shared_plan_credentials

    settings = _settings(token_file_path=token_file_path, base_url=base_url, auth_url=auth_url)
    service = settings.service.at(settings.base_url, settings.auth_url)
    return shared_plan_credentials(settings.token_file_path, service)


def _settings(**given: object) -> Settings:
    """Read the arguments as settings of the plan mode: the environment and the defaults apply as there."""
    return read_settings({"auth_mode": "chatgpt_plan", **given}, os.environ)


def _path(name: str, value: object) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or "\0" in str(value):
        raise _bad(name, value, "a path")
    try:
        return Path(value).expanduser()
    except RuntimeError:  # without a home directory; the first use of the file reports it
        return Path(value)


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _bad(name, value, "a number of seconds above 0")
    return value


def _bad(name: str, value: object, wanted: str) -> ConfigurationError:
    shown = without_secrets(repr(value))[:60]
    return ConfigurationError(f"Bad value {shown} for {name}: it must be {wanted}.", provider=PROVIDER)


def _to_stderr(address: str) -> None:
    if sys.stderr is None:
        raise ConfigurationError(
            "There is no stderr to show the address on: call login with a print_fn.", provider=PROVIDER
        )
    sys.stderr.write(f"{address}\n")


def _unheard(text: str) -> None:
    """What a person would read around the address; hosts have words of their own."""
    del text
