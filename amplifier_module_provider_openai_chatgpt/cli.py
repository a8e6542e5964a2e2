"""The console script ``amplifier-openai-chatgpt``: what a person types, and where it goes.

Commands import what they need when they run, so that ``--help`` answers at once. Exit codes: 0 done,
1 failed, 2 wrong use.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rich.console import Console

HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=HELP)
@click.version_option(
    package_name="amplifier-module-provider-openai-chatgpt", prog_name="amplifier-openai-chatgpt"
)
def cli() -> None:
    """Use a ChatGPT subscription in Amplifier: sign in once, look after the sign-in, try things out."""


@cli.command()
@click.argument("prompt", default="What time is it in Tokyo?")
def demo(prompt: str) -> None:
    """Hold a whole conversation offline, against a simulated ChatGPT.

    Nothing leaves this machine and no account is needed.
    """
    from .demo import show

    _run(show(prompt, _console(), _console(stderr=True)))
    _leave()


@cli.command()
@click.option("--port", default=0, show_default="any free one", help="Port on 127.0.0.1.")
def simulate(port: int) -> None:
    """Serve a simulated ChatGPT on this machine until Ctrl-C."""
    from .simulator import serve

    serve(port, click.echo)


def main() -> None:
    """Run the console script."""
    cli()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work; an expected failure is one sentence on stderr and exit code 1."""
    import asyncio

    from amplifier_core.llm_errors import LLMError

    try:
        asyncio.run(work)
    except (LLMError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.Abort from None


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _leave() -> None:
    """End without tearing the interpreter down.

    amplifier-core's native threads may still hand something to Python while it finalizes, which
    crashes a short program after its work is done.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
