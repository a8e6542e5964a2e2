"""The command ``doctor``: runs its checks and shows what each found, and how to fix what fails.

A check that depends on a failed one is skipped: its failure would only repeat the first.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, LLMError

from ..drift import drift, sentence
from ..services import CHATGPT_PLAN
from ..settings import LOGIN_COMMAND
from .accounts import for_this_account
from .checks import CHECKS, Check
from .console import error_text, printable
from .environment import anonymous, effective_settings
from .examination import CheckFailedError, CheckSkippedError, Examination, Finding, configured
from .status import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.text import Text

    from ..provider import ChatGPTProvider


async def run_checks(provider: ChatGPTProvider, environ: Mapping[str, str]) -> Examination:
    """Run all checks that can run; they change nothing that an ordinary call would not change."""
    examination = Examination(provider, environ)
    try:
        for name, (required, check) in _checks(provider).items():
            examination.findings[name] = await _run_check(examination, name, required, check)
        if drift:
            examination.findings["news"] = _news()
    finally:
        await examination.provider.close()
    return examination


def _checks(provider: ChatGPTProvider) -> Mapping[str, tuple[tuple[str, ...], Check]]:
    if provider.settings.auth_mode != CHATGPT_PLAN.name:
        return CHECKS
    from .plan_checks import PLAN_CHECKS

    return PLAN_CHECKS


async def _run_check(
    examination: Examination,
    name: str,
    required: tuple[str, ...],
    check: Check,
) -> Finding:
    try:
        examination.require(*required)
        return Finding(name, ok=True, found=await check(examination))
    except CheckSkippedError as skipped:
        return Finding(name, ok=None, found=str(skipped))
    except CheckFailedError as failed:
        return Finding(name, ok=False, found=failed.found, advice=for_this_account(failed.advice))
    except LLMError as error:
        return Finding(name, ok=False, found=error_text(error), advice=_advice(examination, error))


def _news() -> Finding:
    """What the backend sent that this version does not know: not a failure, and worth a report."""
    advice = "Calls go on. Update this provider, or report this line."
    return Finding("news", ok=True, found=f"the backend sent unknown {sentence()}", advice=advice)


def _advice(examination: Examination, error: LLMError) -> str:
    """Return the command to run if the sign-in failed and the error's own sentence does not name it."""
    is_sign_in = isinstance(error, AuthenticationError) and not isinstance(error, AccessDeniedError)
    if not is_sign_in or LOGIN_COMMAND in str(error):
        return ""
    return for_this_account(examination.login_advice)


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
    found = effective_settings(configured(examination), examination.environ)
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
