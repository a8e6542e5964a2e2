"""Which account a command uses: ``--profile``, ``--token-file``, and the profiles that exist."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

VARIABLE = "OPENAI_CHATGPT_TOKEN_FILE"
DEFAULT = "default"
# Lower case only: some file systems do not distinguish.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# Commands that use no account.
_WITHOUT = frozenset({"demo", "simulate", "install-routing"})


@dataclass(frozen=True, slots=True)
class Profile:
    """A stored sign-in: who it is, or why it is not used."""

    name: str
    path: Path
    email: str
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form, without secrets."""
        found = {"name": self.name, "token_file": str(self.path), "email": self.email or None}
        return found | ({"why": self.why} if self.why else {})


def path_of(name: str) -> Path:
    """Return the token file of a profile. Raises ValueError for a name that cannot be one."""
    from ..services import CHATGPT_CODEX  # --help does without it

    default = Path(CHATGPT_CODEX.token_file).expanduser()
    if name == DEFAULT:
        return default
    if not _NAME.fullmatch(name):
        raise ValueError(name)
    return default.with_name(f"{default.stem}-{name}{default.suffix}")


def profiles() -> list[Profile]:
    """Return the default sign-in and the profiles that exist; nothing where there is no profile."""
    default = path_of(DEFAULT)
    prefix = f"{default.stem}-"
    found = sorted(default.parent.glob(f"{prefix}*{default.suffix}"))
    named = {path.stem.removeprefix(prefix): path for path in found}
    known = {name: path for name, path in named.items() if _NAME.fullmatch(name)}
    every = {DEFAULT: default, **known} if default.exists() else known
    return [_read(name, path) for name, path in every.items()] if known else []


def _read(name: str, path: Path) -> Profile:
    from ..auth.token_file import TokenFile
    from ..auth.tokens import Tokens

    found = TokenFile(path).read()
    if isinstance(found, Tokens):
        return Profile(name, path, found.email)
    return Profile(name, path, "", found.why if found else "it is gone")


def show_profiles(found: list[Profile], in_use: str, out: Console) -> None:
    """Print one line for each profile; a star marks the one in use."""
    if not found:
        return
    from .console import printable

    width = max(len(profile.name) for profile in found)
    out.print("\nProfiles")
    for profile in found:
        mark = "*" if str(profile.path) == in_use else " "
        who = printable(profile.email) or (f"not used: {profile.why}" if profile.why else "unknown")
        out.print(f"{mark} {profile.name:<{width}}  {who}", markup=False, soft_wrap=True)


def add_options(commands: click.Group) -> None:
    """Give every command that uses an account the options that choose one."""
    for command in commands.commands.values():
        if command.name not in _WITHOUT:
            command.params += [_profile_option(), _token_file_option()]


def _profile_option() -> click.Option:
    return click.Option(
        ["--profile"],
        metavar="NAME",
        help="Use another account: the sign-in of this name.",
        expose_value=False,
        callback=_use_profile,
        shell_complete=_complete,
    )


def _token_file_option() -> click.Option:
    return click.Option(
        ["--token-file"],
        type=click.Path(dir_okay=False),
        metavar="PATH",
        help="Use the sign-in in this file.",
        expose_value=False,
        callback=_use_token_file,
    )


def _complete(_: click.Context, __: click.Parameter, prefix: str) -> list[str]:
    return [profile.name for profile in profiles() if profile.name.startswith(prefix)]


def _use_profile(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    try:
        _use(context, path_of(name))
    except ValueError:
        allowed = "up to 32 lower-case letters, digits, - and _, a letter or digit first"
        raise click.BadParameter(f"{name!r} is not a profile name: {allowed}.", context, parameter) from None


def _use_token_file(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is not None:
        _use(context, Path(path).expanduser().absolute())


def _use(context: click.Context, path: Path) -> None:
    """Let this command, and the processes it starts, use a token file."""
    if context.resilient_parsing:
        return
    if VARIABLE in context.meta:
        raise click.UsageError("Use either --profile or --token-file.", context)
    context.meta[VARIABLE] = before = os.environ.get(VARIABLE, "")
    os.environ[VARIABLE] = str(path)

    @context.call_on_close
    def restore() -> None:
        if before:
            os.environ[VARIABLE] = before
        else:
            os.environ.pop(VARIABLE, None)
