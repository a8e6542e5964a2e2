"""The command ``models --roles``: which model and effort the routing matrix gives each of Amplifier's roles.

Candidates are chosen as Amplifier's routing hook chooses them (docs/routing.md, How a role finds its model).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.cells import cell_len

from ..models.model import LATEST, look_up, model_infos, split_fast
from ..request.effort import choose_effort
from ..settings import PROVIDER
from .console import fits
from .install_routing import destination, packaged_matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

    from ..models.model import Model
    from ..provider import ChatGPTProvider

# What a matrix may call this provider; Amplifier takes candidates for openai as well.
_OUR_NAMES = {PROVIDER, f"provider-{PROVIDER}", "openai"}
_WILDCARDS = frozenset("*?[")
_PACKAGED = "packaged"
_FIX = "fix it, or run amplifier-openai-chatgpt install-routing --force."
_SOURCES = {
    "live": "fetched from ChatGPT",
    "disk": "a local copy; ChatGPT could not be reached",
    "built-in": "a built-in list; ChatGPT could not be reached",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of a role in the matrix; ``model`` is an id or a pattern, ``effort`` None if it sets none."""

    model: str
    effort: str | None

    @property
    def is_pattern(self) -> bool:
        """Whether the model is looked up in the list; Amplifier uses a plain id without checking it."""
        return not _WILDCARDS.isdisjoint(self.model)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a role gets. ``model`` and ``pattern`` are None if no candidate fits.

    ``effort`` is what is sent, lowered to one that the model lists; with ``is_default`` nothing is sent,
    because the role sets no effort, and it is the model's own.
    """

    role: str
    model: str | None = None
    pattern: str | None = None
    effort: str | None = None
    is_default: bool = False
    is_listed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "role": self.role,
            "model": self.model,
            "effort": self.effort,
            "default_effort": self.is_default,
            "pattern": self.pattern,
            "listed": self.is_listed,
        }


@dataclass(frozen=True, slots=True)
class Roles:
    """What all roles get. ``matrix`` is the file that defines them, ``packaged`` for this version's own.

    ``source`` is where the list of models came from: ``live``, ``disk`` or ``built-in``.
    """

    matrix: str
    source: str
    roles: tuple[Resolved, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {"matrix": self.matrix, "source": self.source, "roles": [r.to_dict() for r in self.roles]}


class UnreadableMatrixError(RuntimeError):
    """The installed matrix cannot be read; the message names the file."""


async def fetch_roles(provider: ChatGPTProvider) -> Roles:
    """Resolve the installed matrix, else the packaged one, on the list of this subscription.

    Raises AuthenticationError if you are not signed in, UnreadableMatrixError if the matrix cannot be used.
    """
    place, roles = read_matrix()
    try:
        models = await provider.catalogue.list()
    finally:
        await provider.close()
    found = tuple(resolve(role, candidates, models) for role, candidates in roles.items())
    return Roles(place, provider.catalogue.source, found)


def read_matrix() -> tuple[str, dict[str, list[Candidate]]]:
    """Return the place of the matrix, and each role's candidates for this provider."""
    installed = destination()
    try:
        return str(installed), _roles(installed.read_bytes(), str(installed))
    except FileNotFoundError:
        return _PACKAGED, _roles(packaged_matrix(), "The packaged matrix")
    except OSError as error:
        raise UnreadableMatrixError(
            f"{installed} cannot be read ({error.strerror}): fix or remove it."
        ) from error


def _roles(text: bytes, place: str) -> dict[str, list[Candidate]]:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableMatrixError(f"{place} is not valid YAML: {_FIX}") from error
    roles = _object(_object(content).get("roles"))
    if not roles:
        raise UnreadableMatrixError(f"{place} defines no roles: {_FIX}")
    named = {_text(name): _object(role).get("candidates") for name, role in roles.items()}
    return {name: list(_candidates(entries)) for name, entries in named.items() if name}


def _candidates(entries: object) -> Iterable[Candidate]:
    for entry in map(_object, entries if isinstance(entries, list) else []):
        model, config = _text(entry.get("model")), _object(entry.get("config"))
        if model and _text(entry.get("provider")) in _OUR_NAMES:
            yield Candidate(model, _text(config.get("reasoning_effort", config.get("effort"))) or None)


def _object(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else ""


def resolve(role: str, candidates: Iterable[Candidate], models: Sequence[Model]) -> Resolved:
    """Choose the first candidate that is a plain id, or a pattern that matches a listed one."""
    ids = [info.id for info in model_infos(models)]
    for candidate in candidates:
        model_id = highest(candidate.model, ids) if candidate.is_pattern else candidate.model
        if model_id is not None:
            return _resolved(role, candidate, models[0].slug if model_id == LATEST else model_id, models)
    return Resolved(role)


def _resolved(role: str, candidate: Candidate, model_id: str, models: Sequence[Model]) -> Resolved:
    known = {model.slug: model for model in models}
    slug = model_id if model_id in known else split_fast(model_id)[0]
    model = look_up(known, slug)
    effort = choose_effort(None, candidate.effort, model)
    return Resolved(
        role,
        model_id,
        candidate.model,
        effort or model.default_effort,
        is_default=effort is None,
        is_listed=slug in known,
    )


def highest(pattern: str, ids: Iterable[str]) -> str | None:
    """Return the id of the highest version among those that match, whatever their case."""
    matching = [model_id for model_id in ids if fnmatchcase(model_id.lower(), pattern.lower())]
    return max(matching, key=_version, default=None)


def _version(model_id: str) -> tuple[list[int | str], int]:
    """Digits compare as numbers, a date at the end does not count, and of equal ids the shorter wins."""
    undated = re.sub(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$", "", model_id)
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", undated)], -len(model_id)


def show_roles(found: Roles, out: Console) -> None:
    """Print what each role gets as a table, or as a list where the table does not fit: no id is split."""
    rows = [_row(role) for role in found.roles]
    table = _table(rows)
    if fits(table, out):
        out.print(table)
    else:
        _print_list(rows, out)
    if any(role.is_default for role in found.roles):
        out.print("* default effort; an effort in your settings takes precedence.", style="dim")
    installed = f"Matrix: ~/{destination().relative_to(Path.home())}"
    packaged = "Matrix: this version's; to use it in Amplifier: amplifier-openai-chatgpt install-routing"
    out.print(packaged if found.matrix == _PACKAGED else installed, style="dim", markup=False)
    out.print(f"Models: {_SOURCES[found.source]}.", style="dim")


def _table(rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(("role", "model", "effort", "matched by")):
        widest = max((cell_len(row[number]) for row in rows), default=0)
        table.add_column(name, no_wrap=True, overflow="ignore", min_width=widest)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_list(rows: Sequence[Sequence[str]], out: Console) -> None:
    from rich.text import Text

    for role, model, effort, pattern in rows:
        out.print(Text(role, "bold"), soft_wrap=True)
        out.print(Text("  " + " ".join(filter(None, (model, effort)))), soft_wrap=True)
        out.print(Text(f"  matched by {pattern}", "dim"), soft_wrap=True)


def _row(role: Resolved) -> tuple[str, str, str, str]:
    if role.model is None:
        return role.role, "none", "", "no candidate"
    model = role.model if role.is_listed else f"{role.model} (not listed)"
    effort = f"{role.effort}*" if role.is_default and role.effort else role.effort or "unknown"
    return role.role, model, effort, role.pattern or ""
