"""What the command ``doctor`` checks, step by step, and what a person can do about each finding.

A step that rests on one that failed is not made, and says so: its failure would only repeat the first.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from ..auth.token_file import TokenFile
from ..errors.kernel import ErrorContext, kernel_error
from ..errors.refusal import Refusal
from ..errors.transport import as_faults
from ..http import new_client
from ..provider import ChatGPTProvider
from ..quota import plan_name, span
from ..settings import LOGIN_COMMAND
from .screens import masked
from .transcript import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from rich.console import Console

REACH_LIMIT = 10.0
CALL_LIMIT = 60.0
LARGEST_SKEW = 120.0
SIGN_IN = f"Run: {LOGIN_COMMAND}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: how it went (``ok`` None: it was not made), what was found, and what to do about it."""

    check: str
    ok: bool | None
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)


class TroubleError(Exception):
    """A check failed: what was found, and what to do."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.found, self.advice = found, advice


class NeededError(Exception):
    """A check cannot be made without an earlier one, which it names."""


@dataclass(slots=True)
class Visit:
    """What the checks share: the provider as this environment configures it, and what was found so far."""

    provider: ChatGPTProvider
    environ: Mapping[str, str]
    findings: dict[str, Finding] = field(default_factory=dict)
    dates: list[str] = field(default_factory=list)

    def require(self, *checks: str) -> None:
        """Raise NeededError for the first of these checks that went wrong."""
        for check in checks:
            finding = self.findings[check]
            if finding.ok is None:
                raise NeededError(finding.found)
            if not finding.ok:
                raise NeededError(f"not checked, because of: {check}")


async def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Make all checks that can be made; none of them changes anything but what any call would."""
    visit = Visit(ChatGPTProvider({"max_retries": 0}), environ)
    try:
        for name, (needs, check) in _CHECKS.items():
            visit.findings[name] = await _make(visit, name, needs, check)
    finally:
        await visit.provider.close()
    return list(visit.findings.values())


async def _make(
    visit: Visit, name: str, needs: tuple[str, ...], check: Callable[[Visit], Awaitable[str]]
) -> Finding:
    try:
        visit.require(*needs)
        return Finding(name, ok=True, found=await check(visit))
    except NeededError as needed:
        return Finding(name, ok=None, found=str(needed))
    except TroubleError as trouble:
        return Finding(name, ok=False, found=trouble.found, advice=trouble.advice)
    except LLMError as error:
        # The sentences of kernel errors say themselves what to do.
        is_sign_in = isinstance(error, AuthenticationError) and not isinstance(error, AccessDeniedError)
        return Finding(name, ok=False, found=str(error), advice=SIGN_IN if is_sign_in else "")


def show_findings(findings: list[Finding], out: Console) -> None:
    """Show a line for each check, with advice under the failed ones, and how it went in all."""
    from rich.text import Text

    marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}
    for finding in findings:
        out.print(Text.assemble(marks[finding.ok], " ", printable(f"{finding.check}: {finding.found}")))
        if finding.advice:
            out.print(Text(printable(f"  → {finding.advice}")))
    failed = sum(finding.ok is False for finding in findings)
    skipped = sum(finding.ok is None for finding in findings)
    left_out = f", {skipped} could not be made" if skipped else ""
    out.print(f"{failed} of {len(findings)} checks failed{left_out}." if failed else "All is well.")


async def _settings(visit: Visit) -> str:
    try:
        visit.provider.check()
    except ConfigurationError as error:
        raise TroubleError(str(error), "Mend or unset the variable it names.") from error
    names = [name for name in sorted(visit.environ) if name.startswith("OPENAI_CHATGPT_")]
    given = ", ".join(name for name in names if visit.environ[name])
    source = f"from {given}" if given else "defaults"
    return f"{source}; what a bundle sets is not seen here"


async def _file(visit: Visit) -> str:
    path = visit.provider.settings.token_file_path
    try:
        TokenFile(path).inspect()
    except FileNotFoundError:
        raise TroubleError(f"{path} is not there: nobody has signed in", SIGN_IN) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TroubleError(
            f"{path} is not used: {reason}", f"Remove it, then run: {LOGIN_COMMAND}"
        ) from error
    return str(path)


async def _mode(visit: Visit) -> str:
    """Reading the file makes it private, but somebody may have read it before."""
    mode = TokenFile(visit.provider.settings.token_file_path).inspect()
    if os.name == "posix" and mode & 0o077:
        raise TroubleError(
            f"others on this machine could read the token file (mode {mode:04o}); it is made private now",
            "If you do not trust them, run: amplifier-openai-chatgpt logout, then sign in again.",
        )
    return f"{mode:04o}"


