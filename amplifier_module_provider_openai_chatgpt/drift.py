"""What the backend sent that this version does not know: names only, counted per process.

What is known is a table for each place that is read (docs/backend.md). A name that is missing there does
no harm; it is shown by ``doctor`` and in ``llm:response``, so a change of the backend is seen early.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping
from typing import Literal

from .redaction import without_secrets
from .services import CHATGPT_CODEX

Kind = Literal["events", "items", "fields", "codes", "limits"]

# The names come from a server: how many are kept, and how long each may be.
MAX_NAMES = 32
MAX_LENGTH = 80
OTHERS = "(others)"

# Events that have no effect here (docs/backend.md, Event stream).
QUIET_EVENTS = frozenset(
    {
        *("response.queued", "response.in_progress", "response.metadata"),
        *("response.content_part.added", "response.content_part.done"),
        *("response.reasoning_summary_part.added", "response.reasoning_summary_part.done"),
        *("response.reasoning_text.done", "response.output_text.annotation.added"),
        *("response.web_search_call.in_progress", "response.web_search_call.searching"),
        "response.web_search_call.completed",
        *("codex.rate_limits", "codex.response.metadata", "responsesapi.websocket_timing"),
    }
)
_ITEM = frozenset({"type", "id", "status", "internal_chat_message_metadata_passthrough"})
_CALL = _ITEM | {"call_id", "name", "namespace"}
# Fields of finished items by type (docs/backend.md, Items).
ITEM_FIELDS: Mapping[str, frozenset[str]] = {
    "message": _ITEM | {"role", "content", "phase"},
    "reasoning": _ITEM | {"summary", "content", "encrypted_content"},
    "function_call": _CALL | {"arguments", "encrypted_function_args", "async"},
    "custom_tool_call": _CALL | {"input", "async"},
    "web_search_call": _ITEM | {"action", "results"},
    "image_generation_call": _ITEM | {"result", "revised_prompt"},
    "local_shell_call": _ITEM | {"call_id", "action"},
    "tool_search_call": _ITEM | {"call_id", "execution", "arguments"},
    "tool_search_output": _ITEM | {"call_id", "execution", "tools"},
    "compaction": _ITEM | {"encrypted_content"},
    "compaction_summary": _ITEM | {"encrypted_content"},
    "configuration_update": _ITEM | {"role", "reasoning"},
}
_TOKENS = frozenset(
    {
        *("input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"),
        *("total_tokens", "codex_rollout_budget_units"),
    }
)
_WINDOW = frozenset({"used_percent", "limit_window_seconds", "reset_after_seconds", "reset_at"})
_LIMIT = frozenset({"allowed", "limit_reached", "primary_window", "secondary_window"})
# Fields by the place in which they are read.
FIELDS: Mapping[str, frozenset[str]] = {
    "usage": _TOKENS,
    "usage.input_tokens_details": frozenset({"cached_tokens", "cache_write_tokens"}),
    "usage.output_tokens_details": frozenset({"reasoning_tokens"}),
    "incomplete_details": frozenset({"reason"}),
    "wham/usage": frozenset(
        {
            *("user_id", "account_id", "email", "plan_type", "rate_limit", "code_review_rate_limit"),
            *("additional_rate_limits", "credits", "spend_control", "rate_limit_reached_type"),
            "rate_limit_reset_credits",
        }
    ),
    "wham/usage.rate_limit": _LIMIT,
    "wham/usage.window": _WINDOW,
    "models": frozenset(
        {
            *("slug", "display_name", "description", "visibility", "priority", "supported_in_api"),
            *("default_reasoning_level", "supported_reasoning_levels", "supports_reasoning_summaries"),
            *("supports_reasoning_summary_parameter", "default_reasoning_summary", "support_verbosity"),
            *("default_verbosity", "service_tiers", "default_service_tier", "additional_speed_tiers"),
            *("context_window", "max_context_window", "effective_context_window_percent"),
            *("auto_compact_token_limit", "comp_hash", "input_modalities", "supports_parallel_tool_calls"),
            *("use_responses_lite", "web_search_tool_type", "apply_patch_tool_type", "max_output_tokens"),
            *("supports_search_tool", "supports_image_detail_original", "experimental_supported_tools"),
            *("truncation_policy", "minimal_client_version", "available_in_plans", "upgrade"),
            *("availability_nux", "model_messages", "base_instructions", "shell_type", "tool_mode"),
            *("multi_agent_version", "model_specialty", "auto_review_model_override"),
            *("prefer_websockets", "available_access_programs", "supports_reasoning_effort_updates"),
            *("supports_experimental_context", "multi_agent_reasoning_effort", "guardian"),
            *("requires_sandboxed_review", "node_repl_auto_review_required", "node_repl_disabled"),
        }
    ),
}
# Codes that decide nothing: the status or the message does (docs/backend.md, Failures).
QUIET_CODES = frozenset(
    {
        *("invalid_value", "invalid_type", "missing_required_parameter", "invalid_function_parameters"),
        *("invalid_json_schema", "invalid_request_error", "null"),
    }
)
_OWN = f"x-{CHATGPT_CODEX.response.quota}-"
# Headers with that prefix that are not about limits.
_QUIET_HEADERS = (
    f"{_OWN}turn-state",
    f"{_OWN}safety-buffering-enabled",
    f"{_OWN}safety-buffering-faster-model",
)
REACHED = frozenset(
    {
        "rate_limit_reached",
        *(
            f"workspace_{who}_{what}"
            for who in ("owner", "member")
            for what in ("credits_depleted", "usage_limit_reached")
        ),
    }
)


class Drift:
    """Counts unknown names by kind; the lock guards the counts, so any thread may note one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[Kind, str], int] = {}

    def __bool__(self) -> bool:
        """True if anything was noted."""
        return bool(self._counts)

    def note(self, kind: Kind, name: object) -> None:
        """Count a name; beyond ``MAX_NAMES`` all others are one."""
        key = (kind, _clean(name))
        with self._lock:
            if key not in self._counts and len(self._counts) >= MAX_NAMES:
                key = (kind, OTHERS)
            self._counts[key] = self._counts.get(key, 0) + 1

    def counts(self) -> dict[Kind, dict[str, int]]:
        """Return how often each name was noted, by kind."""
        with self._lock:
            found: dict[Kind, dict[str, int]] = {}
            for (kind, name), count in self._counts.items():
                found.setdefault(kind, {})[name] = count
            return found

    def names(self) -> dict[str, list[str]]:
        """Return the names by kind, sorted: what ``llm:response`` contains."""
        return {kind: sorted(counts) for kind, counts in self.counts().items()}

    def forget(self) -> None:
        """Start counting again."""
        with self._lock:
            self._counts.clear()


