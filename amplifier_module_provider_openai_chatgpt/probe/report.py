"""The report of a run for an issue: Markdown, with the shapes as JSON; nothing in it is about the person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..http import DISTRIBUTION, release
from ..redaction import without_secrets
from .claim import VERDICTS, Run
from .rows import estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .claim import Claim, Result

_LONGEST_SHAPE = 4_000
# What would end the block, or mention a person, as JSON writes it.
_IN_JSON = str.maketrans({char: f"\\u{ord(char):04x}" for char in "`<@"})
_MARKUP = frozenset("\\`*_[]()!#|<>~")
DOCUMENTS = {"chatgpt_codex": "docs/backend.md", "chatgpt_plan": "docs/backend-plan.md"}


def markdown(run: Run, day: str) -> str:
    """Return the whole report; ``day`` is the date of the run in ISO 8601."""
    counts = ", ".join(f"{run.count(verdict)} {verdict}" for verdict in VERDICTS if run.count(verdict))
    stopped = f"\nStopped early: {_plain(run.stopped)}.\n" if run.stopped else ""
    rows = "\n".join(_row(result, run.service) for result in run.results)
    text = (
        f"# Probe of {run.service}\n\n"
        f"{DISTRIBUTION} {release()}, {day}: {counts or 'nothing checked'}; "
        f"{run.requests} requests, about {run.tokens:,} tokens.\n{stopped}\n"
        f"| verdict | claim | found | section |\n|---|---|---|---|\n{rows}\n\n"
        f"<details><summary>Shapes</summary>\n\n```json\n{as_json(run, day)}\n```\n\n</details>\n"
    )
    text = without_secrets(text)
    for home in {str(Path.home()), str(Path.home().resolve())} - {"/"}:
        text = text.replace(home, "~")
    return text


def _row(result: Result, service: str) -> str:
    claim, finding = result.claim, result.finding
    section = f"{DOCUMENTS[service]}, {claim.sections[service]}"
    cells = (finding.verdict, f"`{claim.id}` {claim.text}", _plain(finding.found), section)
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Escape what would end a cell, or become a mention, a link, a picture or markup in an issue."""
    escaped = "".join(f"\\{char}" if char in _MARKUP else char for char in text if char.isprintable())
    return escaped.replace("@", "@\u200b").replace("://", ":\u200b//")


def as_json(run: Run, day: str) -> str:
    """Return the shapes of a run as JSON, a line for each claim; an equal shape is there once."""
    head = {key: value for key, value in to_dict(run, day).items() if key != "results"}
    lines = [f'"run": {json.dumps(head)}', *_shapes(run)]
    text = "{\n" + ",\n".join(lines) + "\n}"
    return without_secrets(text).translate(_IN_JSON)


def _shapes(run: Run) -> Iterator[str]:
    first: dict[str, str] = {}
    for result in run.results:
        shape, name = json.dumps(result.finding.shape), result.claim.id
        if result.claim.check is None or (result.finding.shape is None and not result.seconds):
            continue
        known = first.setdefault(shape, name)
        if known != name and shape != "null":
            shape = json.dumps({"same_as": known})
        if len(shape) > _LONGEST_SHAPE:
            shape = json.dumps(f"too large to show: {len(shape)} characters")
        found = f'"verdict": "{result.finding.verdict}", "seconds": {result.seconds:.1f}'
        yield f'{json.dumps(name)}: {{{found}, "shape": {shape}}}'


def to_dict(run: Run, day: str) -> dict[str, object]:
    """JSON-safe form of a run."""
    return {
        "service": run.service,
        "version": release(),
        "date": day,
        "requests": run.requests,
        "tokens": run.tokens,
        "stopped": run.stopped or None,
        "results": [result.to_dict() for result in run.results],
    }


def claims_table(claims: Sequence[Claim], service: str) -> str:
    """Return the table of claims of a document, in Markdown."""
    lines = [
        "| claim | section | request | expected | requests, tokens | last confirmed live |",
        "|---|---|---|---|---|---|",
    ]
    for claim in claims:
        section = claim.sections[service]
        link = f"[{section}](#{section.lower().replace(' ', '-')})"
        sends, expects = (claim.sends, claim.expects) if claim.check else ("not checked", claim.why_not)
        cost = f"{claim.requests}, {claim.tokens:,}" if claim.check else "–"
        cells = (f"`{claim.id}`: {claim.text}", link, sends, expects, cost, claim.confirmed)
        lines.append(f"| {' | '.join(cells)} |")
    requests, tokens = estimate(claims)
    return "\n".join(lines) + f"\n\nA whole run: about {requests} requests and {tokens:,} tokens.\n"
