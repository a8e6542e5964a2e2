"""The commands that look after the sign-in: their arguments and what they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .running import console, json_option, new_provider, print_json, run

if TYPE_CHECKING:
    from .signing_in import Way


@click.command()
@click.option("--browser", "way", flag_value="browser", help="Use a browser on this machine.")
@click.option("--device", "way", flag_value="device", help="Use a code, in a browser on any machine.")
def login(*, way: Way | None) -> None:
    """Sign in to ChatGPT.

    Opens your browser on a machine with a desktop; elsewhere, and over SSH, shows a code to enter in a
    browser on any machine.
    """
    from . import signing_in
    from .signals import tidy

    run(tidy(signing_in.sign_in(new_provider(), console(stderr=True), way)))


@click.command()
def logout() -> None:
    """Sign out on this machine and at OpenAI."""
    from . import signing_in

    outcome = run(signing_in.sign_out(new_provider()), "Signing out")
    console(stderr=True).print(outcome)


@click.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show who is signed in.

    Uses no network: shows what this machine knows, and the profiles that exist. The exit code is 1 if you
    need to sign in.
    """
    from .accounts import profiles, show_profiles
    from .status import read_status, show_status

    status, others = read_status(new_provider()), profiles()
    if as_json:
        listed = {"profiles": [profile.to_dict() for profile in others]} if others else {}
        print_json(status.to_dict() | listed)
    else:
        show_status(status, console())
        show_profiles(others, status.token_file, console())
    if not status.is_signed_in:
        raise click.exceptions.Exit(1)
