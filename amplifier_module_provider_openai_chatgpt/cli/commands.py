"""The console script ``amplifier-openai-chatgpt``: its commands, and those of this machine themselves.

Each command imports what it needs when it runs, which keeps ``--help`` fast.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from . import account_commands, probe_command, service_commands, streams
from .accounts import add_options
from .running import (
    EXIT_CODES,
    FAILED,
    Commands,
    Failure,
    console,
    exit_now,
    json_option,
    print_json,
    require_simulator,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

# The names in simulator.WORLDS; importing them would slow --help down.
SIMULATED_WORLDS = ("august-2026", "november-2026", "plan")


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    package_name="amplifier-module-provider-openai-chatgpt", prog_name="amplifier-openai-chatgpt"
)
def cli() -> None:
    """Use a ChatGPT subscription in Amplifier."""


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
    from .doctor import report, run_checks, show_findings
    from .examination import OWN_SETTINGS

    if as_ascii:
        streams.use_ascii()
    examination = run(run_checks(ChatGPTProvider(OWN_SETTINGS), os.environ), "Checking")
    findings = list(examination.findings.values())
    if as_json:
        print_json([finding.to_dict() for finding in findings])
    elif as_report:
        click.echo(report(examination))
    else:
        show_findings(findings, console())
    if any(finding.ok is False for finding in findings):
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
    out = console()
    out.print(f"{label}: {target}", markup=False, soft_wrap=True)
    out.print(f"To activate it: amplifier routing use {MATRIX_NAME}")


def _confirm_replacing(path: Path) -> bool:
    """Ask the user; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"{path} differs from this version's matrix. Replace it?", err=True)


@cli.command()
@click.argument("prompt", default="What time is it in Tokyo?")
@click.option("--plan", is_flag=True, help="Use Sign in with ChatGPT, as auth_mode chatgpt_plan does.")
def demo(prompt: str, *, plan: bool) -> None:
    """Run a whole conversation offline.

    A simulated ChatGPT on this machine answers. You need no account, and nothing leaves the machine.
    """
    with require_simulator():
        from .demo import run_demo

    run(run_demo(prompt, console(), console(stderr=True), plan=plan))
    exit_now()


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
    with require_simulator():
        from ..simulator import serve

    try:
        serve(port, _print_instruction, world)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise Failure(f"Port {port} on 127.0.0.1 cannot be used: {reason}.") from error


def _print_instruction(line: str) -> None:
    from .console import print_paragraphs

    print_paragraphs(line, console())


for command in (
    account_commands.login,
    account_commands.logout,
    account_commands.status,
    account_commands.import_command,
    account_commands.host_id,
    service_commands.usage,
    service_commands.models,
    service_commands.ask,
    probe_command.probe,
):
    cli.add_command(command)
add_options(cli)


def main() -> None:
    """Run the console script."""
    streams.prepare()
    try:
        cli()
    except OSError as error:
        sys.stderr.write(f"Error: The output could not be written: {error.strerror}\n")
        exit_now(1)
