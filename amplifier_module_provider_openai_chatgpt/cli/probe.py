"""The command ``probe``: what it costs, what it shows while it runs, and the report it writes."""

from __future__ import annotations

import textwrap
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import replace, staged
from ..probe.claim import VERDICTS, Finding, Result, Run
from ..probe.report import DOCUMENTS, markdown, to_dict
from ..probe.rows import claims_of, estimate, unknown_names
from ..probe.runner import STOPPED, run_claims
from ..probe.session import Session
from ..services import CHATGPT_PLAN
from .console import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from ..probe.claim import Claim, Verdict
    from ..provider import ChatGPTProvider

_MARKS: dict[Verdict, tuple[str, str]] = {
    "confirmed": ("✓", "green"),
    "refuted": ("✗", "red"),
    "unclear": ("?", "yellow"),
    "not checked": ("–", "dim"),
}
_INTERRUPTED = "you interrupted it"
_SHORTEST = 20


class UnknownClaimError(ValueError):
    """A name that is neither a claim nor a group; the text is a sentence."""


class Probe:
    """One use of the command: the chosen claims, the run, and where its report goes."""

    def __init__(self, provider: ChatGPTProvider, only: Sequence[str], report: str | None) -> None:
        """``only`` are claims or groups; all if empty. Raises UnknownClaimError."""
        service = provider.settings.service.name
        if unknown := unknown_names(service, only):
            raise UnknownClaimError(
                f"There is no claim {unknown[0]!r} about {service}: "
                f"probe{_mode(service)} --list shows their names."
            )
        self._provider = provider
        self._claims = claims_of(service, only)
        self._run = Run(service)
        self._report = Path(report) if report else None

    @property
    def cost(self) -> str:
        """What a run sends, for the question."""
        requests, tokens = estimate(self._claims)
        return (
            f"This sends about {_counted(requests, 'small request')} to {self._provider.settings.base_url} "
            f"and uses about {tokens:,} tokens of your plan. Nothing of yours is in them."
        )

    @property
    def is_clean(self) -> bool:
        """True if the run was complete and refuted nothing."""
        return not (self._run.stopped or self._run.count("refuted"))

    def show_claims(self, out: Console) -> None:
        """Print what each claim says, what is sent, what is expected, and what it costs."""
        for claim in self._claims:
            place = f"{DOCUMENTS[self._run.service]}, {claim.sections[self._run.service]}"
            out.print(f"[bold]{claim.id}[/bold]  {place}", soft_wrap=True)
            _print_lines(out, "  ", claim.text)
            _print_lines(out, "  ", _cost_of(claim))

    def show_cost(self, out: Console) -> None:
        """Print what would be checked, one line for each claim."""
        checked = [claim for claim in self._claims if claim.check is not None]
        for claim in checked:
            cost = f"{_requests_of(claim):<16} {claim.tokens:>6,} tokens"
            out.print(f"{claim.id:<{_width(checked)}}  {cost}", markup=False, soft_wrap=True)
        requests, tokens = estimate(self._claims)
        out.print(f"\nAbout {_counted(requests, 'request')} and {tokens:,} tokens in all; nothing was sent.")

    async def prepare(self) -> None:
        """Make sure that requests and the report can be made. Raises kernel errors and OSError."""
        if self._report is not None:
            with staged(self._report, b""):
                pass  # an older report stays until there is a new one
        await self._provider.credentials.current()
        await self._provider.close()

    async def run(self, out: Console | None) -> None:
        """Check the claims, each shown on ``out`` when done; even after Ctrl-C there is a row for each."""
        session = Session(self._provider, expected_tokens=estimate(self._claims)[1])
        screen = _Rows(self._claims, out) if out else None
        try:
            with screen.progress() if screen else nullcontext():
                show = screen.show if screen else _nothing
                await run_claims(session, self._claims, self._run, show)
        finally:
            self._fill()
            self._write()
            with suppress(OSError):
                await session.close()
            await self._provider.close()

    def _fill(self) -> None:
        """Add the rows that the run did not reach."""
        missing = self._claims[len(self._run.results) :]
        if missing and not self._run.stopped:
            self._run.stopped = _INTERRUPTED
        reason = STOPPED + self._run.stopped
        self._run.results += [
            Result(claim, Finding("not checked", claim.why_not or reason)) for claim in missing
        ]

    def _write(self) -> None:
        if self._report is not None:
            replace(self._report, markdown(self._run, _today()).encode())

    def to_dict(self) -> dict[str, object]:
        """JSON-safe form."""
        return to_dict(self._run, _today())

    def show_summary(self, out: Console) -> None:
        """Print the counts, why the run ended early, and what to do next."""
        run, never = self._run, sum(result.claim.check is None for result in self._run.results)
        counts = {verdict: run.count(verdict) for verdict in VERDICTS}
        counts["not checked"] -= never
        shown = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        lines = [
            f"{shown or 'Nothing was checked'}; {_counted(run.requests, 'request')}, {run.tokens:,} tokens."
        ]
        if never:
            lines.append(f"{never} more are never checked; probe{_mode(run.service)} --list says why.")
        if run.stopped:
            lines.append(f"The run was stopped: {run.stopped.removesuffix('.')}.")
        if self._report is not None:
            lines.append(f"Report: {self._report}")
        elif counts["refuted"]:
            lines.append("To report this, run it with --report FILE and paste the file into an issue.")
        out.print()
        for line in lines:
            _print_lines(out, "", line)


