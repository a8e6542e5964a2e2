"""The console script ``amplifier-openai-chatgpt``: what a person types, and where it goes.

Commands import what they need when they run, so that ``--help`` answers at once. Exit codes: 0 done,
1 failed, 2 wrong use.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from ..provider import ChatGPTProvider
    from .console import Screen

Result = TypeVar("Result")

# The names of simulator.WORLDS; importing that would slow --help down.
SIMULATED_WORLDS = ("august-2026", "november-2026")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    package_name="amplifier-module-provider-openai-chatgpt", prog_name="amplifier-openai-chatgpt"
)
def cli() -> None:
    """Use a ChatGPT subscription in Amplifier: sign in once, look after the sign-in, try things out."""


@cli.command()
@click.option("--browser", is_flag=True, help="Sign in through a browser on this machine.")
def login(*, browser: bool) -> None:
    """Sign in to ChatGPT."""
    from . import signing_in

    work = signing_in.by_browser if browser else signing_in.by_device_code
    _run(work(_provider(), _screen(stderr=True)))


@cli.command()
def logout() -> None:
    """Sign out, here and at OpenAI."""
    from . import signing_in

    outcome = _run(signing_in.sign_out(_provider()), "Telling OpenAI")
    _screen(stderr=True).print(outcome)


@cli.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show who is signed in.

    Uses no network: it tells what this machine knows. The exit code is 1 when a sign-in is needed.
    """
    from .screens import show_status, status_of

    found = status_of(_provider())
    _print_json(found) if as_json else show_status(found, _screen())
    if found["status"] != "authenticated":
        raise click.exceptions.Exit(1)


@cli.command()
@json_option
def usage(*, as_json: bool) -> None:
    """Show what is left of your limits.

    A bar for each window, the local time at which it starts anew, and the credits.
    """
    from ..services import CHATGPT_CODEX
    from .screens import quota_of, show_usage

    quota = _run(quota_of(_provider()), "Asking ChatGPT")
    _print_json(quota.usage()) if as_json else show_usage(quota, CHATGPT_CODEX.usage_page, _screen())


@cli.command()
@click.option("--roles", is_flag=True, help="Show which model and effort each role of Amplifier gets.")
@json_option
def models(*, roles: bool, as_json: bool) -> None:
    """List the models of your plan."""
    if roles:
        _show_roles(as_json=as_json)
        return
    from .screens import models_of, show_models

    listing = _run(models_of(_provider()), "Asking ChatGPT")
    _print_json(listing) if as_json else show_models(listing, _screen())


def _show_roles(*, as_json: bool) -> None:
    from .roles import fetch_roles, show_roles

    found = _run(fetch_roles(_provider()), "Asking ChatGPT")
    _print_json(found.to_dict()) if as_json else show_roles(found, _screen())


