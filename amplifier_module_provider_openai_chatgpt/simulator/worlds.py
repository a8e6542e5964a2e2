"""The service at a date: which models it lists and serves, and which it has retired."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from .catalogue import PAYING, SPARSE, TO_MAX, TO_ULTRA, TO_XHIGH, ModelRow, Upgrade, entry

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """One dated service; ``retired`` models are refused, and named only by a stale list.

    ``kind`` is the service: the Codex backend, or plan use by "Sign in with ChatGPT".
    """

    name: str
    today: datetime
    models: tuple[ModelRow, ...]
    retired: tuple[ModelRow, ...] = ()
    sparse: tuple[Json, ...] = ()
    kind: Literal["codex", "plan"] = "codex"

    def catalogue(self) -> list[Json]:
        """Return new entries of the whole account catalogue, with hidden, gated and sparse ones."""
        return [*map(entry, self.models), *deepcopy(self.sparse)]

    def retired_entries(self) -> list[Json]:
        """Return new entries of the retired models, as lists named them before."""
        return [*map(entry, self.retired)]


_SMALL = (272_000, 272_000)
_MILLION = (272_000, 1_000_000)
_AUGUST_END = "2026-08-31T19:00:00Z"
_OCTOBER = "2026-10-14T19:00:00Z"

_GPT_5_5 = ModelRow("gpt-5.5", "GPT-5.5", 7, "0.124.0", TO_XHIGH, window=_SMALL, lite=False)
_GPT_5_4 = ModelRow(
    "gpt-5.4",
    "GPT-5.4",
    16,
    "0.98.0",
    TO_XHIGH,
    window=_MILLION,
    hidden=True,
    lite=False,
    plans=PAYING,
    upgrade=Upgrade("gpt-5.6-terra", _AUGUST_END),
)
_GPT_5_4_MINI = ModelRow(
    "gpt-5.4-mini",
    "GPT-5.4-Mini",
    23,
    "0.98.0",
    TO_XHIGH,
    tiers=(),
    window=_SMALL,
    hidden=True,
    lite=False,
    verbosity="medium",
    upgrade=Upgrade("gpt-5.6-luna", _AUGUST_END),
)
_GPT_5_2 = ModelRow(
    "gpt-5.2", "GPT-5.2", 29, "0.0.1", TO_XHIGH, tiers=(), window=_SMALL, lite=False, summary="auto"
)
_DAYBREAK = ModelRow(
    "gpt-daybreak-blue-latest", "Daybreak Blue", 3, "0.142.2", TO_ULTRA, "low", (), hidden=True
)
_REVIEW = ModelRow("codex-auto-review", "Codex Auto Review", 43, "0.98.0", TO_MAX, hidden=True, plans=PAYING)

# The models of one account: 4 for client version 0.100.0, 6 for 0.143.0, 9 from 0.144.0 on [seen]
# (docs/backend.md, Models). gpt-5.2 is [unsure]: listed there, but two clients found it refused since June.
AUGUST_2026 = World(
    name="august-2026",
    today=datetime(2026, 8, 31, 20, tzinfo=UTC),
    models=(
        ModelRow("gpt-5.6-sol", "GPT-5.6-Sol", 1, "0.144.0", TO_ULTRA, "low", ("priority", "ultrafast")),
        ModelRow("gpt-5.6-terra", "GPT-5.6-Terra", 2, "0.144.0", TO_ULTRA),
        ModelRow("gpt-5.6-luna", "GPT-5.6-Luna", 3, "0.144.0", TO_MAX),
        _DAYBREAK,
        _GPT_5_5,
        _GPT_5_4,
        _GPT_5_4_MINI,
        _GPT_5_2,
        _REVIEW,
    ),
    sparse=(SPARSE,),
)

_GPT_6 = {
    "supports_reasoning_effort_updates": True,
    "supports_experimental_context": False,
    "available_access_programs": [],
    "guardian": None,
}
# "Not yet on every plan" [seen]; which ones is [unsure].
_EARLY = tuple(plan for plan in PAYING if plan not in {"go", "edu", "education", "quorum"})


def _gpt_6(slug: str, priority: int, client: str, level: str = "low", **more: Any) -> ModelRow:
    name = slug.replace("gpt", "GPT").replace("astra", "Astra").replace("sol", "Sol").replace("luna", "Luna")
    return ModelRow(slug, name, priority, client, more.pop("levels", TO_ULTRA), level, more=_GPT_6, **more)


# Slugs, minimal client versions, default efforts, Lite flags and tiers are [seen]. [unsure]: the Lite flag
# and the default effort of 6.2, and every priority but the first (docs/backend.md, Models).
NOVEMBER_2026 = World(
    name="november-2026",
    today=datetime(2026, 11, 28, tzinfo=UTC),
    models=(
        _gpt_6("gpt-6.2-astra", 1, "0.169.1", plans=_EARLY),
        _gpt_6("gpt-6.2-sol", 2, "0.169.1", plans=_EARLY),
        _gpt_6("gpt-6.1-sol", 3, "0.155.0", upgrade=Upgrade("gpt-6.2-sol")),
        _gpt_6("gpt-6-astra", 4, "0.153.0", upgrade=Upgrade("gpt-6.2-astra")),
        _gpt_6("gpt-6-sol", 5, "0.155.0", "medium", upgrade=Upgrade("gpt-6.2-sol")),
        _gpt_6("gpt-6-luna", 6, "0.155.0", "medium", levels=TO_MAX),
        ModelRow(
            *("gpt-5.6-sol", "GPT-5.6-Sol", 7, "0.144.0", TO_ULTRA, "low", ("priority", "ultrafast")),
            upgrade=Upgrade("gpt-6-sol"),
        ),
        ModelRow("gpt-5.6-terra", "GPT-5.6-Terra", 8, "0.144.0", TO_ULTRA),
        ModelRow("gpt-5.6-luna", "GPT-5.6-Luna", 9, "0.144.0", TO_MAX),
        ModelRow("gpt-reserve", "GPT-Reserve", 30, "0.144.0", TO_MAX, tiers=(), hidden=True),
        _REVIEW,
    ),
    retired=(
        ModelRow(
            *("gpt-5.5", "GPT-5.5", 10, "0.124.0", TO_XHIGH),
            window=_SMALL,
            lite=False,
            upgrade=Upgrade("gpt-6-sol", _OCTOBER),
        ),
        ModelRow(
            *("gpt-5.5-pro", "GPT-5.5-Pro", 11, "0.124.0", "medium high xhigh"),
            tiers=(),
            window=_SMALL,
            lite=False,
            upgrade=Upgrade("gpt-6-astra", _OCTOBER),
        ),
        _GPT_5_4,
        _GPT_5_4_MINI,
        _GPT_5_2,
        _DAYBREAK,
    ),
    sparse=(SPARSE,),
)

_november = {row.slug: row for row in NOVEMBER_2026.models}
# What one client found on a plan's list, in the server's order [seen]; the details are those of the Codex
# service [unsure] (docs/backend-plan.md, Models).
PLAN = World(
    name="plan",
    today=NOVEMBER_2026.today,
    models=(
        *(
            _november[slug]
            for slug in ("gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-reserve")
        ),
        *(_november[slug] for slug in ("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna")),
        _DAYBREAK,
        _REVIEW,
    ),
    kind="plan",
)

CODEX_WORLDS = {world.name: world for world in (AUGUST_2026, NOVEMBER_2026)}
WORLDS = {**CODEX_WORLDS, PLAN.name: PLAN}
DEFAULT_WORLD = NOVEMBER_2026
