"""The command ``doctor``: its checks, and how to fix what fails.

A check that depends on a failed one is skipped: its failure would only repeat the first.
"""

from __future__ import annotations

import os
import stat
import textwrap
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from ..drift import drift, sentence
from ..errors.kernel import ErrorContext, kernel_error
from ..errors.refusal import Refusal
from ..errors.transport import as_faults
from ..http import new_client
from ..http.certificates import tls_context
from ..http.failures import NetworkSettingFailure
from ..http.proxies import Proxies
from ..quota import plan_name, span
from ..settings import LOGIN_COMMAND, Settings, read_settings
from .console import error_text, printable
from .environment import (
    anonymous,
    certificate_variables,
    changed_settings,
    effective_settings,
    proxy_variables,
    versions,
)
from .screens import expiry_phrase, masked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from rich.console import Console
    from rich.text import Text

    from ..provider import ChatGPTProvider

# Seconds.
HOST_TIMEOUT = 10.0
REQUEST_TIMEOUT = 60.0
MAX_CLOCK_SKEW = 120.0
# A check must not hide a failure that a retry ends.
OWN_SETTINGS = {"max_retries": 0}
LOGIN_ADVICE = f"Run: {LOGIN_COMMAND}"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: ``ok`` (None if skipped), what was found, and how to fix it."""

    check: str
    ok: bool | None
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)


class CheckFailedError(Exception):
    """A check failed: what was found, and how to fix it."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


class CheckSkippedError(Exception):
    """A check cannot run; the text is the reason."""


@dataclass(slots=True)
class Examination:
    """What the checks share: the provider that the environment configures, and the findings so far.

    ``dates`` are the ``Date`` headers of servers that answered; ``file_mode`` is that of the token file.
    """

    provider: ChatGPTProvider
    environ: Mapping[str, str]
    findings: dict[str, Finding] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)
    file_mode: int = 0

    def require(self, *checks: str) -> None:
        """Raise CheckSkippedError for the first of these checks that failed or was skipped."""
        for check in checks:
            finding = self.findings[check]
            if finding.ok is None:
                raise CheckSkippedError(finding.found)
            if not finding.ok:
                raise CheckSkippedError(f"skipped (depends on: {check})")


async def run_checks(provider: ChatGPTProvider, environ: Mapping[str, str]) -> Examination:
    """Run all checks that can run; they change nothing that an ordinary call would not change."""
    examination = Examination(provider, environ)
    try:
        for name, (required, check) in _CHECKS.items():
            examination.findings[name] = await _run_check(examination, name, required, check)
        if drift:
            examination.findings["news"] = _news()
    finally:
        await examination.provider.close()
    return examination


async def _run_check(
    examination: Examination,
    name: str,
    required: tuple[str, ...],
    check: Callable[[Examination], Awaitable[str]],
) -> Finding:
    try:
        examination.require(*required)
        return Finding(name, ok=True, found=await check(examination))
    except CheckSkippedError as skipped:
        return Finding(name, ok=None, found=str(skipped))
    except CheckFailedError as failed:
        return Finding(name, ok=False, found=failed.found, advice=failed.advice)
    except LLMError as error:
        return Finding(name, ok=False, found=error_text(error), advice=_advice(error))


def _news() -> Finding:
    """What the backend sent that this version does not know: not a failure, and worth a report."""
    advice = "Calls go on. Update this provider, or report this line."
    return Finding("news", ok=True, found=f"the backend sent unknown {sentence()}", advice=advice)


def _advice(error: LLMError) -> str:
    """Return the command to run if the sign-in failed and the error's own sentence does not name it."""
    is_sign_in = isinstance(error, AuthenticationError) and not isinstance(error, AccessDeniedError)
    return LOGIN_ADVICE if is_sign_in and LOGIN_COMMAND not in str(error) else ""


def show_findings(findings: list[Finding], out: Console) -> None:
    """Print a line for each check, advice under the failed ones, and a summary."""
    from rich.text import Text

    marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}
    for finding in findings:
        _print_indented(out, Text.assemble(marks[finding.ok], " "), f"{finding.check}: {finding.found}")
        if finding.advice:
            _print_indented(out, Text("  → "), finding.advice)
    out.print(_summary(findings))


def _summary(findings: list[Finding]) -> str:
    """Return the last line; only without a failed check, which is exit code 0, all is well."""
    failed = sum(finding.ok is False for finding in findings)
    skipped = sum(finding.ok is None for finding in findings)
    summary = f"{failed} of {len(findings)} checks failed" if failed else "All checks passed"
    return f"{summary}, {skipped} skipped." if skipped else f"{summary}."


def report(examination: Examination) -> str:
    """Return the findings and all settings as Markdown for an issue, without anything that is private."""
    words = {True: "ok", False: "FAILED", None: "skipped"}
    lines = [f"{words[f.ok]:<8}{f.check}: {f.found}" for f in examination.findings.values()]
    lines += ["", "settings (bundles may set others):"]
    found = effective_settings(_configured(examination), examination.environ)
    lines += [f"  {name} = {value} ({source})" for name, value, source in found]
    tokens = examination.provider.credentials.peek()
    private = [tokens.account_id.reveal(), masked(tokens.account_id) or "", tokens.email] if tokens else []
    text = anonymous("\n".join(lines), *private)
    return f"```text\n{printable(text)}\n```"


def _print_indented(out: Console, label: Text, text: str) -> None:
    """Print a text after its label and align wrapped lines with the first; a path is never broken."""
    from rich.text import Text

    indent = Text(" " * len(label))
    width = max(1, out.width - len(label))
    for line in textwrap.wrap(printable(text), width, break_long_words=False, break_on_hyphens=False):
        out.print(label + Text(line), soft_wrap=True)
        label = indent


async def _check_settings(examination: Examination) -> str:
    try:
        examination.provider.check()
    except ConfigurationError as error:
        raise CheckFailedError(str(error), "Fix or unset the variable it names.") from error
    found = changed_settings(_configured(examination), examination.environ)
    return f"{found} (settings of a bundle are not visible here)"


def _configured(examination: Examination) -> Settings:
    """Return the settings without the one that only this command changes: it sends everything once."""
    settings = examination.provider.settings
    own = frozenset(OWN_SETTINGS)
    return replace(settings, given=settings.given - own, max_retries=read_settings({}, {}).max_retries)


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
        raise CheckFailedError(f"{path} does not exist: not signed in", LOGIN_ADVICE)
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
            "If you do not trust them, run: amplifier-openai-chatgpt logout, then sign in again.",
        )
    return f"{mode:04o}"


async def _sign_in(examination: Examination) -> str:
    tokens, status = examination.provider.credentials.peek(), examination.provider.auth_status()
    if tokens is None:
        raise CheckFailedError("the token file contains no sign-in", LOGIN_ADVICE)
    if status != "authenticated":
        raise CheckFailedError("the sign-in has expired and cannot be renewed", LOGIN_ADVICE)
    if not tokens.account_id:
        raise CheckFailedError("the token names no ChatGPT account", LOGIN_ADVICE)
    who = " ".join(filter(None, (tokens.email, masked(tokens.account_id))))
    return f"{who}, {plan_name(tokens.plan_type) or 'unknown'} plan"


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


_NEEDED_FOR_CALLS = ("sign-in", "token", "backend")
_CHECKS: dict[str, tuple[tuple[str, ...], Callable[[Examination], Awaitable[str]]]] = {
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
