"""The command ``logout``: what becomes of a sign-in, and of a file that is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..services import CHATGPT_CODEX, CHATGPT_PLAN

if TYPE_CHECKING:
    from ..provider import ChatGPTProvider

# What is said, by mode, if OpenAI confirmed the revocation, and if it did not.
_CONFIRMED = {
    CHATGPT_CODEX.name: "Signed out.",
    CHATGPT_PLAN.name: "Signed out. OpenAI confirmed that the sign-in is revoked. "
    "The app stays listed in ChatGPT's settings; you can remove it there.",
}
_UNCONFIRMED = {
    CHATGPT_CODEX.name: "Signed out on this machine. OpenAI could not be notified; "
    "the token will expire on its own.",
    CHATGPT_PLAN.name: "Signed out on this machine, but OpenAI did not confirm that the sign-in is revoked. "
    "Its access token expires within an hour; to be sure, remove the app in ChatGPT's settings.",
}


async def sign_out(provider: ChatGPTProvider) -> str:
    """Delete the stored sign-in and revoke it at OpenAI if possible; returns the outcome as a sentence."""
    if provider.credentials.peek() is None:
        return await _remove_unusable(provider)
    is_confirmed = await provider.credentials.sign_out()
    return (_CONFIRMED if is_confirmed else _UNCONFIRMED)[provider.settings.auth_mode]


async def _remove_unusable(provider: ChatGPTProvider) -> str:
    """Remove what is stored but not used, unless it is not a sign-in of ours; says which it was."""
    credentials = provider.credentials
    problem, place = credentials.problem(), credentials.place
    if problem is None:
        return "Not signed in."
    if not problem.is_removable:
        return f"Not signed in. {place} was left as it is: {problem.why}."
    was_revoked = await credentials.remove_unusable()
    outcome = "The sign-in in it was revoked." if was_revoked else "OpenAI could not be notified."
    return f"Removed {place}, which was not used: {problem.why}. {outcome}"
