"""The commands of the console script ``amplifier-openai-chatgpt``: arguments, exit codes and errors.

Each command imports what it needs when it runs, which keeps ``--help`` fast. docs/cli.md explains the
exit codes.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from . import streams
from .accounts import add_options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from ..provider import ChatGPTProvider
    from ..quota import Quota
    from .ask import Question
    from .console import Screen
    from .probe import Probe
    from .signing_in import Way

Result = TypeVar("Result")

# The names in simulator.WORLDS; importing them would slow --help down.
SIMULATED_WORLDS = ("august-2026", "november-2026", "plan")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


# Exit codes; 0 is success, and click exits with 2 for wrong usage.
FAILED, WRONG_USAGE, SIGN_IN_NEEDED, INTERRUPTED = 1, 2, 4, 130
EXIT_CODES = (
    "Exit codes: 0 success, 1 failure, 2 wrong usage, 4 you need to sign in, 130 interrupted with Ctrl-C."
)


class Commands(click.Group):
    """The commands; Ctrl-C ends each with its own exit code and without a remark."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            if sys.stderr.isatty():
                click.echo(err=True)  # after the ^C that the terminal shows
            raise click.exceptions.Exit(INTERRUPTED) from None


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
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
@click.option("--short", is_flag=True, help="Print one line, for prompts and status bars.")
@click.option(
    "--watch",
    type=click.FloatRange(min=5),
    is_flag=False,
    flag_value=60,
    metavar="[SECONDS]",
    help="Repeat every SECONDS (60) until Ctrl-C.",
)
@json_option
def usage(*, short: bool, watch: float | None, as_json: bool) -> None:
    """Show how much of your limits is used.

    Shows a bar and the local reset time for each limit window, when a window is used up if you go on at
    this pace, and your credits. The pace is measured with a small local history of percentages;
    OPENAI_CHATGPT_USAGE_HISTORY=off turns that off. With --short, percentages of the last minute are not
    fetched again.
    """
    from .usage import fetch_quota, short_quota

    provider = _provider()
    show = _usage_printer(provider, short=short, as_json=as_json, one_line=watch is not None)
    if watch is not None:
        _watch_usage(provider, show, watch)
    else:
        fetch = short_quota if short and not as_json else fetch_quota
        show(_run(fetch(provider), "" if short else "Contacting ChatGPT"))


def _usage_printer(
    provider: ChatGPTProvider, *, short: bool, as_json: bool, one_line: bool
) -> Callable[[Quota], None]:
    from .usage import short_line, show_usage, usage_json
    from .usage_history import read

    def show(quota: Quota) -> None:
        if as_json:
            _print_json(usage_json(quota, read(provider), time.time()), indent=None if one_line else 2)
        elif short:
            click.echo(short_line(quota, time.time()))
        else:
            show_usage(quota, read(provider), provider.settings.service.usage_page, _console())

    return show


def _watch_usage(provider: ChatGPTProvider, show: Callable[[Quota], None], seconds: float) -> None:
    """Show the usage again and again; Ctrl-C is the ordinary end."""
    from .usage import watch

    def report(sentence: str) -> None:
        click.echo(f"Error: {sentence}", err=True)

    def show_here(quota: Quota) -> None:
        if sys.stdout.isatty():
            click.clear()
        show(quota)
        sys.stdout.flush()

    with suppress(KeyboardInterrupt, click.Abort):
        _run(watch(provider, show_here, report, seconds))


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
@click.argument("prompt", nargs=-1)
@click.option("-m", "--model", help="Model id, as the command models lists it.", shell_complete=_model_ids)
@click.option("-e", "--effort", help="Reasoning effort: low, medium, high …", shell_complete=_efforts)
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    type=click.Path(),
    help="Attach a PNG, JPEG, GIF or WebP image; repeatable.",
)
@click.option("-s", "--system", help="Instructions for the model, such as its role or the style.")
@json_option
def ask(
    prompt: tuple[str, ...],
    *,
    model: str | None,
    effort: str | None,
    images: tuple[str, ...],
    system: str | None,
    as_json: bool,
) -> None:
    """Ask one question.

    PROMPT needs no quotation marks. What you pipe in is attached to it; without PROMPT, or with `-`, it is
    the prompt. In a terminal, thinking and answer stream in, with Markdown rendered. A pipe or a file gets
    only the answer, unchanged, as it arrives.
    """
    from .ask import Question
    from .reading import InputError, read_image, read_prompt

    try:
        pictures = tuple(read_image(path) for path in images)
        text, attached = read_prompt(prompt, lambda hint: click.echo(hint, err=True))
    except InputError as error:
        raise Misuse(str(error)) from error
    question = Question(text, attached, system, model, effort, pictures)
    provider = _provider()
    _ask_for_json(provider, question) if as_json else _ask(provider, question)


def _ask(provider: ChatGPTProvider, question: Question) -> None:
    from .ask import ask_at_terminal, ask_in_pipe
    from .console import spinner
    from .raw_answer import RawAnswer

    streams.use_utf8()
    out, notes = _console(), _console(stderr=True)
    with spinner("Waiting for the model") as stop:
        if out.is_terminal:
            _run(ask_at_terminal(provider, question, out, notes, stop))
        else:
            _run(ask_in_pipe(provider, question, RawAnswer(sys.stdout, stop), notes))


