"""The checks of ``doctor``, in order, and on which others each depends."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from amplifier_core.llm_errors import ConfigurationError
from amplifier_core.message_models import ChatRequest, Message

from ..errors.kernel import ErrorContext, kernel_error
from ..errors.refusal import Refusal
from ..errors.transport import as_faults
from ..http import new_client
from ..http.certificates import tls_context
from ..http.failures import NetworkSettingFailure
from ..http.proxies import Proxies
from ..quota.words import plan_name, span
from .environment import certificate_variables, changed_settings, proxy_variables, versions
from .examination import CheckFailedError, CheckSkippedError, Examination, configured
from .status import expiry_phrase, masked

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds.
HOST_TIMEOUT = 10.0
REQUEST_TIMEOUT = 60.0
MAX_CLOCK_SKEW = 120.0


async def _check_settings(examination: Examination) -> str:
    try:
        examination.provider.check()
    except ConfigurationError as error:
        raise CheckFailedError(str(error), "Fix or unset the variable it names.") from error
    found = changed_settings(configured(examination), examination.environ)
    return f"{found} (settings of a bundle are not visible here)"


async def _versions(_: Examination) -> str:
    return versions()


def _hosts(examination: Examination) -> list[tuple[str, int]]:
    """Return host and port of the servers that are reached over https."""
    settings = examination.provider.settings
    addresses = map(urlsplit, (settings.base_url, settings.auth_url))
    return [(parts.hostname or "", parts.port or 443) for parts in addresses if parts.scheme == "https"]


@contextmanager
def _network_setting(*, is_used: bool) -> Iterator[None]:
    """Report a bad variable: as a failure if a server is reached with it."""
    try:
        yield
    except NetworkSettingFailure as failure:
        if not is_used:
            raise CheckSkippedError(f"skipped ({failure}; not used for these servers)") from failure
        raise CheckFailedError(f"{failure}. Correct or unset the variable.", "") from failure


async def _proxy(examination: Examination) -> str:
    proxies = Proxies.from_environment()
    setting, variables = proxies.https, proxy_variables(examination.environ)
    if setting is None:
        return f"none ({variables})" if variables else "none"
    with _network_setting(is_used=any(proxies.for_host(*host) for host in _hosts(examination))):
        setting.url()
    return variables or "from the system's settings"


async def _certificates(examination: Examination) -> str:
    with _network_setting(is_used=bool(_hosts(examination))):
        tls_context()
    return certificate_variables(examination.environ) or "the system's and certifi's"


async def _token_file(examination: Examination) -> str:
    credentials = examination.provider.credentials
    path = credentials.place
    examination.file_mode = _mode_of(path)
    if (problem := credentials.problem()) is not None:
        raise CheckFailedError(f"{path} is not used: {problem.why}", problem.advice)
    if credentials.peek() is None:
        found = "contains no sign-in" if examination.file_mode else "does not exist: not signed in"
        raise CheckFailedError(f"{path} {found}", examination.login_advice)
    return path


def _mode_of(path: str) -> int:
    try:
        return stat.S_IMODE(Path(path).lstat().st_mode)
    except OSError:
        return 0


async def _file_mode(examination: Examination) -> str:
    """Reading the file corrects its mode, but others may have read it before."""
    mode = examination.file_mode
    if os.name == "posix" and mode & 0o077:
        raise CheckFailedError(
            f"other users could read the token file (mode {mode:04o}); its mode is corrected where possible",
            f"If you do not trust them, run: {_logout(examination)}, then sign in again.",
        )
    return f"{mode:04o}"


def _logout(examination: Examination) -> str:
    return examination.provider.settings.service.login.replace(" login", " logout")


async def _sign_in(examination: Examination) -> str:
    tokens, status = examination.provider.credentials.peek(), examination.provider.auth_status()
    if tokens is None:
        raise CheckFailedError("the token file contains no sign-in", examination.login_advice)
    if status != "authenticated":
        raise CheckFailedError("the sign-in has expired and cannot be renewed", examination.login_advice)
    if not tokens.account_id:
        raise CheckFailedError("the token names no ChatGPT account", examination.login_advice)
    who = " ".join(filter(None, (tokens.email, masked(tokens.account_id))))
    plan = plan_name(tokens.plan_type)
    return f"{who}, {plan} plan" if plan else who


async def _backend(examination: Examination) -> str:
    return await _check_host(examination, examination.provider.settings.base_url, "base_url")


async def _sign_in_server(examination: Examination) -> str:
    return await _check_host(examination, examination.provider.settings.auth_url, "auth_url")


async def _check_host(examination: Examination, url: str, setting: str) -> str:
    """Any answer shows that the host can be reached."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        examination.require("certificates")
        if Proxies.from_environment().for_host(parts.hostname or "", parts.port or 443):
            examination.require("proxy")
    try:
        with as_faults(silence=HOST_TIMEOUT):
            async with (
                new_client(connect=HOST_TIMEOUT, silence=HOST_TIMEOUT) as client,
                client.stream("GET", url) as response,
            ):
                pass  # its head says enough
    except Refusal as refusal:
        context = ErrorContext(service=examination.provider.settings.service, now=time.time())
        advice = str(kernel_error(refusal, context)).replace("base_url", setting)
        raise CheckFailedError(f"{url} does not answer", advice) from refusal
    if examination.provider.settings.service.response.edge_challenge in response.headers:
        advice = "Try without VPN or proxy, or from another network."
        raise CheckFailedError(f"Cloudflare blocks this network from {url}", advice)
    examination.dates.append(response.headers.get("date", ""))
    return f"{url} answers"


