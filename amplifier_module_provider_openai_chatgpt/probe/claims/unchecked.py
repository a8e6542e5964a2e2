"""Claims that no command may check, and why: it would cost a sign-in, a limit or a good name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..claim import Claim
from .places import codex, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

_BURNS = "it would use up your limit"
_SIGN_IN = "it would end or change your sign-in"
_ABUSE = "the request could be counted as abuse"
_LARGE = "it would cost hundreds of thousands of tokens if it were not refused"


def _row(name: str, text: str, sections: Mapping[str, str], why: str) -> Claim:
    return Claim(name, text, sections, "–", "–", requests=0, why_not=why)


CLAIMS = tuple(
    _row(*row)
    for row in (
        (
            "limits.refusal",
            "A reached limit is refused with usage_limit_reached.",
            codex("Failures"),
            _BURNS,
        ),
        ("limits.busy", "Too many requests are refused with rate_limit_exceeded.", codex("Failures"), _BURNS),
        (
            "refusal.context",
            "A prompt beyond the window fails with context_length_exceeded.",
            codex("Failures"),
            _LARGE,
        ),
        (
            "refusal.long-text",
            "A text beyond its limit is refused as string_above_max_length.",
            codex("Items"),
            _LARGE,
        ),
        (
            "refusal.capacity",
            "A model without capacity fails with server_is_overloaded, mostly in the stream.",
            codex("Failures"),
            "no request causes it",
        ),
        ("refusal.policy", "A refusal by policy has a code such as cyber_policy.", codex("Failures"), _ABUSE),
        (
            "edge.user-agent",
            "Cloudflare challenges a library's default User-Agent.",
            codex("Failures"),
            _ABUSE,
        ),
        (
            "edge.originator",
            "Cloudflare challenges calls without an originator.",
            codex("Request headers"),
            _ABUSE,
        ),
        ("sign-in.refresh", "A refresh token works once and is replaced.", codex("Refresh"), _SIGN_IN),
        ("sign-in.revoke", "A revoked sign-in is refused with token_revoked.", codex("Failures"), _SIGN_IN),
        (
            "sign-in.fedramp",
            "A FedRAMP account needs the header X-OpenAI-Fedramp.",
            codex("Request headers"),
            "few accounts are of this kind",
        ),
        (
            "sign-in.poll",
            "The polls of a device code have the codes of the table.",
            codex("Polling"),
            "only a person can approve or refuse a code",
        ),
        ("limits.plan-refusal", "A reached limit is refused without a time.", plan("Refusals"), _BURNS),
        (
            "sign-in.plan-refresh",
            "A refresh token is replaced at each renewal.",
            plan("Renewal"),
            _SIGN_IN,
        ),
        ("sign-in.consent", "Without consent the plan is not used.", plan("Refusals"), _SIGN_IN),
        (
            "sign-in.eligible",
            "Other plans than Plus and Pro are refused.",
            plan("Refusals"),
            "it needs another account",
        ),
    )
)
