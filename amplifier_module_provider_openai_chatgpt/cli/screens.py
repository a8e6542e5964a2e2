"""What the commands ``status``, ``usage`` and ``models`` find out, and how they show it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..models.model import FAST_SUFFIX, FAST_TIER
from ..quota import plan_name, reset_phrase, span
from ..settings import LOGIN_COMMAND
from .terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.text import Text

    from ..provider import ChatGPTProvider
    from ..quota import Quota, Window

_WIDE, _BAR, _SHORT_BAR = 80, 18, 12
_TIERS = {FAST_TIER: "fast"}


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
        out.print(f"{name:<11} {printable(value) or 'unknown'}", markup=False, soft_wrap=True)


def _expiry(expires_at: str | None, *, can_refresh: bool) -> str:
    renewal = "renews itself" if can_refresh else "cannot be renewed"
    if expires_at is None:
        return f"expiry unknown; {renewal}"
    left = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
    return f"{f'valid for {span(left)}' if left > 0 else 'expired'}; {renewal}"


async def quota_of(provider: ChatGPTProvider) -> Quota:
    """Ask the backend what is left of the plan's limits."""
    try:
        return await provider.usage()
    finally:
        await provider.close()


def show_usage(quota: Quota, page: str, out: Console) -> None:
    """Show a bar per window with the local time of its reset, the credits, spend cap and saved resets."""
    from rich.table import Table

    out.print(f"{plan_name(quota.plan)} plan" if quota.plan else "Unknown plan", markup=False)
    table = Table.grid(padding=(0, 2))
    for window in quota.windows:
        table.add_row(*_window(window, narrow=out.width < _WIDE))
    out.print(table if quota.windows else "The backend names no limit.")
    if quota.credits and (quota.credits.has_credits or quota.credits.unlimited):
        left = "unlimited" if quota.credits.unlimited else quota.credits.balance or "some"
        out.print(f"Credits: {left}", markup=False)
    if quota.spend_cap_reached:
        out.print("Spend cap reached: requests are refused until it resets or is raised.", style="red")
    if quota.reset_credits:
        out.print(f"Saved limit resets: {quota.reset_credits} (never used automatically)")
    out.print(page, style="dim", soft_wrap=True)


def _window(window: Window, *, narrow: bool) -> tuple[Text, Text, Text, Text]:
    from rich.text import Text

    length = _SHORT_BAR if narrow else _BAR
    share = min(100.0, max(0.0, window.used_percent))
    filled = round(share / 100 * length)
    colour = "red" if share >= 90 else "yellow" if share >= 70 else "green"
    resets = f"resets {reset_phrase(window.resets_at, time.time())}" if window.resets_at else ""
    return (
        Text(" ".join(filter(None, (window.limit, window.name)))),
        Text.assemble(("█" * filled, colour), ("░" * (length - filled), "dim"), no_wrap=True),
        Text(f"{share:3.0f} % used", no_wrap=True),
        Text(resets.replace(", in ", ",\nin ") if narrow else resets),
    )


async def models_of(provider: ChatGPTProvider) -> dict[str, Any]:
    """List the models with where the list came from and how old it is."""
    try:
        found = await provider.catalogue.list()
    finally:
        await provider.close()
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
                "service_tiers": list(model.service_tiers),
                "fast_id": model.slug + FAST_SUFFIX if model.has_fast else None,
                "input": list(model.input_modalities),
            }
            for model in found
        ],
    }


def show_models(listing: Mapping[str, Any], out: Console) -> None:
    """Show the list as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("window", no_wrap=True, justify="right")
    table.add_column("efforts")
    table.add_column("tiers", max_width=9)
    table.add_column("input")
    for model in listing["models"]:
        default = model["default_effort"]
        efforts = (f"{word}*" if word == default else word for word in model["reasoning_efforts"])
        tiers = (_TIERS.get(tier, tier) for tier in model["service_tiers"])
        window = f"{model['context_window']:,}"
        table.add_row(
            *map(Text, (model["id"], window, " ".join(efforts), " ".join(tiers), " ".join(model["input"])))
        )
    out.print(table)
    out.print(f"{_origin(listing)}. * is the model's own effort.", style="dim")
    if any(model["fast_id"] for model in listing["models"]):
        out.print(
            f"Add {FAST_SUFFIX} to an id for its fast tier, which uses up the plan sooner.", style="dim"
        )


def _origin(listing: Mapping[str, Any]) -> str:
    if listing["fetched_at"] is None:
        return "A built-in list, because ChatGPT could not be asked"
    age = time.time() - datetime.fromisoformat(listing["fetched_at"]).timestamp()
    if listing["source"] == "live" and age < 60:
        return "ChatGPT's own list, fetched just now"
    kept = "; this machine's copy, because ChatGPT could not be asked" if listing["source"] == "disk" else ""
    return f"ChatGPT's own list, fetched {span(max(1.0, age))} ago{kept}"
