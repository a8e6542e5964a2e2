"""The commands of the console script ``amplifier-openai-chatgpt``: arguments, exit codes and errors.

Each command imports what it needs when it runs, which keeps ``--help`` fast. Exit codes: 0 success,
1 failure, 2 wrong usage.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from .accounts import add_options

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from ..provider import ChatGPTProvider
    from .console import Screen
    from .signing_in import Way

Result = TypeVar("Result")

# The names in simulator.WORLDS; importing them would slow --help down.
SIMULATED_WORLDS = ("august-2026", "november-2026")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    package_name="amplifier-module-provider-openai-chatgpt", prog_name="amplifier-openai-chatgpt"
)
def cli() -> None:
    """Use a ChatGPT subscription in Amplifier."""


@cli.command()
@click.option("--browser", "way", flag_value="browser", help="Use a browser on this machine.")
@click.option("--device", "way", flag_value="device", help="Use a code, in a browser on any machine.")
def login(*, way: Way | None) -> None:
    """Sign in to ChatGPT.

    Opens your browser on a machine with a desktop; elsewhere, and over SSH, shows a code to enter in a
    browser on any machine.
    """
    from . import signing_in
    from .signals import tidy

    _run(tidy(signing_in.sign_in(_provider(), _console(stderr=True), way)))


@cli.command()
def logout() -> None:
    """Sign out on this machine and at OpenAI."""
    from . import signing_in

    outcome = _run(signing_in.sign_out(_provider()), "Signing out")
    _console(stderr=True).print(outcome)


@cli.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show who is signed in.

    Uses no network: shows what this machine knows, and the profiles that exist. The exit code is 1 if you
    need to sign in.
    """
    from .accounts import profiles, show_profiles
    from .screens import read_status, show_status

    status, others = read_status(_provider()), profiles()
    if as_json:
        listed = {"profiles": [profile.to_dict() for profile in others]} if others else {}
        _print_json(status.to_dict() | listed)
    else:
        show_status(status, _console())
        show_profiles(others, status.token_file, _console())
    if not status.is_signed_in:
        raise click.exceptions.Exit(1)


@cli.command()
@json_option
def usage(*, as_json: bool) -> None:
    """Show how much of your limits is used.

    Shows a bar and the local reset time for each limit window, and your credits.
    """
    from .screens import fetch_quota, show_usage

    provider = _provider()
    quota = _run(fetch_quota(provider), "Contacting ChatGPT")
    page = provider.settings.service.usage_page
    _print_json(quota.usage()) if as_json else show_usage(quota, page, _console())


@cli.command()
@click.option("--roles", is_flag=True, help="Show which model and effort each role of Amplifier gets.")
@json_option
def models(*, roles: bool, as_json: bool) -> None:
    """List the models your plan offers."""
    if roles:
        _show_roles(as_json=as_json)
        return
    from .screens import fetch_models, show_models

    found = _run(fetch_models(_provider()), "Contacting ChatGPT")
    _print_json(found.to_dict()) if as_json else show_models(found, _console())


def _show_roles(*, as_json: bool) -> None:
    from .roles import fetch_roles, show_roles

    found = _run(fetch_roles(_provider()), "Contacting ChatGPT")
    _print_json(found.to_dict()) if as_json else show_roles(found, _console())


def _model_ids(_: click.Context, __: click.Parameter, prefix: str) -> list[str]:
    """Complete a model id from the models known offline."""
    from ..models.model import model_infos
    from ..provider import ChatGPTProvider

    infos = model_infos(ChatGPTProvider().catalogue.known())
    return [info.id for info in infos if info.id.startswith(prefix)]


def _efforts(_: click.Context, __: click.Parameter, prefix: str) -> list[str]:
    from ..settings import EFFORTS

    return [effort for effort in EFFORTS if effort.startswith(prefix)]


@cli.command()
@click.argument("prompt", default="-")
@click.option("--model", help="Model id, as the command models lists it.", shell_complete=_model_ids)
@click.option("--effort", help="Reasoning effort: low, medium, high …", shell_complete=_efforts)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Attach a PNG, JPEG, GIF or WebP image; repeatable.",
)
@json_option
def ask(
    prompt: str, *, model: str | None, effort: str | None, images: tuple[str, ...], as_json: bool
) -> None:
    """Ask one question.

    Without PROMPT, or with `-`, reads it from stdin. In a terminal, thinking and answer stream in; a pipe
    or a file gets only the answer, once it is complete.
    """
    from .ask import Question, ask_once, show_answer
    from .console import spinner
    from .transcript import Transcript

    question = Question(_read_prompt(prompt), model=model, effort=effort, images=images)
    out = _console()
    is_streamed = out.is_terminal and not as_json
    with spinner("Waiting for the model") as stop:
        transcript = Transcript(out, on_output=stop) if is_streamed else None
        answer = _run(ask_once(_provider(), question, transcript))
    _print_json(answer.to_dict()) if as_json else show_answer(answer, out, _console(stderr=True))


def _read_prompt(argument: str) -> str:
    if argument == "-" and sys.stdin.isatty():
        click.echo("Type the prompt, then Ctrl-D on a line of its own:", err=True)
    text = sys.stdin.read() if argument == "-" else argument
    if not text.strip():
        raise click.UsageError("The prompt is empty: pass one, or pipe one in.")
    return text