async def _sign_in(visit: Visit) -> str:
    tokens, status = visit.provider.credentials.peek(), visit.provider.auth_status()
    if tokens is None:
        raise TroubleError("the token file holds no sign-in", SIGN_IN)
    if status != "authenticated":
        raise TroubleError("it has ended and cannot be renewed", SIGN_IN)
    if not tokens.account_id:
        raise TroubleError("the token names no ChatGPT account", SIGN_IN)
    who = " ".join(filter(None, (tokens.email, masked(tokens.account_id))))
    return f"{who}, {plan_name(tokens.plan_type) or 'unknown'} plan"


async def _backend(visit: Visit) -> str:
    return await _reach(visit, visit.provider.settings.base_url, "base_url")


async def _issuer(visit: Visit) -> str:
    return await _reach(visit, visit.provider.settings.auth_url, "auth_url")


async def _reach(visit: Visit, url: str, setting: str) -> str:
    """Any answer at all shows that a host is reached."""
    try:
        with as_faults(silence=REACH_LIMIT):
            async with new_client(connect=REACH_LIMIT, silence=REACH_LIMIT) as client:
                response = await client.get(url)
    except Refusal as refusal:
        context = ErrorContext(service=visit.provider.settings.service, now=time.time())
        advice = str(kernel_error(refusal, context)).replace("base_url", setting)
        raise TroubleError(f"{url} does not answer", advice) from refusal
    if visit.provider.settings.service.response.edge_challenge in response.headers:
        advice = "Try without VPN or proxy, or from another network."
        raise TroubleError(f"Cloudflare keeps this network from {url}", advice)
    visit.dates.append(response.headers.get("date", ""))
    return f"{url} answers"


async def _clock(visit: Visit) -> str:
    skews = [skew for skew in map(_skew, visit.dates) if skew is not None]
    if not skews:
        raise NeededError("not checked, because no server told the time")
    skew = min(skews, key=abs)
    if abs(skew) > LARGEST_SKEW:
        found = f"this machine's clock is {span(abs(skew))} {'ahead' if skew > 0 else 'behind'}"
        raise TroubleError(found, "Set it: tokens and certificates expire by the clock.")
    return "right"


def _skew(date: str) -> float | None:
    """Seconds by which our clock is ahead of a server's."""
    try:
        return time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return None


async def _token(visit: Visit) -> str:
    """Renew the token where that is due; only then the issuer is needed."""
    tokens = visit.provider.credentials.peek()
    if tokens is None or tokens.is_due(datetime.now(UTC)):
        visit.require("issuer")
    tokens = await visit.provider.credentials.current()
    left = (tokens.expires_at - datetime.now(UTC)).total_seconds() if tokens.expires_at else None
    holds = f"by its date it holds for {span(left)}" if left else "it holds"
    return f"{holds}, {'renews itself' if tokens.can_refresh else 'cannot be renewed'}"


async def _catalogue(visit: Visit) -> str:
    catalogue = visit.provider.catalogue
    models = await catalogue.list()
    if catalogue.problem is not None:
        raise catalogue.problem
    if catalogue.source == "live":
        return f"{len(models)} models, the first is {models[0].slug}"
    raise TroubleError("the backend's list names no model", "Try again later; calls may work all the same.")


async def _small_call(visit: Visit) -> str:
    began = time.monotonic()
    request = ChatRequest(
        messages=[Message(role="user", content="Answer with the word: ready")], timeout=CALL_LIMIT
    )
    response = await visit.provider.complete(request, extended_thinking=False)
    tokens = response.usage.total_tokens if response.usage else 0
    seconds = time.monotonic() - began
    return f"{visit.provider.default_model} answered in {seconds:.1f} s with {tokens} tokens"


_SIGNED_IN = ("sign-in", "token", "backend")
_CHECKS: dict[str, tuple[tuple[str, ...], Callable[[Visit], Awaitable[str]]]] = {
    "settings": ((), _settings),
    "token file": (("settings",), _file),
    "file mode": (("token file",), _mode),
    "sign-in": (("token file",), _sign_in),
    "backend": (("settings",), _backend),
    "issuer": (("settings",), _issuer),
    "clock": (("settings",), _clock),
    "token": (("sign-in",), _token),
    "catalogue": (_SIGNED_IN, _catalogue),
    "small call": (_SIGNED_IN, _small_call),
}