def _ask_for_json(provider: ChatGPTProvider, question: Question) -> None:
    from .ask import ask_for_json

    answer = _run(ask_for_json(provider, question, _console(stderr=True)), "Waiting for the model")
    _print_json(answer.to_dict() if answer else None)


@cli.command()
@click.option("--report", "as_report", is_flag=True, help="Print a text without secrets, for an issue.")
@click.option("--ascii", "as_ascii", is_flag=True, help="Print only ASCII characters.")
@json_option
def doctor(*, as_report: bool, as_ascii: bool, as_json: bool) -> None:
    """Check what works and what does not.

    Checks settings, sign-in, network and backend step by step and says how to fix what fails. The last
    step sends a short test request. The exit code is 1 if a check fails.
    """
    from ..provider import ChatGPTProvider
    from .doctor import OWN_SETTINGS, report, run_checks, show_findings

    if as_ascii:
        streams.use_ascii()
    examination = _run(run_checks(ChatGPTProvider(OWN_SETTINGS), os.environ), "Checking")
    findings = list(examination.findings.values())
    if as_json:
        _print_json([finding.to_dict() for finding in findings])
    elif as_report:
        click.echo(report(examination))
    else:
        show_findings(findings, _console())
    if any(finding.ok is False for finding in findings):
        raise click.exceptions.Exit(FAILED)


@cli.command()
@click.option("--list", "as_list", is_flag=True, help="Show all claims; sends nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would be checked and its cost; sends nothing.")
@click.option("--only", multiple=True, metavar="ID", help="Check this claim or group; repeatable.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before sending.")
@click.option("--report", type=click.Path(dir_okay=False), help="Write a report for an issue to this file.")
@click.option("--plan", is_flag=True, help="Check the service of auth_mode chatgpt_plan.")
@json_option
def probe(only: tuple[str, ...], report: str | None, *, plan: bool, **flags: bool) -> None:
    """Check what this provider believes about ChatGPT.

    Sends small requests and says for each claim about the service whether it is confirmed or refuted. Asks
    first, stops at a limit, and sends nothing personal. The exit code is 1 if a claim is refuted or the run
    was stopped.
    """
    from .probe import Probe, UnknownClaimError

    try:
        mode = {"auth_mode": "chatgpt_plan"} if plan else {}
        job = Probe(_provider({"max_retries": 0, **mode}), only, report)
    except UnknownClaimError as error:
        raise Misuse(str(error)) from error
    if flags["as_list"] or flags["dry_run"]:
        job.show_claims(_console()) if flags["as_list"] else job.show_cost(_console())
        return
    _run(job.prepare(), "Contacting ChatGPT")
    if not flags["yes"]:
        _confirm_spending(job.cost)
    _check_claims(job, as_json=flags["as_json"])


def _confirm_spending(cost: str) -> None:
    if not sys.stdin.isatty():
        raise Misuse(f"{cost} Add --yes to agree.")
    _console(stderr=True).print(cost, markup=False)
    if not click.confirm("Continue?", err=True):
        click.echo("Nothing was sent.", err=True)
        raise click.exceptions.Exit(FAILED)


def _check_claims(job: Probe, *, as_json: bool) -> None:
    """Run the claims; what was found is shown and written also after Ctrl-C."""
    from .signals import tidy

    try:
        _run(tidy(job.run(None if as_json else _console())))
    finally:
        _print_json(job.to_dict()) if as_json else job.show_summary(_console())
    if not job.is_clean:
        raise click.exceptions.Exit(FAILED)


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
    metavar="WORLD",
    help="Which service to play: november-2026 (default), august-2026, or plan (Sign in with ChatGPT).",
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


def main() -> None:
    """Run the console script."""
    streams.prepare()
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
    """A failure before anything was tried."""

    exit_code = WRONG_USAGE


class SignInNeeded(Failure):
    """A failure that ends when you sign in."""

    exit_code = SIGN_IN_NEEDED


def _provider(config: Mapping[str, object] | None = None) -> ChatGPTProvider:
    """Build the provider that the environment variables configure."""
    from amplifier_core.llm_errors import ConfigurationError

    from ..provider import ChatGPTProvider

    provider = ChatGPTProvider(config)
    try:
        provider.check()
    except ConfigurationError as error:
        raise Misuse(str(error)) from error
    return provider


def _run(work: Coroutine[None, None, Result], status: str = "") -> Result:
    """Run a coroutine; an expected error becomes one sentence on stderr and an exit code.

    A terminal shows ``status`` while it runs.
    """
    import asyncio

    from amplifier_core.llm_errors import LLMError

    from .console import error_text, needs_sign_in, spinner

    try:
        with spinner(status) if status else nullcontext():
            return asyncio.run(work)
    except BrokenPipeError:
        raise
    except (LLMError, OSError, RuntimeError) as error:
        failure = SignInNeeded if needs_sign_in(error) else Failure
        raise failure(error_text(error)) from error


def _console(*, stderr: bool = False) -> Screen:
    from .console import new_console

    return new_console(stderr=stderr)


def _print_json(value: object, *, indent: int | None = 2) -> None:
    click.echo(streams.json_text(value, sys.stdout.encoding, indent=indent))


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
