"""Which account a command uses: ``--plan``, ``--profile``, ``--token-file``, and the profiles that exist.

The options set environment variables for this command and the processes it starts.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ..auth.store import Unusable

VARIABLE = "OPENAI_CHATGPT_TOKEN_FILE"
MODE_VARIABLE, PLAN = "OPENAI_CHATGPT_AUTH_MODE", "chatgpt_plan"
DEFAULT = "default"
# Lower case only: some file systems do not distinguish.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_SIGNS_IN_OR_OUT = re.compile(r"amplifier-openai-chatgpt log(?:in|out)(?: --plan)?\b")
# Where click keeps the options that were used, by variable.
_USED = "used options"
# Commands that use no account, and those that exist in the plan mode only.
_WITHOUT = frozenset({"demo", "simulate", "install-routing"})
_PLAN_ONLY = frozenset({"import", "host-id"})
# The id of this machine is next to the sign-ins of the plan mode.
_HOST_FILE = "host"


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
    """Return the token file of a profile in the mode of this command.

    Raises ValueError for a name that cannot be one.
    """
    default = _default_path()
    if name == DEFAULT:
        return default
    if not _is_name(name):
        raise ValueError(name)
    return default.with_name(f"{_prefix(default)}{name}{default.suffix}")


def _default_path() -> Path:
    from ..services import SERVICES  # --help does without it
    from ..settings import mode_of

    return Path(SERVICES[mode_of(os.environ)].token_file).expanduser()


def _prefix(default: Path) -> str:
    """Return the beginning of the file names of profiles: the plan mode has a folder of its own for them."""
    return "" if default.stem == DEFAULT else f"{default.stem}-"


def _is_name(name: str) -> bool:
    is_taken = name == _HOST_FILE and _prefix(_default_path()) == ""
    return _NAME.fullmatch(name) is not None and not is_taken


def profile_paths() -> dict[str, Path]:
    """Return the token file of each profile that exists, the default one first."""
    default = _default_path()
    prefix = _prefix(default)
    found = sorted(default.parent.glob(f"{prefix}*{default.suffix}"))
    named = {path.stem.removeprefix(prefix): path for path in found if path != default}
    known = {name: path for name, path in named.items() if _is_name(name)}
    return {DEFAULT: default, **known} if default.exists() else known


def profiles() -> list[Profile]:
    """Return the default sign-in and the profiles that exist; nothing where there is no profile."""
    found = profile_paths()
    return [_read(name, path) for name, path in found.items()] if found.keys() - {DEFAULT} else []


def _read(name: str, path: Path) -> Profile:
    from ..auth.store import Unusable

    found = _stored(path)
    if isinstance(found, Unusable):
        return Profile(name, path, "", found.why)
    return Profile(name, path, found) if found else Profile(name, path, "", "it is signed out")


def _stored(path: Path) -> str | Unusable:
    """Return the e-mail address of a sign-in, else why it is not used; empty where there is none."""
    from ..settings import mode_of

    if mode_of(os.environ) == PLAN:
        from ..auth.plan.configured import stored_account
        from ..settings import read_settings

        return stored_account(read_settings({"token_file_path": path}, os.environ))
    from ..auth.store import Unusable
    from ..auth.token_file import TokenFile

    found = TokenFile(path).read()
    return found if isinstance(found, Unusable) else found.email if found else ""


def show_profiles(found: list[Profile], in_use: str, out: Console) -> None:
    """Print one line for each profile; a star marks the one in use."""
    if not found:
        return
    from .console import print_wrapped, printable

    width = max(len(profile.name) for profile in found)
    out.print("\nProfiles")
    for profile in found:
        mark = "*" if str(profile.path) == in_use else " "
        who = printable(profile.email) or (f"not used: {profile.why}" if profile.why else "unknown")
        print_wrapped(f"{mark} {profile.name:<{width}}  {who}", out, " " * (width + 4))


def add_options(commands: click.Group) -> None:
    """Give every command that uses an account the options that choose one."""
    for command in commands.commands.values():
        if command.name not in _WITHOUT:
            mode = _plan_option(is_plan_only=command.name in _PLAN_ONLY)
            command.params += [mode, _profile_option(), _token_file_option()]


def _plan_option(*, is_plan_only: bool) -> click.Option:
    """Return the option that chooses the mode; it is read before the others, which depend on it."""
    return click.Option(
        ["--plan"],
        is_flag=True,
        is_eager=True,
        default=is_plan_only,
        hidden=is_plan_only,
        help="Use Sign in with ChatGPT, as auth_mode chatgpt_plan does.",
        expose_value=False,
        callback=_use_plan,
    )


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
    return [name for name in profile_paths() if name.startswith(prefix)]


def _use_plan(context: click.Context, _: click.Parameter, is_chosen: bool) -> None:
    if is_chosen:
        _set(context, MODE_VARIABLE, PLAN, "--plan")


def used_option(variable: str) -> str:
    """Return the option of this command that set a variable, with its value; empty if none did."""
    context = click.get_current_context(silent=True)
    used: dict[str, str] = context.meta.get(_USED, {}) if context else {}
    return used.get(variable, "")


def for_this_account(text: str) -> str:
    """Add the account that this command uses to the commands in a text that sign in or out."""
    option = used_option(VARIABLE)
    return _SIGNS_IN_OR_OUT.sub(lambda found: f"{found[0]} {option}", text) if option else text


def is_plan_chosen_here() -> bool:
    """True if only an option of this command, and nothing in the environment, chose the plan mode."""
    before: str = click.get_current_context().meta.get(MODE_VARIABLE, PLAN)
    return before != PLAN


def _use_profile(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    try:
        _use(context, path_of(name), f"--profile {name}")
    except ValueError:
        allowed = "up to 32 lower-case letters, digits, - and _, a letter or digit first"
        allowed += ", and not 'host' with --plan" if name == _HOST_FILE else ""
        raise click.BadParameter(f"{name!r} is not a profile name: {allowed}.", context, parameter) from None


def _use_token_file(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is not None:
        own = Path(path).expanduser().absolute()
        _use(context, own, f"--token-file {shlex.quote(str(own))}")


def _use(context: click.Context, path: Path, option: str) -> None:
    """Let this command use a token file."""
    if VARIABLE in context.meta:
        raise click.UsageError("Use either --profile or --token-file.", context)
    _set(context, VARIABLE, str(path), option)


def _set(context: click.Context, variable: str, value: str, option: str) -> None:
    """Set a variable until the program ends, also if another option is wrong."""
    if context.resilient_parsing:
        return
    context.meta.setdefault(_USED, {})[variable] = option
    context.meta[variable] = before = os.environ.get(variable, "")
    os.environ[variable] = value

    @context.find_root().call_on_close
    def restore() -> None:
        if before:
            os.environ[variable] = before
        else:
            os.environ.pop(variable, None)
