"""The models of the simulated account, as the catalogue endpoint sends them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]

_LEVELS = {
    "low": "Fast responses with lighter reasoning",
    "medium": "Balances speed and depth for everyday tasks",
    "high": "Greater depth for complex problems",
    "xhigh": "Extra depth for hard problems",
    "max": "As deep as one agent can respond",
    "ultra": "Deepest reasoning, delegating parts of the task",
}
_TIERS = {
    "priority": ("Fast", "1.5x speed, increased usage"),
    "ultrafast": ("Ultrafast", "Highest speed, much increased usage"),
}
_PAYING = (
    *("go", "plus", "pro", "prolite", "team", "business", "quorum", "finserv", "sci"),
    *("self_serve_business_prolite", "self_serve_business_usage_based"),
    *("enterprise", "enterprise_cbp_automation", "enterprise_cbp_usage_based", "hc"),
    *("edu", "education", "edu_plus", "edu_pro"),
)
_PLANS = ("free", "free_workspace", "k12", *_PAYING)
_INSTRUCTIONS = (
    "You are a coding agent that works in a terminal with a person.\n\n"
    + "Read before you write, say what you are about to do, keep changes small and check them.\n" * 40
)


@dataclass(frozen=True, slots=True)
class _Row:
    slug: str
    name: str
    priority: int
    client: str
    levels: str
    level: str = "medium"
    tiers: tuple[str, ...] = ("priority",)
    window: tuple[int, int] = (272_000, 872_000)
    hidden: bool = False
    lite: bool = True
    verbosity: str = "low"
    summary: str = "none"
    successor: str | None = None
    plans: tuple[str, ...] = _PLANS


_TO_ULTRA = "low medium high xhigh max ultra"
_TO_MAX = "low medium high xhigh max"
_TO_XHIGH = "low medium high xhigh"
_SMALL = (272_000, 272_000)

_DAYBREAK = (372_000, 372_000)
_MILLION = (272_000, 1_000_000)
_RETIREMENT = "2026-08-31T19:00:00Z"

# The models of August 2026 (docs/backend.md, Models).
_ROWS = (
    _Row("gpt-5.6-sol", "GPT-5.6-Sol", 1, "0.144.0", _TO_ULTRA, "low", ("priority", "ultrafast")),
    _Row("gpt-5.6-terra", "GPT-5.6-Terra", 2, "0.144.0", _TO_ULTRA),
    _Row("gpt-5.6-luna", "GPT-5.6-Luna", 3, "0.144.0", _TO_MAX),
    _Row("gpt-daybreak-blue-latest", "Daybreak Blue", 3, "0.142.2", _TO_ULTRA, "low", (), hidden=True),
    _Row(
        "gpt-daybreak-red-latest",
        "Daybreak Red",
        3,
        "0.142.2",
        _TO_ULTRA,
        tiers=(),
        window=_DAYBREAK,
        hidden=True,
        verbosity="high",
    ),
    _Row("gpt-5.5", "GPT-5.5", 7, "0.124.0", _TO_XHIGH, window=_SMALL, lite=False),
    _Row(
        "gpt-5.4",
        "GPT-5.4",
        16,
        "0.98.0",
        _TO_XHIGH,
        window=_MILLION,
        hidden=True,
        lite=False,
        plans=_PAYING,
        successor="gpt-5.6-terra",
    ),
    _Row(
        "gpt-5.4-mini",
        "GPT-5.4-Mini",
        23,
        "0.98.0",
        _TO_XHIGH,
        tiers=(),
        window=_SMALL,
        hidden=True,
        lite=False,
        verbosity="medium",
        successor="gpt-5.6-luna",
    ),
    _Row(
        "gpt-5.2",
        "GPT-5.2",
        29,
        "0.0.1",
        _TO_XHIGH,
        tiers=(),
        window=_SMALL,
        lite=False,
        summary="auto",
    ),
    _Row("codex-auto-review", "Codex Auto Review", 43, "0.98.0", _TO_MAX, hidden=True, plans=_PAYING),
)
_SPARSE: Json = {
    "slug": "gpt-5.3-codex-spark",
    "display_name": "Spark",
    "visibility": "hide",
    "priority": 50,
    "supported_in_api": False,
    "supported_reasoning_levels": [{"effort": "hyper", "description": "A level nobody has heard of"}],
    "input_modalities": ["text"],
    "support_verbosity": False,
    "some_future_field": {"x": 1},
    "base_instructions": _INSTRUCTIONS,
}


def default_models() -> list[Json]:
    """Return fresh entries of the whole account catalogue, hidden, gated and sparse ones included.

    `minimal_client_version` is an array in the entries flagged for Lite and a string in the others:
    both spellings occur (docs/backend.md, Catalogue).
    """
    return [*map(_entry, _ROWS), deepcopy(_SPARSE)]


def served_models(models: Iterable[Json], plan: str, now: datetime) -> dict[str, Json]:
    """Return by slug the entries that answer calls: those of the plan that are not retired.

    A listed model need not answer: the list keeps retired ones. A plan that nobody knows gets all.
    """
    named = {entry["slug"]: entry for entry in models if isinstance(entry.get("slug"), str)}
    return {slug: entry for slug, entry in named.items() if _is_served(entry, plan, now)}


def _is_served(entry: Json, plan: str, now: datetime) -> bool:
    plans, retirement = entry.get("available_in_plans"), (entry.get("upgrade") or {}).get("retirement_at")
    if plans and plan in _PLANS and plan not in plans:
        return False
    return retirement is None or now < datetime.fromisoformat(retirement)


def _entry(row: _Row) -> Json:
    return {
        "slug": row.slug,
        "display_name": row.name,
        "description": f"{row.name}, a simulated model.",
        "visibility": "hide" if row.hidden else "list",
        "priority": row.priority,
        "supported_in_api": True,
        "default_reasoning_level": row.level,
        "supported_reasoning_levels": [{"effort": e, "description": _LEVELS[e]} for e in row.levels.split()],
        "supports_reasoning_summaries": True,
        "supports_reasoning_summary_parameter": True,
        "default_reasoning_summary": row.summary,
        "support_verbosity": True,
        "default_verbosity": row.verbosity,
        "service_tiers": [_tier(tier) for tier in row.tiers],
        "default_service_tier": None,
        "additional_speed_tiers": ["fast"] if "priority" in row.tiers else [],
        "context_window": row.window[0],
        "max_context_window": row.window[1],
        "auto_compact_token_limit": None,
        "effective_context_window_percent": 95,
        "comp_hash": "3000",
        "input_modalities": ["text", "image"],
        "supports_parallel_tool_calls": True,
        "use_responses_lite": row.lite,
        "web_search_tool_type": "text_and_image",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "shell_type": "unified_exec",
        "experimental_supported_tools": [],
        "minimal_client_version": [int(n) for n in row.client.split(".")] if row.lite else row.client,
        "available_in_plans": list(row.plans),
        "availability_nux": None,
        "upgrade": _upgrade(row.successor),
        "prefer_websockets": True,
        "model_messages": {"instructions_template": _INSTRUCTIONS},
        "base_instructions": _INSTRUCTIONS,
        **({"tool_mode": "code_mode_only"} if row.lite else {}),
    }


def _upgrade(successor: str | None) -> Json | None:
    if successor is None:
        return None
    note = f"Move to {successor}."
    return {"model": successor, "migration_markdown": note, "retirement_at": _RETIREMENT}


def _tier(tier: str) -> Json:
    name, description = _TIERS[tier]
    return {"id": tier, "name": name, "description": description}
