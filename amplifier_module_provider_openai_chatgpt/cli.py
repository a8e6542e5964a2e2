"""The console script ``amplifier-openai-chatgpt``: what a person types, and where it goes.

Commands import what they need when they run, so that ``--help`` answers at once. Exit codes: 0 done,
1 failed, 2 wrong use.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from rich.console import Console

    from .provider import ChatGPTProvider

Result = TypeVar("Result")

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
    _run(work(_provider(), _console(stderr=True)))


@cli.command()
def logout() -> None:
    """Sign out, here and at OpenAI."""
    from . import signing_in

    _run(signing_in.sign_out(_provider(), _console(stderr=True)))


@cli.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show who is signed in and how long that holds; exit code 1 when nobody is."""
    from .screens import show_status, status_of

    found = status_of(_provider())
    _print_json(found) if as_json else show_status(found, _console())
    if found["status"] != "authenticated":
        raise click.exceptions.Exit(1)


@cli.command()
@json_option
def usage(*, as_json: bool) -> None:
    """Show how much of the plan's limits is used, and when they reset."""
    from .screens import quota_of, show_usage

    quota = _run(quota_of(_provider()))
    _print_json(quota.to_dict()) if as_json else show_usage(quota, _console())


@cli.command()
@json_option
def models(*, as_json: bool) -> None:
    """List the models of this subscription."""
    from .screens import models_of, show_models

    listing = _run(models_of(_provider()))
    _print_json(listing) if as_json else show_models(listing, _console())


@cli.command()
@click.argument("prompt", default="-")
@click.option("--model", help="Model id; see `models`.")
@click.option("--effort", help="Reasoning effort.")
@click.option(
    "--image", "images", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Show an image."
)
@json_option
def ask(
    prompt: str, *, model: str | None, effort: str | None, images: tuple[str, ...], as_json: bool
) -> None:
    """Ask one question of the real service; PROMPT `-` (or none) reads it from stdin."""
    from .asking import Question, ask_once

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise click.UsageError("There is no prompt: give one, or pipe one in.")
    question = Question(text, model=model, effort=effort, images=images)
    answer = _run(ask_once(_provider(), question, None if as_json else _console(), _console(stderr=True)))
    if as_json:
        _print_json(answer)


@cli.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check settings, sign-in, network and backend step by step, and say what to do."""
    from .doctor import examine, show_findings

    findings = _run(examine(os.environ))
    _print_json([finding.to_dict() for finding in findings]) if as_json else show_findings(
        findings, _console()
    )
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("prompt", default="What time is it in Tokyo?")
def demo(prompt: str) -> None:
    """Hold a whole conversation offline, against a simulated ChatGPT.

    Nothing leaves this machine and no account is needed.
    """
    with _simulator_needed():
        from .demo import show

    _run(show(prompt, _console(), _console(stderr=True)))
    _leave()


@cli.command()
@click.option("--port", default=0, show_default="any free one", help="Port on 127.0.0.1.")
def simulate(port: int) -> None:
    """Serve a simulated ChatGPT on this machine until Ctrl-C."""
    with _simulator_needed():
        from .simulator import serve

    serve(port, click.echo)


def main() -> None:
    """Run the console script."""
    cli()


def _provider() -> ChatGPTProvider:
    """Build the provider as the environment configures it."""
    from amplifier_core.llm_errors import ConfigurationError

    from .provider import ChatGPTProvider

    provider = ChatGPTProvider()
    try:
        provider.check()
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    return provider


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work; an expected failure is one sentence on stderr and exit code 1."""
    import asyncio

    from amplifier_core.llm_errors import LLMError

    try:
        return asyncio.run(work)
    except (LLMError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(
        stderr=stderr, highlight=False, soft_wrap=not (sys.stderr if stderr else sys.stdout).isatty()
    )


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
        raise click.ClickException(
            "The simulator needs an extra: pip install 'amplifier-module-provider-openai-chatgpt[simulator]'"
        ) from error


def _leave() -> None:
    """End without tearing the interpreter down.

    amplifier-core's native threads may still hand something to Python while it finalizes, which
    crashes a short program after its work is done.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
