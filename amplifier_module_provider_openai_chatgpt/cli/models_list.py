"""The command ``models``: what it reads and how it shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..models.model import FAST_SUFFIX, FAST_TIER
from ..quota.words import span
from .console import fits, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from ..models.cache import Source
    from ..models.model import Model
    from ..provider import ChatGPTProvider

_HEADERS = ("id", "window", "efforts", "tiers", "input")
_TIER_LABELS = {FAST_TIER: "fast"}


@dataclass(frozen=True, slots=True)
class ModelsFound:
    """The models and where the list came from; ``fetched_at`` is None for the built-in list.

    ``default`` is the id of the model that calls without a model get. ``problem`` is why no new list could
    be fetched; it is shown, and not part of the JSON form.
    """

    models: tuple[Model, ...]
    source: Source
    fetched_at: datetime | None
    default: str
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form; ``fetched_at`` is ISO 8601 in UTC."""
        return {
            "source": self.source,
            "fetched_at": self.fetched_at.isoformat() if self.fetched_at else None,
            "default": self.default,
            "models": [
                _model_dict(model) | {"is_default": model.slug == self.default} for model in self.models
            ],
        }


def _model_dict(model: Model) -> dict[str, Any]:
    return {
        "id": model.slug,
        "display_name": model.name,
        "context_window": model.context_window,
        "reasoning_efforts": list(model.efforts),
        "default_effort": model.default_effort,
        "service_tiers": list(model.service_tiers),
        "fast_id": model.slug + FAST_SUFFIX if model.has_fast else None,
        "input": list(model.input_modalities),
    }


async def fetch_models(provider: ChatGPTProvider) -> ModelsFound:
    """List the models. Raises AuthenticationError if you are not signed in."""
    try:
        models = await provider.catalogue.list()
    finally:
        await provider.close()
    fetched_at = provider.catalogue.fetched_at
    moment = datetime.fromtimestamp(fetched_at, UTC) if fetched_at else None
    problem = str(provider.catalogue.problem or "")
    default = provider.get_model_info().id
    return ModelsFound(tuple(models), provider.catalogue.source, moment, default, problem)


def show_models(found: ModelsFound, out: Console) -> None:
    """Print the models as a table, or as a list where the table does not fit: an id is never split."""
    from rich.text import Text

    rows = [_model_row(model, found.default) for model in found.models]
    table = _models_table(rows)
    if fits(table, out):
        out.print(table)
    else:
        _print_list(rows, out)
    if found.default not in {model.slug for model in found.models}:
        out.print(f"Used by default: {printable(found.default)}, which is not in this list.", markup=False)
    out.print(f"{_origin(found)} ← used by default, * default effort.", style="dim")
    if found.problem:
        out.print(Text(printable(found.problem)), style="dim")
    if any(model.has_fast for model in found.models):
        out.print(
            f"Add {FAST_SUFFIX} to an id for its fast tier, which uses up the plan sooner.", style="dim"
        )


def _models_table(rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [column for column in zip(_HEADERS, *rows, strict=True) if any(column[1:])]
    for header, *cells in columns:
        table.add_column(header, **_layout(header, cells))
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _layout(header: str, cells: Sequence[str]) -> dict[str, Any]:
    """Return how a column is laid out."""
    widest = max(map(len, cells), default=0)
    layouts: dict[str, dict[str, Any]] = {
        "id": {"no_wrap": True, "overflow": "ignore", "min_width": widest},
        "window": {"no_wrap": True, "justify": "right"},
        "efforts": {"min_width": 20},
        "tiers": {"max_width": 9},
    }
    return layouts.get(header, {})


def _print_list(rows: Sequence[Sequence[str]], out: Console) -> None:
    """Print a line for each id, and what the table has next to it on indented lines."""
    from rich.padding import Padding
    from rich.text import Text

    for name, window, *details in rows:
        out.print(Text(name, "bold"), soft_wrap=True)
        text = ", ".join(filter(None, (f"window {window}", *details)))
        out.print(Padding(Text(text), (0, 0, 0, 2)))


def _model_row(model: Model, default: str) -> tuple[str, ...]:
    efforts = (f"{effort}*" if effort == model.default_effort else effort for effort in model.efforts)
    tiers = (_TIER_LABELS.get(tier, tier) for tier in model.service_tiers)
    name = f"{model.slug} ←" if model.slug == default else model.slug
    window = f"{model.context_window:,}"
    return (name, window, " ".join(efforts), " ".join(tiers), " ".join(model.input_modalities))


def _origin(found: ModelsFound) -> str:
    if found.fetched_at is None:
        return "Built-in list: ChatGPT could not be reached."
    age = time.time() - found.fetched_at.timestamp()
    if found.source == "live" and age < 60:
        return "Fetched from ChatGPT just now."
    fetched = f"fetched from ChatGPT {span(max(1.0, age))} ago"
    if found.source == "disk":
        return f"Local copy, {fetched}: ChatGPT could not be reached."
    return f"{fetched[0].upper()}{fetched[1:]}."