def _model_ids(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """Complete a model id from what is known offline."""
    from ..models.model import model_infos
    from ..provider import ChatGPTProvider

    infos = model_infos(ChatGPTProvider().catalogue.known())
    return [info.id for info in infos if info.id.startswith(begun)]


def _efforts(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    from ..settings import EFFORTS

    return [effort for effort in EFFORTS if effort.startswith(begun)]


@cli.command()
@click.argument("prompt", default="-")
@click.option("--model", help="Model id; see the command models.", shell_complete=_model_ids)
@click.option("--effort", help="How hard the model thinks: low, medium, high …", shell_complete=_efforts)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Show a png, jpeg, gif or webp image; may be given several times.",
)
@json_option
def ask(
    prompt: str, *, model: str | None, effort: str | None, images: tuple[str, ...], as_json: bool
) -> None:
    """Ask one question and see the answer.

    Without PROMPT, or with `-`, it is read from stdin. A terminal sees the thinking and the answer as they
    come; a pipe or a file gets the answer alone, once it is whole.
    """
    from .asking import Question, ask_once, show_answer
    from .console import waiting
    from .terminal import Transcript

    question = Question(_prompt(prompt), model=model, effort=effort, images=images)
    out = _screen()
    streams = out.is_terminal and not as_json
    with waiting("Waiting for the model") as stop:
        transcript = Transcript(out, on_output=stop) if streams else None
        answer = _run(ask_once(_provider(), question, transcript))
    _print_json(answer) if as_json else show_answer(answer, out, _screen(stderr=True))


def _prompt(argument: str) -> str:
    if argument == "-" and sys.stdin.isatty():
        click.echo("Type the prompt, then Ctrl-D on a line of its own:", err=True)
    text = sys.stdin.read() if argument == "-" else argument
    if not text.strip():
        raise click.UsageError("There is no prompt: give one, or pipe one in.")
    return text


@cli.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Find out what does not work.

    Checks settings, sign-in, network and backend step by step, and says what to do. The last step is a small
    call. The exit code is 1 when something is wrong.
    """
    from .doctor import examine, show_findings

    findings = _run(examine(os.environ), "Checking")
    _print_json([finding.to_dict() for finding in findings]) if as_json else show_findings(
        findings, _screen()
    )
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


@cli.command("install-routing")
@click.option("--force", is_flag=True, help="Replace a differing matrix without asking.")
def install_routing(*, force: bool) -> None:
    """Install the routing matrix.

    Copies it to ~/.amplifier/routing, where Amplifier looks for it. One that is there already and differs
    is never replaced without asking.
    """
    from . import matrix

    target = matrix.destination()
    try:
        outcome = matrix.install(target, lambda path: force or _is_to_be_replaced(path))
    except OSError as error:
        raise Failure(f"The routing matrix could not be installed: {error}") from error
    if outcome == "kept":
        raise Failure(f"{target} differs and was kept; --force replaces it.")
    said = {"unchanged": "There already", "installed": "Installed", "replaced": "Replaced"}[outcome]
    out = _screen()
    out.print(f"{said}: {target}", markup=False, soft_wrap=True)
    out.print(f"To use it: amplifier routing use {matrix.NAME}")


def _is_to_be_replaced(path: object) -> bool:
    """Ask the person, if there is one."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"{path} differs from this version's matrix. Replace it?", err=True)


@cli.command()
@click.argument("prompt", default="What time is it in Tokyo?")
def demo(prompt: str) -> None:
    """Hold a whole conversation offline.

    A simulated ChatGPT on this machine plays the other side. Nothing leaves the machine and no account is
    needed.
    """
    with _simulator_needed():
        from .demo import show

    _run(show(prompt, _screen(), _screen(stderr=True)))
    _leave()


@cli.command()
@click.option("--port", default=0, show_default="any free one", help="Port on 127.0.0.1.")
@click.option("--world", type=click.Choice(SIMULATED_WORLDS), help="The simulated service, by date.")
def simulate(port: int, world: str | None) -> None:
    """Serve a simulated ChatGPT.

    It prints how to use it and runs until Ctrl-C.
    """
    with _simulator_needed():
        from ..simulator import serve

    try:
        serve(port, click.echo, world)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise Failure(f"Port {port} on 127.0.0.1 cannot be used: {reason}.") from error


def main() -> None:
    """Run the console script."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A sign that the terminal's encoding lacks must not end a command.
        sys.stdout.reconfigure(errors="replace")
    try:
        cli()
    except OSError as error:
        sys.stderr.write(f"Error: The output could not be written: {error.strerror}\n")
        _leave(1)


class Failure(click.ClickException):
    """One sentence on stderr, broken between words, and exit code 1."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Show the sentence."""
        from rich.text import Text

        _screen(stderr=True).print(Text.assemble(("Error: ", "red"), self.format_message()))


class Misuse(Failure):
    """The same for what was not even tried, with exit code 2."""

    exit_code = 2


def _provider() -> ChatGPTProvider:
    """Build the provider as the environment configures it."""
    from amplifier_core.llm_errors import ConfigurationError

    from ..provider import ChatGPTProvider

    provider = ChatGPTProvider()
    try:
        provider.check()
    except ConfigurationError as error:
        raise Misuse(str(error)) from error
    return provider


def _run(work: Coroutine[Any, Any, Result], doing: str = "") -> Result:
    """Run a command's work; an expected failure is one sentence on stderr and exit code 1.

    ``doing`` is shown on a terminal meanwhile.
    """
    import asyncio

    from amplifier_core.llm_errors import LLMError

    from .console import waiting

    try:
        with waiting(doing) if doing else nullcontext():
            return asyncio.run(work)
    except BrokenPipeError:
        raise
    except (LLMError, OSError, RuntimeError) as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _screen(*, stderr: bool = False) -> Screen:
    from .console import screen

    return screen(stderr=stderr)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def _simulator_needed() -> Iterator[None]:
    """Say which extra to install where the simulator's server is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise Failure(
            "The simulator needs starlette and uvicorn: install this package with its extra 'simulator'."
        ) from error


def _leave(code: int = 0) -> NoReturn:
    """End without tearing the interpreter down.

    amplifier-core's native threads may still hand something to Python while it finalizes, which
    crashes a short program after its work is done; and an output that failed once fails again.
    """
    with suppress(OSError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