drift = Drift()


def note_event(name: str) -> None:
    """Count an event type that has no handler, unless it is known to have no effect."""
    if name not in QUIET_EVENTS:
        drift.note("events", name)


def note_fields(place: str, value: object) -> None:
    """Count the fields of an object that are not in the table of its place."""
    if isinstance(value, Mapping):
        for name in value.keys() - FIELDS[place]:
            drift.note("fields", f"{place}.{_clean(name)}")


def note_item(item: object) -> None:
    """Count the type of a finished item, or those of its fields, that are not known."""
    if not isinstance(item, Mapping):
        return
    kind = item.get("type")
    known = ITEM_FIELDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        drift.note("items", kind)
        return
    for name in item.keys() - known:
        drift.note("fields", f"{kind}.{_clean(name)}")


def note_usage(value: object) -> None:
    """Count unknown fields of an answer's token counts."""
    if isinstance(value, Mapping):
        note_fields("usage", value)
        for name in ("input_tokens_details", "output_tokens_details"):
            note_fields(f"usage.{name}", value.get(name))


def note_limits(document: object) -> None:
    """Count unknown fields of the document of limits."""
    if not isinstance(document, Mapping):
        return
    note_fields("wham/usage", document)
    limit = document.get("rate_limit")
    note_fields("wham/usage.rate_limit", limit)
    for name in ("primary_window", "secondary_window"):
        note_fields("wham/usage.window", limit.get(name) if isinstance(limit, Mapping) else None)


def note_header(name: str) -> None:
    """Count a header, in lower case, that is named like those of limits and not one of them."""
    if name.startswith(_OWN) and name not in _QUIET_HEADERS:
        drift.note("limits", name)


def note_reached(reached: str | None) -> None:
    """Count an unknown type of a limit that was reached."""
    if reached and reached not in REACHED:
        drift.note("limits", reached)


def note_code(code: str, *known: Container[object]) -> None:
    """Count an error code that none of the tables of rules has."""
    if code and not any(code in table for table in (*known, QUIET_CODES)):
        drift.note("codes", code)


def sentence() -> str:
    """Return everything noted as one line; empty if there is nothing."""
    parts = (f"{kind}: {', '.join(names)}" for kind, names in drift.names().items())
    return "; ".join(parts)


def _clean(name: object) -> str:
    """Reduce a name from a server to printable ASCII without secrets, cut to ``MAX_LENGTH``."""
    text = name[: 4 * MAX_LENGTH] if isinstance(name, str) else f"({type(name).__name__})"
    text = without_secrets(text)
    return "".join(char if "!" <= char <= "~" else "?" for char in text)[:MAX_LENGTH] or "(empty)"
