"""What the command ``doctor`` checks, step by step, and what a person can do about each finding."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from .http import new_client
from .provider import ChatGPTProvider
from .screens import masked
from .settings import LOGIN_COMMAND
from .wire.errors import Phase, translated
from .wire.quota import plan_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from rich.console import Console

    from .settings import Settings

LIMIT = 10.0
LARGEST_SKEW = 120.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``ok``, what was found, and what to do where it is not."""

    check: str
    ok: bool
    found: str
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)


async def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Run all checks; one that cannot be made without an earlier one is left out."""
    provider = ChatGPTProvider()
    findings = [_check_settings(provider, environ)]
    if not findings[0].ok:
        return findings
    settings = provider.settings
    findings += [_check_file(settings), _check_sign_in(provider)]
    for name, url in (("backend", settings.base_url), ("issuer", settings.auth_url)):
        findings.append(await _check_host(name, url))
    if all(finding.ok for finding in findings):
        findings.append(await _check("renewal", _renewal(provider)))
        findings.append(await _check("catalogue", _catalogue(provider)))
        findings.append(await _check("a small call", _small_call(provider)))
    await provider.close()
    return findings


def show_findings(findings: list[Finding], out: Console) -> None:
    """Show a line for each check, with advice under the failed ones."""
    for finding in findings:
        mark, style = ("✓", "green") if finding.ok else ("✗", "red")
        out.print(mark, style=style, end=" ")
        out.print(f"{finding.check}: {finding.found}", markup=False, soft_wrap=True)
        if finding.advice:
            out.print(f"  → {finding.advice}", markup=False, soft_wrap=True)


def _check_settings(provider: ChatGPTProvider, environ: Mapping[str, str]) -> Finding:
    try:
        provider.check()
    except ConfigurationError as error:
        return Finding("settings", ok=False, found=str(error), advice="Mend or unset the variable it names.")
    names = sorted(name for name in environ if name.startswith("OPENAI_CHATGPT_") and environ[name])
    return Finding("settings", ok=True, found=f"from {', '.join(names)}" if names else "defaults")


def _check_file(settings: Settings) -> Finding:
    path = settings.token_file_path
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("token file", ok=False, found=f"{path} is not there", advice=f"Run: {LOGIN_COMMAND}")
    except OSError as error:
        return Finding("token file", ok=False, found=f"{path}: {error.strerror}", advice="Make it readable.")
    return Finding("token file", ok=True, found=f"{path}, mode {mode:04o}")


def _check_sign_in(provider: ChatGPTProvider) -> Finding:
    tokens, status = provider.credentials.peek(), provider.auth_status()
    if tokens is None or status != "authenticated":
        return Finding("sign-in", ok=False, found=status, advice=f"Run: {LOGIN_COMMAND}")
    if not tokens.account_id:
        return Finding(
            "sign-in", ok=False, found="the token names no account", advice=f"Run: {LOGIN_COMMAND}"
        )
    who = " ".join(filter(None, (tokens.email, masked(tokens.account_id))))
    return Finding("sign-in", ok=True, found=f"{who}, {plan_name(tokens.plan_type)} plan")


async def _check_host(name: str, url: str) -> Finding:
    """Any answer at all shows that the host is reached; its clock is compared with ours."""
    try:
        with translated(None, Phase.CONNECTING, silence=LIMIT):
            async with new_client(connect=LIMIT, silence=LIMIT) as client:
                response = await client.get(url)
    except LLMError as error:
        return Finding(
            f"reach the {name}", ok=False, found=str(error), advice="Check network, proxy and VPN."
        )
    if "cf-mitigated" in response.headers:
        advice = "Try without VPN or proxy, or from another network."
        return Finding(f"reach the {name}", ok=False, found="blocked by Cloudflare", advice=advice)
    skew = _skew(response.headers.get("date"))
    if abs(skew) > LARGEST_SKEW:
        found = f"this machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        return Finding(
            f"reach the {name}", ok=False, found=found, advice="Set the clock: tokens expire by it."
        )
    return Finding(f"reach the {name}", ok=True, found=f"{url} answers")


def _skew(date: str | None) -> float:
    """Seconds by which our clock is ahead of a server's; 0 where it does not tell."""
    try:
        return time.time() - parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return 0.0


async def _check(name: str, work: Awaitable[str]) -> Finding:
    try:
        return Finding(name, ok=True, found=await work)
    except AuthenticationError as error:
        return Finding(name, ok=False, found=str(error), advice=f"Run: {LOGIN_COMMAND}")
    except LLMError as error:
        advice = "Try again in a moment." if error.retryable else ""
        return Finding(name, ok=False, found=str(error), advice=advice)


async def _renewal(provider: ChatGPTProvider) -> str:
    tokens = await provider.credentials.current()
    return "the token holds" + (" and can be renewed" if tokens.can_refresh else ", but cannot be renewed")


async def _catalogue(provider: ChatGPTProvider) -> str:
    models = await provider.catalogue.list()
    if provider.catalogue.source != "live":
        return f"the backend gave no list; {len(models)} models are known from before"
    return f"{len(models)} models, the first is {models[0].slug}"


async def _small_call(provider: ChatGPTProvider) -> str:
    began = time.monotonic()
    request = ChatRequest(messages=[Message(role="user", content="Answer with the word: ready")])
    response = await provider.complete(request, extended_thinking=False)
    tokens = response.usage.total_tokens if response.usage else 0
    return f"answered in {time.monotonic() - began:.1f} s with {tokens} tokens"
