"""The commands that look after the sign-in: their arguments and what they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .accounts import is_plan_chosen_here
from .running import Misuse, console, is_plan, json_option, new_provider, print_json, run

if TYPE_CHECKING:
    from ..provider import ChatGPTProvider
    from .signing_in import Way

host_file_option = click.option(
    "--host-file",
    type=click.Path(dir_okay=False),
    metavar="PATH",
    help="Where the id of this machine is kept.",
)


@click.command()
@click.option("--browser", "way", flag_value="browser", help="Use a browser on this machine.")
@click.option("--device", "way", flag_value="device", help="Use a code, in a browser on any machine.")
@click.option("--enable-plan", is_flag=True, help="With --plan: ask again for the use of your ChatGPT plan.")
@click.option("--app-name", metavar="NAME", help="With --plan: the name that the consent page shows.")
@host_file_option
def login(*, way: Way | None, enable_plan: bool, app_name: str | None, host_file: str | None) -> None:
    """Sign in to ChatGPT.

    Opens your browser on a machine with a desktop. Elsewhere, and over SSH, without --plan: shows a code to
    enter in a browser on any machine.

    With --plan: continue with ChatGPT, the sign-in that OpenAI documents for Plus and Pro. Elsewhere it
    shows an address to open, and takes the address of the final page.
    """
    from . import signing_in
    from .signals import tidy

    provider = new_provider(app_name=app_name, host_file_path=host_file)
    if is_plan(provider):
        _login_to_plan(provider, way, enable_plan=enable_plan)
        return
    if enable_plan or app_name or host_file:
        raise Misuse("--enable-plan, --app-name and --host-file are for Sign in with ChatGPT: add --plan.")
    run(tidy(signing_in.sign_in(provider, console(stderr=True), way)))


def _login_to_plan(provider: ChatGPTProvider, way: Way | None, *, enable_plan: bool) -> None:
    from . import plan_sign_in
    from .signals import tidy

    if way == "device":
        raise Misuse(plan_sign_in.NO_DEVICE_CODES)
    notes = console(stderr=True)
    signing_in = plan_sign_in.sign_in(provider, notes, use_browser=way == "browser", enable_plan=enable_plan)
    run(tidy(signing_in))
    if is_plan_chosen_here():
        notes.print(f"\n{plan_sign_in.SWITCH}", markup=False)


@click.command()
def logout() -> None:
    """Sign out on this machine and at OpenAI."""
    from .console import print_paragraphs
    from .signing_out import sign_out

    outcome = run(sign_out(new_provider()), "Signing out")
    print_paragraphs(outcome, console(stderr=True))


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


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@host_file_option
def import_command(*, file: str, host_file: str | None) -> None:
    """Import a sign-in from another machine.

    For a server without a browser: sign in with `login --plan` where there is a browser, copy the file it
    names to this machine, for example over SSH, and import it. From then on, only this machine renews it.
    """
    from .console import print_paragraphs
    from .plan_sign_in import import_sign_in

    provider = new_provider(host_file_path=host_file)
    outcome = run(import_sign_in(provider, Path(file).expanduser()), "Importing")
    for sentence in outcome:
        print_paragraphs(sentence, console(stderr=True))


@click.command("host-id")
@host_file_option
def host_id(*, host_file: str | None) -> None:
    """Print the id of this machine for Sign in with ChatGPT.

    It is created on first use and kept when you sign out. It is not a secret and says nothing about you.
    """
    from ..auth.plan.configured import host_id_of

    settings = new_provider(host_file_path=host_file).settings

    async def read() -> str:
        return host_id_of(settings)

    click.echo(run(read()))
