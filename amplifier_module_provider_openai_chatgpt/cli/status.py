"""The command ``status``: what it reads and how it shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..quota.words import plan_name, span
from ..services import CHATGPT_PLAN, SERVICES
from .accounts import for_this_account
from .console import print_wrapped, printable

if TYPE_CHECKING:
    from rich.console import Console

    from ..auth.credentials import Status
    from ..auth.tokens import Tokens
    from ..provider import ChatGPTProvider
    from ..secret import Secret

ENABLE_PLAN = f"{CHATGPT_PLAN.login} --enable-plan"


@dataclass(frozen=True, slots=True)
class SignInStatus:
    """Who is signed in, as far as this machine knows; ``tokens`` is None if there is no sign-in.

    ``why``: why a stored sign-in is not used.
    """

    mode: str
    status: Status
    token_file: str
    tokens: Tokens | None
    why: str = ""

    @property
    def is_signed_in(self) -> bool:
        """Whether a call can be expected to work."""
        return self.status == "authenticated" and (self.tokens is None or self.tokens.uses_plan)

    @property
    def login(self) -> str:
        """The command that signs in."""
        return SERVICES[self.mode].login

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form, without secrets; the account id is masked."""
        found: dict[str, Any] = {
            "auth_mode": self.mode,
            "status": self.status,
            "token_file": self.token_file,
        }
        tokens = self.tokens
        if tokens is None:
            return found | ({"why": self.why} if self.why else {})
        return found | {
            "email": tokens.email or None,
            "account": masked(tokens.account_id),
            "plan": tokens.plan_type or None,
            **({"plan_enabled": tokens.uses_plan} if self.mode == CHATGPT_PLAN.name else {}),
            "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
            "can_refresh": tokens.can_refresh,
        }


def read_status(provider: ChatGPTProvider) -> SignInStatus:
    """Read who is signed in, offline."""
    credentials = provider.credentials
    problem = credentials.problem()
    why = problem.text if problem else ""
    mode = provider.settings.auth_mode
    return SignInStatus(mode, credentials.status(), credentials.place, credentials.peek(), why)


def masked(account: Secret[str]) -> str | None:
    """Shorten an account id; what is left distinguishes two accounts of one person."""
    text = account.reveal()
    return f"{text[:4]}…{text[-4:]}" if len(text) > 12 else "…" if text else None


def show_status(status: SignInStatus, out: Console) -> None:
    """Print the status, one line for each fact."""
    print_wrapped(for_this_account(_headline(status)), out)
    rows = {"Mode": status.mode} | _token_rows(status) | {"Token file": status.token_file}
    width = max(map(len, (*rows, "Token file ")))
    for name, value in rows.items():
        out.print(f"{name:<{width}} {printable(value) or 'unknown'}", markup=False, soft_wrap=True)


def _headline(status: SignInStatus) -> str:
    if status.tokens is None:
        return f"Not signed in. {printable(status.why) or f'Run: {status.login}'}"
    if status.status != "authenticated":
        return f"The sign-in has expired. Run: {status.login}"
    if not status.tokens.uses_plan:
        return f"Signed in, but this app may not use your ChatGPT plan. Run: {ENABLE_PLAN}"
    return "Signed in"


def _token_rows(status: SignInStatus) -> dict[str, str]:
    tokens = status.tokens
    if tokens is None:
        return {}
    account = masked(tokens.account_id)
    who = " ".join(filter(None, (tokens.email, f"({account})" if account else "")))
    plan, token = plan_name(tokens.plan_type), expiry_phrase(tokens)
    if status.mode != CHATGPT_PLAN.name:
        return {"Account": who, "Plan": plan, "Token": token}
    allowed = "allowed" if tokens.uses_plan else "not allowed"
    known = {"Plan": plan} if plan else {}
    return {
        "Account": who,
        **known,
        "Plan use": allowed,
        "Token": token,
        "Manage usage": CHATGPT_PLAN.usage_page,
    }


def expiry_phrase(tokens: Tokens) -> str:
    """Say how long the access token is valid and whether it is renewed."""
    renewal = "renewed automatically" if tokens.can_refresh else "cannot be renewed"
    if tokens.expires_at is None:
        return f"expiry unknown; {renewal}"
    left = (tokens.expires_at - datetime.now(UTC)).total_seconds()
    if left > 0:
        return f"valid for {span(left)}; {renewal}"
    return f"expired; {'renewed at the next call' if tokens.can_refresh else 'cannot be renewed'}"
