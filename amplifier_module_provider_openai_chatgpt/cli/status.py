"""The command ``status``: what it reads and how it shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..quota import plan_name, span
from ..services import CHATGPT_PLAN, SERVICES
from .console import printable

if TYPE_CHECKING:
    from rich.console import Console

    from ..auth.credentials import Status
    from ..provider import ChatGPTProvider
    from ..secret import Secret

ENABLE_PLAN = f"{CHATGPT_PLAN.login} --enable-plan"


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in, and until when; ``uses_plan`` is None where the plan needs no permission."""

    email: str
    account_id: Secret[str]
    plan_type: str
    expires_at: datetime | None
    can_refresh: bool
    uses_plan: bool | None = None


@dataclass(frozen=True, slots=True)
class SignInStatus:
    """Who is signed in, as far as this machine knows; ``account`` is None if there is no sign-in.

    ``why``: why a stored sign-in is not used.
    """

    mode: str
    status: Status
    token_file: str
    account: Account | None
    why: str = ""

    @property
    def is_signed_in(self) -> bool:
        """Whether a call can be expected to work."""
        is_allowed = self.account is None or self.account.uses_plan is not False
        return self.status == "authenticated" and is_allowed

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
        account = self.account
        if account is None:
            return found | ({"why": self.why} if self.why else {})
        uses_plan = {} if account.uses_plan is None else {"plan_enabled": account.uses_plan}
        return found | {
            "email": account.email or None,
            "account": masked(account.account_id),
            "plan": account.plan_type or None,
            **uses_plan,
            "expires_at": account.expires_at.isoformat() if account.expires_at else None,
            "can_refresh": account.can_refresh,
        }


def read_status(provider: ChatGPTProvider) -> SignInStatus:
    """Read who is signed in, offline."""
    credentials = provider.credentials
    problem = credentials.problem()
    why = problem.text if problem else ""
    mode = provider.settings.auth_mode
    return SignInStatus(mode, credentials.status(), credentials.place, read_account(provider), why)


def read_account(provider: ChatGPTProvider) -> Account | None:
    """Read the account of the stored sign-in, offline; None if there is none."""
    tokens = provider.credentials.peek()
    if tokens is None:
        return None
    if provider.settings.auth_mode == CHATGPT_PLAN.name:
        return _plan_account(provider)
    return Account(
        tokens.email, tokens.account_id, tokens.plan_type, tokens.expires_at, can_refresh=tokens.can_refresh
    )


def _plan_account(provider: ChatGPTProvider) -> Account | None:
    from ..auth.plan.configured import file_of
    from ..auth.plan.credential import PlanCredential

    found = file_of(provider.settings).read()
    if not isinstance(found, PlanCredential):
        return None
    return Account(
        found.email.reveal(),
        found.subject,
        "",
        None if found.expires_at is None else datetime.fromtimestamp(found.expires_at, UTC),
        can_refresh=bool(found.refresh_token or found.pending),
        uses_plan=found.uses_plan,
    )


def masked(account: Secret[str]) -> str | None:
    """Shorten an account id; what is left distinguishes two accounts of one person."""
    text = account.reveal()
    return f"{text[:4]}…{text[-4:]}" if len(text) > 12 else "…" if text else None


def show_status(status: SignInStatus, out: Console) -> None:
    """Print the status, one line for each fact."""
    out.print(_headline(status), markup=False, soft_wrap=True)
    account = _account_rows(status.account) if status.account else {}
    rows = {"Mode": status.mode} | account | {"Token file": status.token_file}
    width = max(map(len, (*rows, "Token file ")))
    for name, value in rows.items():
        out.print(f"{name:<{width}} {printable(value) or 'unknown'}", markup=False, soft_wrap=True)


def _headline(status: SignInStatus) -> str:
    if status.account is None:
        return f"Not signed in. {printable(status.why) or f'Run: {status.login}'}"
    if status.status != "authenticated":
        return f"The sign-in has expired. Run: {status.login}"
    if status.account.uses_plan is False:
        return f"Signed in, but this app may not use your ChatGPT plan. Run: {ENABLE_PLAN}"
    return "Signed in"


def _account_rows(account: Account) -> dict[str, str]:
    shown = masked(account.account_id)
    who = " ".join(filter(None, (account.email, f"({shown})" if shown else "")))
    token = expiry_phrase(account.expires_at, can_refresh=account.can_refresh)
    if account.uses_plan is None:
        return {"Account": who, "Plan": plan_name(account.plan_type), "Token": token}
    allowed = "allowed" if account.uses_plan else "not allowed"
    return {"Account": who, "Plan use": allowed, "Token": token, "Manage usage": CHATGPT_PLAN.usage_page}


def expiry_phrase(expires_at: datetime | None, *, can_refresh: bool) -> str:
    """Say how long the access token is valid and whether it is renewed."""
    renewal = "renewed automatically" if can_refresh else "cannot be renewed"
    if expires_at is None:
        return f"expiry unknown; {renewal}"
    left = (expires_at - datetime.now(UTC)).total_seconds()
    if left > 0:
        return f"valid for {span(left)}; {renewal}"
    return f"expired; {'renewed at the next call' if can_refresh else 'cannot be renewed'}"
