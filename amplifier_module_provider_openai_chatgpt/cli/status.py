"""The command ``status``: what it reads and how it shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..quota import plan_name, span
from ..settings import LOGIN_COMMAND
from .console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from ..auth.credentials import Status
    from ..auth.tokens import Tokens
    from ..provider import ChatGPTProvider
    from ..secret import Secret


@dataclass(frozen=True, slots=True)
class SignInStatus:
    """Who is signed in, as far as this machine knows; ``tokens`` is None if there is no sign-in.

    ``why``: why a stored sign-in is not used.
    """

    status: Status
    token_file: str
    tokens: Tokens | None
    why: str = ""

    @property
    def is_signed_in(self) -> bool:
        """Whether a call can be expected to work."""
        return self.status == "authenticated"

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form, without secrets; the account id is masked."""
        found: dict[str, Any] = {"status": self.status, "token_file": self.token_file}
        if self.tokens is None:
            return found | ({"why": self.why} if self.why else {})
        return found | {
            "email": self.tokens.email or None,
            "account": masked(self.tokens.account_id),
            "plan": self.tokens.plan_type or None,
            "expires_at": self.tokens.expires_at.isoformat() if self.tokens.expires_at else None,
            "can_refresh": self.tokens.can_refresh,
        }


def read_status(provider: ChatGPTProvider) -> SignInStatus:
    """Read who is signed in, offline."""
    credentials = provider.credentials
    problem = credentials.problem()
    why = problem.text if problem else ""
    return SignInStatus(credentials.status(), credentials.place, credentials.peek(), why)


def masked(account: Secret[str]) -> str | None:
    """Shorten an account id; what is left distinguishes two accounts of one person."""
    text = account.reveal()
    return f"{text[:4]}…{text[-4:]}" if len(text) > 12 else "…" if text else None


def show_status(status: SignInStatus, out: Console) -> None:
    """Print the status, one line for each fact."""
    if status.tokens is None:
        advice = printable(status.why) or f"Run: {LOGIN_COMMAND}"
        out.print(f"Not signed in. {advice}", markup=False, soft_wrap=True)
        rows = {"Token file": status.token_file}
    else:
        expired = f"The sign-in has expired. Run: {LOGIN_COMMAND}"
        out.print("Signed in" if status.is_signed_in else expired)
        rows = _token_rows(status.tokens) | {"Token file": status.token_file}
    for name, value in rows.items():
        out.print(f"{name:<11} {printable(value) or 'unknown'}", markup=False, soft_wrap=True)


def _token_rows(tokens: Tokens) -> dict[str, str]:
    account = masked(tokens.account_id)
    return {
        "Account": " ".join(filter(None, (tokens.email, f"({account})" if account else ""))),
        "Plan": plan_name(tokens.plan_type),
        "Token": expiry_phrase(tokens),
    }


def expiry_phrase(tokens: Tokens) -> str:
    """Say how long the access token is valid and whether it is renewed."""
    if tokens.expires_at is None:
        return f"expiry unknown; {'renewed automatically' if tokens.can_refresh else 'cannot be renewed'}"
    left = (tokens.expires_at - datetime.now(UTC)).total_seconds()
    if left > 0:
        renewal = "renewed automatically" if tokens.can_refresh else "cannot be renewed"
        return f"valid for {span(left)}; {renewal}"
    return f"expired; {'renewed at the next call' if tokens.can_refresh else 'cannot be renewed'}"
