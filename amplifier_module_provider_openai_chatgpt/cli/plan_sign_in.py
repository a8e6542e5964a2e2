"""The commands ``login`` and ``import`` in the plan mode: prompt and outcome in a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import AuthenticationError

from ..auth.plan.configured import file_of, import_as_configured, sign_in_as_configured
from ..auth.plan.credential import PlanCredential
from ..auth.plan.sign_in import Screen
from ..auth.store import Unusable
from ..services import CHATGPT_PLAN
from ..settings import MODE_VARIABLE, PROVIDER
from .accounts import for_this_account
from .console import print_paragraphs, printable
from .desktop import has_browser, open_page
from .keyboard import can_paste, echo_off, read_line
from .status import ENABLE_PLAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from ..auth.plan.file import PlanFile
    from ..provider import ChatGPTProvider

NO_DEVICE_CODES = (
    f"“Sign in with ChatGPT” (--plan) has no device codes. Run {CHATGPT_PLAN.login}, then open the address "
    "shown in a browser on any machine."
)
SWITCH = (
    f"To use this sign-in, set auth_mode: {CHATGPT_PLAN.name} in the settings of sessions, add --plan to "
    f"commands, or set {MODE_VARIABLE}={CHATGPT_PLAN.name} for both."
)


async def sign_in(
    provider: ChatGPTProvider, notes: Console, *, use_browser: bool = False, enable_plan: bool = False
) -> None:
    """Sign in: in the browser where there is one in front of the person, else by an address to open."""
    show = _Shown(notes)

    _show_account(provider, show)
    opens = use_browser or (notes.is_terminal and has_browser(os.environ))
    screen = Screen(
        show=show,
        open_url=open_page if opens else None,
        read_line=read_line if can_paste() else None,
    )
    with echo_off():
        await sign_in_as_configured(provider.settings, screen, enable_plan=enable_plan)
    notes.print(f"Stored in {provider.credentials.place}", markup=False, soft_wrap=True)


class _Shown:
    """Shows texts, with an empty line between them."""

    def __init__(self, notes: Console) -> None:
        self._notes = notes
        self._between = ""

    def __call__(self, text: str) -> None:
        print_paragraphs(f"{self._between}{for_this_account(text.strip())}", self._notes)
        self._between = "\n"


def _show_account(provider: ChatGPTProvider, show: Callable[[str], None]) -> None:
    """Say which account this file is for: another one is refused."""
    found = file_of(provider.settings).read()
    if not isinstance(found, PlanCredential) or not found.subject:
        return
    who = printable(found.email.reveal()) or "another sign-in"
    now = "You are signed in as" if found.is_connected else "You were signed in as"
    show(f"{now} {who}.\nFor another account, stop with Ctrl-C and add --profile NAME.")


async def import_sign_in(provider: ChatGPTProvider, source: Path) -> list[str]:
    """Store a sign-in that was carried from another machine; returns the outcome, a sentence for each line.

    Raises kernel errors.
    """
    settings = provider.settings
    if problem := _problem(file_of(settings, source), file_of(settings)):
        raise AuthenticationError(f"Nothing was imported from {source}: {problem}.", provider=PROVIDER)
    credential = await import_as_configured(settings, source)
    who = printable(credential.email.reveal()) or "an account without an e-mail address"
    permission = f"This app may not use the ChatGPT plan yet: run {for_this_account(ENABLE_PLAN)}"
    return [
        f"Signed in as {who}.",
        *([] if credential.uses_plan else [permission]),
        f"Stored in {provider.credentials.place}",
        f"Only one machine can renew a sign-in: remove {source}, and do not use it where it came from.",
    ]


def _problem(source: PlanFile, own: PlanFile) -> str:
    """Say why nothing can be imported from a file, as the end of a sentence; empty if something can."""
    found = source.read()
    if isinstance(found, Unusable):
        return found.why
    if found is None:
        return "there is no such file"
    if _is_same(source.path, own.path):
        return "it is the file that this command uses already"
    return "" if found.is_connected else "it contains no sign-in"


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
