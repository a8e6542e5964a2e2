"""What every command shares: how it runs, what its errors look like, and its exit code.

docs/cli.md explains the exit codes.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from . import streams

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from ..provider import ChatGPTProvider
    from .console import Screen

Result = TypeVar("Result")

# Exit codes; 0 is success, and click exits with 2 for wrong usage.
FAILED, WRONG_USAGE, SIGN_IN_NEEDED, INTERRUPTED = 1, 2, 4, 130
EXIT_CODES = (
    "Exit codes: 0 success, 1 failure, 2 wrong usage, 4 you need to sign in, 130 interrupted with Ctrl-C."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


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
        except click.UsageError as error:
            raise WrongWords(error) from error


class Failure(click.ClickException):
    """One sentence on stderr, wrapped between words, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 - click's signature
        """Print the sentence."""
        from rich.text import Text

        console(stderr=True).print(Text.assemble(("Error: ", "red"), self.format_message()))


class Misuse(Failure):
    """A failure before anything was tried."""

    exit_code = WRONG_USAGE


class WrongWords(Misuse):
    """An error that click found in a command line, shown as every other one."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.format_message())
        self._context = error.ctx

    def show(self, file: IO[Any] | None = None) -> None:
        """Print how the command is used, and the sentence."""
        if self._context is not None:
            named = f"{self._context.command_path} {self._context.help_option_names[0]}"
            click.echo(f"{self._context.get_usage()}\nTry '{named}' for help.\n", err=True)
        super().show(file)


class SignInNeeded(Failure):
    """A failure that ends when you sign in."""

    exit_code = SIGN_IN_NEEDED


def new_provider(**options: str | None) -> ChatGPTProvider:
    """Build the provider that the environment variables and ``options``, as settings, configure."""
    from amplifier_core.llm_errors import ConfigurationError

    from ..provider import ChatGPTProvider

    try:
        provider = ChatGPTProvider(options)
        provider.check()
    except ConfigurationError as error:
        raise Misuse(str(error)) from error
    return provider


def is_plan(provider: ChatGPTProvider) -> bool:
    """Return whether the command works in the plan mode."""
    from ..services import CHATGPT_PLAN

    return provider.settings.auth_mode == CHATGPT_PLAN.name


def run(work: Coroutine[None, None, Result], status: str = "") -> Result:
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


def console(*, stderr: bool = False) -> Screen:
    """Return where a command writes: results to stdout, notes to stderr."""
    from .console import new_console

    return new_console(stderr=stderr)


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value for programs."""
    click.echo(streams.json_text(value, sys.stdout.encoding, indent=indent))


@contextmanager
def require_simulator() -> Iterator[None]:
    """Name the extra to install if the simulator's server packages are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise Failure(
            "The simulator needs starlette and uvicorn: install this package with the extra 'simulator'."
        ) from error


def exit_now(code: int = 0) -> NoReturn:
    """Exit without finalizing the interpreter.

    amplifier-core's native threads may call into Python while it finalizes, which crashes a short
    program after its work is done; and an output that failed once fails again.
    """
    with suppress(OSError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