class _Rows:
    """Prints each row when it is done; rows that are never checked, or not any more, are not shown."""

    def __init__(self, claims: Sequence[Claim], out: Console) -> None:
        checked = [claim for claim in claims if claim.check is not None]
        self._out, self._width, self._total = out, _width(checked), len(checked)
        self._done = 0
        self._update: Callable[[str], None] = _nothing

    def progress(self) -> AbstractContextManager[object]:
        """Show on a terminal how many rows are done, while the block runs."""
        if not self._out.is_terminal:
            return nullcontext()
        status = self._out.status(self._text())
        self._update = status.update
        return status

    def _text(self) -> str:
        return f"Checking {min(self._done + 1, self._total)} of {self._total} …"

    def show(self, result: Result) -> None:
        """Print a row."""
        if result.claim.check is not None and not result.finding.found.startswith(STOPPED):
            self._done += 1
            _show_row(result, self._width, self._out)
            self._update(self._text())


def _nothing(_: object) -> None:
    """Show nothing."""


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _width(claims: Sequence[Claim]) -> int:
    return max((len(claim.id) for claim in claims), default=0)


def _mode(service: str) -> str:
    return " --plan" if service == CHATGPT_PLAN.name else ""


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _requests_of(claim: Claim) -> str:
    """Say what a claim sends; only those about the sign-in do without any request."""
    if claim.requests:
        return _counted(claim.requests, "request")
    return "no request" if claim.group == "sign-in" else "a shared request"


def _cost_of(claim: Claim) -> str:
    if claim.check is None:
        return f"Never checked: {claim.why_not}."
    requests = _requests_of(claim)
    cost = f"{requests}, about {claim.tokens:,} tokens" if claim.tokens else requests
    return f"Sends {claim.sends}; expects {claim.expects}. Cost: {cost}."


def _show_row(result: Result, width: int, out: Console) -> None:
    """Print a confirmed claim in one line, and what differs in full."""
    from rich.text import Text

    verdict, found = result.finding.verdict, printable(result.finding.found)
    mark, style = _MARKS[verdict]
    label = Text.assemble((mark, style), f" {result.claim.id:<{width}}  ")
    if verdict != "confirmed":
        out.print(label + Text(verdict), soft_wrap=True)
        _print_lines(out, "    ", result.claim.text)
        _print_lines(out, "    ", f"Found: {found}")
        return
    room = max(_SHORTEST, out.width - len(label))
    out.print(label + Text(found if len(found) <= room else found[: room - 1] + "…"), soft_wrap=True)


def _print_lines(out: Console, indent: str, text: str) -> None:
    width = max(_SHORTEST, out.width - len(indent))
    for line in textwrap.wrap(printable(text), width, break_long_words=False, break_on_hyphens=False):
        out.print(indent + line, markup=False, soft_wrap=True)