@cli.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check what works and what does not.

    Checks settings, sign-in, network and backend step by step and says how to fix what fails. The last
    step sends a short test request. The exit code is 1 if a check fails.
    """
    from .doctor import run_checks, show_findings

    findings = _run(run_checks(os.environ), "Checking")
    if as_json:
        _print_json([finding.to_dict() for finding in findings])
    else:
        show_findings(findings, _console())
    if any(finding.ok is False for finding in findings):
        raise click.exceptions.Exit(1)


@cli.command("install-routing")
@click.option("--force", is_flag=True, help="Replace an existing matrix without asking.")
def install_routing(*, force: bool) -> None:
    """Install the routing matrix.

    Copies it to ~/.amplifier/routing, where Amplifier looks for it. Asks before it replaces a matrix that
    differs.
    """
    from .install_routing import MATRIX_NAME, destination, install

    target = destination()
    try:
        outcome = install(target, lambda path: force or _confirm_replacing(path))
    except OSError as error:
        raise Failure(f"The routing matrix could not be installed: {error}") from error
    if outcome == "kept":
        raise Failure(f"{target} differs from this version's matrix and was kept; --force replaces it.")
    label = {"unchanged": "Already installed", "installed": "Installed", "replaced": "Replaced"}[outcome]
    out = _console()
    out.print(f"{label}: {target}", markup=False, soft_wrap=True)
    out.print(f"To activate it: amplifier routing use {MATRIX_NAME}")


def _confirm_replacing(path: Path) -> bool:
    """Ask the user; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"{path} differs from this version's matrix. Replace it?", err=True)


@cli.command()
@click.argument("prompt", default="What time is it in Tokyo?")
def demo(prompt: str) -> None:
    """Run a whole conversation offline.

    A simulated ChatGPT on this machine answers. You need no account, and nothing leaves the machine.
    """
    with _require_simulator():
        from .demo import run_demo

    _run(run_demo(prompt, _console(), _console(stderr=True)))
    _exit_now()


@cli.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65534),
    default=0,
    metavar="PORT",
    show_default="any free port",
    help="Port on 127.0.0.1; sign-in uses the next one.",
)
@click.option(
    "--world",
    type=click.Choice(SIMULATED_WORLDS),
    metavar="MONTH",
    help=f"The ChatGPT of which month: {' or '.join(SIMULATED_WORLDS)} (default).",
)
def simulate(port: int, world: str | None) -> None:
    """Serve a simulated ChatGPT.

    Prints how to use it and runs until you press Ctrl-C.
    """
    with _require_simulator():
        from ..simulator import serve

    try:
        serve(port, click.echo, world)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise Failure(f"Port {port} on 127.0.0.1 cannot be used: {reason}.") from error


add_options(cli)


def _open_closed_outputs() -> None:
    """Let notes go nowhere if the shell closed stderr (`2>&-`), and the answer if it closed stdout."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


def main() -> None:
    """Run the console script."""
    _open_closed_outputs()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character the terminal's encoding lacks must not end a command.
        sys.stdout.reconfigure(errors="replace")
    try:
        cli()
    except OSError as error:
        sys.stderr.write(f"Error: The output could not be written: {error.strerror}\n")
        _exit_now(1)


class Failure(click.ClickException):
    """One sentence on stderr, wrapped between words, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Print the sentence."""
        from rich.text import Text

        _console(stderr=True).print(Text.assemble(("Error: ", "red"), self.format_message()))


class Misuse(Failure):
    """A failure before anything was tried, with exit code 2."""

    exit_code = 2


def _provider() -> ChatGPTProvider:
    """Build the provider that the environment variables configure."""
    from amplifier_core.llm_errors import ConfigurationError

    from ..provider import ChatGPTProvider

    provider = ChatGPTProvider()
    try:
        provider.check()
    except ConfigurationError as error:
        raise Misuse(str(error)) from error
    return provider


def _run(work: Coroutine[None, None, Result], status: str = "") -> Result:
    """Run a coroutine; an expected error becomes one sentence on stderr and exit code 1.

    A terminal shows ``status`` while it runs.
    """
    import asyncio

    from amplifier_core.llm_errors import LLMError

    from .console import error_text, spinner

    try:
        with spinner(status) if status else nullcontext():
            return asyncio.run(work)
    except BrokenPipeError:
        raise
    except (LLMError, OSError, RuntimeError) as error:
        raise Failure(error_text(error)) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _console(*, stderr: bool = False) -> Screen:
    from .console import new_console

    return new_console(stderr=stderr)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def _require_simulator() -> Iterator[None]:
    """Name the extra to install if the simulator's server packages are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise Failure(
            "The simulator needs starlette and uvicorn: install this package with the extra 'simulator'."
        ) from error


def _exit_now(code: int = 0) -> NoReturn:
    """Exit without finalizing the interpreter.

    amplifier-core's native threads may call into Python while it finalizes, which crashes a short
    program after its work is done; and an output that failed once fails again.
    """
    with suppress(OSError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
