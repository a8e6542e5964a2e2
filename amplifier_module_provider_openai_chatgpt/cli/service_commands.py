"""The commands that ask ChatGPT for limits, models and answers: their arguments and what they run."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from . import streams
from .running import Failure, Misuse, console, json_option, new_provider, print_json, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..provider import ChatGPTProvider
    from ..quota.values import Quota
    from .ask import Question


@click.command()
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

    With --plan there are no figures: the service does not report limits.
    """
    from .usage import fetch_quota, short_quota

    provider = new_provider()
    if not provider.settings.service.usage_path:
        raise Failure(
            f"Sign-ins with --plan have no figures for limits: see {provider.settings.service.usage_page}"
        )
    show = _usage_printer(provider, short=short, as_json=as_json, one_line=watch is not None)
    if watch is not None:
        _watch_usage(provider, show, watch)
    else:
        fetch = short_quota if short and not as_json else fetch_quota
        show(run(fetch(provider), "" if short else "Contacting ChatGPT"))


def _usage_printer(
    provider: ChatGPTProvider, *, short: bool, as_json: bool, one_line: bool
) -> Callable[[Quota], None]:
    from .usage import short_line, show_usage, usage_json
    from .usage_history import read

    def show(quota: Quota) -> None:
        if as_json:
            print_json(usage_json(quota, read(provider), time.time()), indent=None if one_line else 2)
        elif short:
            click.echo(short_line(quota, time.time()))
        else:
            show_usage(quota, read(provider), provider.settings.service.usage_page, console())

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
        run(watch(provider, show_here, report, seconds))


@click.command()
@click.option("--roles", is_flag=True, help="Show which model and effort each role of Amplifier gets.")
@json_option
def models(*, roles: bool, as_json: bool) -> None:
    """List the models your plan offers."""
    if roles:
        _show_roles(as_json=as_json)
        return
    from .models_list import fetch_models, show_models

    found = run(fetch_models(new_provider()), "Contacting ChatGPT")
    print_json(found.to_dict()) if as_json else show_models(found, console())


def _show_roles(*, as_json: bool) -> None:
    from .roles import fetch_roles, show_roles

    found = run(fetch_roles(new_provider()), "Contacting ChatGPT")
    print_json(found.to_dict()) if as_json else show_roles(found, console())


def _model_ids(_: click.Context, __: click.Parameter, prefix: str) -> list[str]:
    """Complete a model id from the models known offline."""
    from ..models.model import model_infos
    from ..provider import ChatGPTProvider

    infos = model_infos(ChatGPTProvider().catalogue.known())
    return [info.id for info in infos if info.id.startswith(prefix)]


def _efforts(_: click.Context, __: click.Parameter, prefix: str) -> list[str]:
    from ..settings import EFFORTS

    return [effort for effort in EFFORTS if effort.startswith(prefix)]


@click.command()
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
    provider = new_provider()
    _ask_for_json(provider, question) if as_json else _ask(provider, question)


def _ask(provider: ChatGPTProvider, question: Question) -> None:
    from .ask import ask_at_terminal, ask_in_pipe
    from .console import spinner
    from .raw_answer import RawAnswer

    streams.use_utf8()
    out, notes = console(), console(stderr=True)
    with spinner("Waiting for the model") as stop:
        if out.is_terminal:
            run(ask_at_terminal(provider, question, out, notes, stop))
        else:
            run(ask_in_pipe(provider, question, RawAnswer(sys.stdout, stop), notes))


def _ask_for_json(provider: ChatGPTProvider, question: Question) -> None:
    from .ask import ask_for_json

    answer = run(ask_for_json(provider, question, console(stderr=True)), "Waiting for the model")
    print_json(answer.to_dict() if answer else None)
