"""What the commands ``status``, ``usage`` and ``models`` find out, and how they show it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .models import FAST_SUFFIX
from .settings import LOGIN_COMMAND
from .wire.quota import USAGE_PAGE, plan_name, read_usage, reset_phrase, span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from .provider import ChatGPTProvider
    from .wire.quota import Quota, Window

BAR_WIDTH = 24


def status_of(provider: ChatGPTProvider) -> dict[str, Any]:
    """Tell who is signed in, as far as this machine knows; the account id is masked."""
    tokens = provider.credentials.peek()
    found: dict[str, Any] = {
        "status": provider.auth_status(),
        "token_file": str(provider.settings.token_file_path),
    }
    if tokens is None:
        return found
    return found | {
        "email": tokens.email or None,
        "account": masked(tokens.account_id),
        "plan": tokens.plan_type or None,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
        "can_refresh": tokens.can_refresh,
    }


def masked(account_id: str) -> str | None:
    """Shorten an account id to what tells two of one's own apart."""
    return f"{account_id[:4]}…{account_id[-4:]}" if len(account_id) > 12 else "…" if account_id else None


def show_status(found: Mapping[str, Any], out: Console) -> None:
    """Show what ``status_of`` found."""
    if found["status"] == "unauthenticated":
        out.print(f"Signed out. Run: {LOGIN_COMMAND}", markup=False)
        out.print(
            f"Token file  {found['token_file']} (not there, or without a sign-in)",
            markup=False,
            soft_wrap=True,
        )
        return
    head = (
        "Signed in" if found["status"] == "authenticated" else f"The sign-in has ended. Run: {LOGIN_COMMAND}"
    )
    rows = {
        "Account": " ".join(
            filter(None, (found["email"], f"({found['account']})" if found["account"] else ""))
        ),
        "Plan": plan_name(found["plan"]),
        "Token": _expiry(found["expires_at"], can_refresh=found["can_refresh"]),
        "Token file": found["token_file"],
    }
    out.print(head)
    for name, value in rows.items():
        out.print(f"{name:<11} {value or 'unknown'}", markup=False, soft_wrap=True)


def _expiry(expires_at: str | None, *, can_refresh: bool) -> str:
    renewal = "renews itself" if can_refresh else "cannot be renewed"
    if expires_at is None:
        return f"expiry unknown; {renewal}"
    left = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
    return f"{f'valid for {span(left)}' if left > 0 else 'expired'}; {renewal}"


async def quota_of(provider: ChatGPTProvider) -> Quota:
    """Ask the backend what is left of the plan's limits."""
    document, _ = await provider.client.get("/wham/usage")
    return read_usage(document, time.time())


def show_usage(quota: Quota, out: Console) -> None:
    """Show a bar per window with the local time of its reset, and the credits."""
    out.print(f"{plan_name(quota.plan)} plan")
    for window in quota.windows:
        _show_window(window, out)
    if not quota.windows:
        out.print("The backend names no limit.")
    if quota.credits and (quota.credits.has_credits or quota.credits.unlimited):
        out.print(
            f"Credits: {'unlimited' if quota.credits.unlimited else quota.credits.balance}", markup=False
        )
    out.print(USAGE_PAGE, style="dim", soft_wrap=True)


def _show_window(window: Window, out: Console) -> None:
    share = min(100.0, max(0.0, window.used_percent))
    filled = round(share / 100 * BAR_WIDTH)
    colour = "red" if share >= 90 else "yellow" if share >= 70 else "green"
    name = " ".join(filter(None, (window.limit, window.name)))
    out.print(f"{name:<10} ", end="", markup=False)
    out.print("█" * filled, end="", style=colour)
    out.print("░" * (BAR_WIDTH - filled), end="", style="dim")
    resets = f", resets {reset_phrase(window.resets_at, time.time())}" if window.resets_at else ""
    out.print(f" {share:.0f} % used{resets}", markup=False, soft_wrap=True)


async def models_of(provider: ChatGPTProvider) -> dict[str, Any]:
    """List the models with where the list came from and how old it is."""
    found = await provider.catalogue.list()
    fetched_at = provider.catalogue.fetched_at
    return {
        "source": provider.catalogue.source,
        "fetched_at": datetime.fromtimestamp(fetched_at, UTC).isoformat() if fetched_at else None,
        "models": [
            {
                "id": model.slug,
                "display_name": model.name,
                "context_window": model.context_window,
                "reasoning_efforts": list(model.efforts),
                "default_effort": model.default_effort,
                "fast_id": model.slug + FAST_SUFFIX if model.has_fast else None,
                "input": list(model.input_modalities),
            }
            for model in found
        ],
    }


def show_models(listing: Mapping[str, Any], out: Console) -> None:
    """Show the list as a table."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "window", "efforts", "fast", "input"):
        table.add_column(column, overflow="fold", justify="right" if column == "window" else "left")
    for model in listing["models"]:
        efforts = " ".join(
            f"{effort}*" if effort == model["default_effort"] else effort
            for effort in model["reasoning_efforts"]
        )
        fast = "yes" if model["fast_id"] else ""
        table.add_row(
            model["id"], f"{model['context_window']:,}", efforts, fast, " ".join(model["input"]), style=""
        )
    out.print(table)
    out.print(
        f"{_origin(listing)}; * is the model's own effort; fast: add {FAST_SUFFIX} to the id.", style="dim"
    )


def _origin(listing: Mapping[str, Any]) -> str:
    if listing["fetched_at"] is None:
        return "A built-in list: the backend could not be asked"
    age = time.time() - datetime.fromisoformat(listing["fetched_at"]).timestamp()
    if listing["source"] == "live" and age < 60:
        return "Fetched just now"
    kept = " from this machine's copy, the backend could not be asked" if listing["source"] == "disk" else ""
    return f"Fetched {span(max(1.0, age))} ago{kept}"
