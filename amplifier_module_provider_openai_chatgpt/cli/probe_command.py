"""The command ``probe``: its arguments, the question before it spends, and its exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .running import FAILED, Misuse, console, json_option, new_provider, print_json, run

if TYPE_CHECKING:
    from .probe import Probe


@click.command()
@click.option("--list", "as_list", is_flag=True, help="Show all claims; sends nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would be checked and its cost; sends nothing.")
@click.option("--only", multiple=True, metavar="ID", help="Check this claim or group; repeatable.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before sending.")
@click.option("--report", type=click.Path(dir_okay=False), help="Write a report for an issue to this file.")
@json_option
def probe(only: tuple[str, ...], report: str | None, **flags: bool) -> None:
    """Check what this provider believes about ChatGPT.

    Sends small requests and says for each claim about the service whether it is confirmed or refuted. Asks
    first, stops at a limit, and sends nothing personal. The exit code is 1 if a claim is refuted or the run
    was stopped.
    """
    from .probe import Probe, UnknownClaimError

    try:
        job = Probe(new_provider(max_retries="0"), only, report)
    except UnknownClaimError as error:
        raise Misuse(str(error)) from error
    if flags["as_list"] or flags["dry_run"]:
        job.show_claims(console()) if flags["as_list"] else job.show_cost(console())
        return
    run(job.prepare(), "Contacting ChatGPT")
    if not flags["yes"]:
        _confirm_spending(job.cost)
    _check_claims(job, as_json=flags["as_json"])


def _confirm_spending(cost: str) -> None:
    if not sys.stdin.isatty():
        raise Misuse(f"{cost} Add --yes to agree.")
    console(stderr=True).print(cost, markup=False)
    if not click.confirm("Continue?", err=True):
        click.echo("Nothing was sent.", err=True)
        raise click.exceptions.Exit(FAILED)


def _check_claims(job: Probe, *, as_json: bool) -> None:
    """Run the claims; what was found is shown and written also after Ctrl-C."""
    from .signals import tidy

    try:
        run(tidy(job.run(None if as_json else console())))
    finally:
        print_json(job.to_dict()) if as_json else job.show_summary(console())
    if not job.is_clean:
        raise click.exceptions.Exit(FAILED)
