"""Models as the catalogue endpoint sends them, and which of them answer calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]

_LEVELS = {
    "low": "Fast responses with lighter reasoning",
    "medium": "Balances speed and depth for everyday tasks",
    "high": "Greater depth for complex problems",
    "xhigh": "Extra depth for hard problems",
    "max": "As deep as one agent can think",
    "ultra": "Deepest reasoning, delegating parts of the task",
}
_TIERS = {
    "priority": ("Fast", "1.5x speed, increased usage"),
    "ultrafast": ("Ultrafast", "Highest speed, much increased usage"),
}
PAYING = (
    *("go", "plus", "pro", "prolite", "promax", "team", "business", "quorum", "finserv", "sci"),
    *("self_serve_business_prolite", "self_serve_business_usage_based"),
    *("enterprise", "enterprise_cbp_automation", "enterprise_cbp_usage_based", "hc"),
    *("edu", "education", "edu_plus", "edu_pro"),
)
PLANS = ("free", "free_workspace", "k12", *PAYING)
_INSTRUCTIONS = (
    "You are a coding agent that works in a terminal with a person.\n\n"
    + "Read before you write, say what you are about to do, keep changes small and check them.\n" * 40
)

TO_ULTRA = "low medium high xhigh max ultra"
TO_MAX = "low medium high xhigh max"
TO_XHIGH = "low medium high xhigh"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The successor that a catalogue entry names; ``retirement_at`` in ISO 8601, None if not announced."""

    model: str
    retirement_at: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What distinguishes one model; ``window`` is the context window and its maximum, in tokens."""

    slug: str
    name: str
    priority: int
    minimal_client: str
    levels: str
    default_level: str = "medium"
    tiers: tuple[str, ...] = ("priority",)
    window: tuple[int, int] = (272_000, 872_000)
    hidden: bool = False
    lite: bool = True
    verbosity: str = "low"
    summary: str = "none"
    upgrade: Upgrade | None = None
    plans: tuple[str, ...] = PLANS
    more: Mapping[str, Any] = field(default_factory=dict)


# A sparse entry with unknown values, which clients must read without losing the list. All of it is invented.
SPARSE: Json = {
    "slug": "gpt-5.3-codex-spark",
    "display_name": "Spark",
    "visibility": "hide",
    "priority": 50,
    "supported_in_api": False,
    "supported_reasoning_levels": [{"effort": "hyper", "description": "An unknown level"}],
    "input_modalities": ["text"],
    "support_verbosity": False,
    "some_future_field": {"x": 1},
    "base_instructions": _INSTRUCTIONS,
}


def served_models(models: Iterable[Json], plan: str, today: datetime) -> dict[str, Json]:
    """Return by slug the entries that answer calls: those of the plan that are not retired.

    Rule catalogue.served: a list may still name retired models. A plan that is not known gets all models.
    """
    named = {entry["slug"]: entry for entry in models if isinstance(entry.get("slug"), str)}
    return {slug: entry for slug, entry in named.items() if _is_served(entry, plan, today)}


def _is_served(entry: Json, plan: str, today: datetime) -> bool:
    plans, retirement = entry.get("available_in_plans"), (entry.get("upgrade") or {}).get("retirement_at")
    if plans and plan in PLANS and plan not in plans:
        return False
    return retirement is None or today < datetime.fromisoformat(retirement)


def entry(row: ModelRow) -> Json:
    """Return a new catalogue entry.

    `minimal_client_version` is an array in the entries flagged for Lite and a string in the others:
    both spellings occur (docs/backend.md, Catalogue).
    """
    return {
        "slug": row.slug,
        "display_name": row.name,
        "description": f"{row.name}, a simulated model.",
        "visibility": "hide" if row.hidden else "list",
        "priority": row.priority,
        "supported_in_api": True,
        "default_reasoning_level": row.default_level,
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
        "minimal_client_version": _version(row),
        "available_in_plans": list(row.plans),
        "availability_nux": None,
        "upgrade": _upgrade(row.upgrade),
        "prefer_websockets": True,
        "model_messages": {"instructions_template": _INSTRUCTIONS},
        "base_instructions": _INSTRUCTIONS,
        **({"tool_mode": "code_mode_only"} if row.lite else {}),
        **row.more,
    }


def _version(row: ModelRow) -> str | list[int]:
    return [int(number) for number in row.minimal_client.split(".")] if row.lite else row.minimal_client


def _upgrade(upgrade: Upgrade | None) -> Json | None:
    if upgrade is None:
        return None
    note = f"Move to {upgrade.model}."
    return {"model": upgrade.model, "migration_markdown": note, "retirement_at": upgrade.retirement_at}


def _tier(tier: str) -> Json:
    name, description = _TIERS[tier]
    return {"id": tier, "name": name, "description": description}
