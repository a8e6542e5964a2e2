"""The checks of ``doctor`` in the plan mode: those of the other mode, and what only this sign-in needs."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from ..auth.failures import translated
from ..auth.plan.configured import check_discovery, host_file_of, host_id_of, require_library
from .checks import CHECKS, HOST_TIMEOUT
from .examination import CheckFailedError
from .status import ENABLE_PLAN

if TYPE_CHECKING:
    from .checks import Check
    from .examination import Examination


async def _library(_: Examination) -> str:
    with translated():
        require_library()
    return version("cryptography")


async def _host_id(examination: Examination) -> str:
    """A missing id is made by the first sign-in, and not by this command."""
    settings = examination.provider.settings
    path = host_file_of(settings)
    if not path.exists():
        return "not made yet; the first sign-in makes it"
    host_id_of(settings)
    return str(path)


async def _plan_use(examination: Examination) -> str:
    tokens = examination.provider.credentials.peek()
    if tokens is None or not tokens.uses_plan:
        raise CheckFailedError("this app may not use your ChatGPT plan", f"Run: {ENABLE_PLAN}")
    return f"allowed; manage it at {examination.provider.settings.service.usage_page}"


async def _discovery(examination: Examination) -> str:
    await check_discovery(examination.provider.settings, HOST_TIMEOUT)
    return "all addresses are at the sign-in server"


def _same(*names: str) -> dict[str, tuple[tuple[str, ...], Check]]:
    return {name: CHECKS[name] for name in names}


PLAN_CHECKS: dict[str, tuple[tuple[str, ...], Check]] = {
    **_same("versions", "settings", "proxy", "certificates"),
    "cryptography": ((), _library),
    "host id": (("settings",), _host_id),
    **_same("token file", "file mode", "sign-in"),
    "plan use": (("sign-in",), _plan_use),
    **_same("backend", "sign-in server"),
    "discovery": (("sign-in server",), _discovery),
    **_same("clock"),
    "token": (("plan use",), CHECKS["token"][1]),
    **_same("model list", "test request"),
}