async def _clock(examination: Examination) -> str:
    skews = [skew for skew in map(_skew, examination.dates) if skew is not None]
    if not skews:
        raise CheckSkippedError("skipped (no server sent the time)")
    skew = min(skews, key=abs)
    if abs(skew) > MAX_CLOCK_SKEW:
        found = f"this machine's clock is {span(abs(skew))} {'ahead' if skew > 0 else 'behind'}"
        raise CheckFailedError(
            found, "Set the clock: otherwise tokens and certificates look expired, or not yet valid."
        )
    return "in sync"


def _skew(date: str) -> float | None:
    """Return how many seconds this machine's clock is ahead of a server's."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


async def _token(examination: Examination) -> str:
    """Renew the token if it is due; only then must the sign-in server answer."""
    tokens = examination.provider.credentials.peek()
    if tokens is None or tokens.is_due(datetime.now(UTC)):
        examination.require("sign-in server")
    return expiry_phrase(await examination.provider.credentials.current())


async def _model_list(examination: Examination) -> str:
    catalogue = examination.provider.catalogue
    models = await catalogue.list()
    if catalogue.problem is not None:
        raise catalogue.problem
    if catalogue.source == "live":
        return f"{len(models)} models, first: {models[0].slug}"
    raise CheckFailedError("the backend's list is empty", "Try again later; calls may still work.")


async def _test_request(examination: Examination) -> str:
    started = time.monotonic()
    request = ChatRequest(
        messages=[Message(role="user", content="Answer with the word: ready")], timeout=REQUEST_TIMEOUT
    )
    response = await examination.provider.complete(request, extended_thinking=False)
    tokens = response.usage.total_tokens if response.usage else 0
    seconds = time.monotonic() - started
    return f"{examination.provider.get_model_info().id} answered in {seconds:.1f} s with {tokens} tokens"


Check = Callable[[Examination], Awaitable[str]]
_NEEDED_FOR_CALLS = ("sign-in", "token", "backend")
CHECKS: dict[str, tuple[tuple[str, ...], Check]] = {
    "versions": ((), _versions),
    "settings": ((), _check_settings),
    "proxy": ((), _proxy),
    "certificates": ((), _certificates),
    "token file": (("settings",), _token_file),
    "file mode": (("token file",), _file_mode),
    "sign-in": (("token file",), _sign_in),
    "backend": (("settings",), _backend),
    "sign-in server": (("settings",), _sign_in_server),
    "clock": (("settings",), _clock),
    "token": (("sign-in",), _token),
    "model list": (_NEEDED_FOR_CALLS, _model_list),
    "test request": (_NEEDED_FOR_CALLS, _test_request),
}
