"""The page for a person in trouble: the code says all of it, and nothing about a call that it lacks."""

import ast
import re
from pathlib import Path

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.errors import (
    kernel as errors,
    table as verdicts,
    transport as outages,
)
from amplifier_module_provider_openai_chatgpt.errors.kernel import Phase
from amplifier_module_provider_openai_chatgpt.quota import USAGE_PAGE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "amplifier_module_provider_openai_chatgpt"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SPEAKERS = (
    "settings.py",
    "call/events.py",
    "call/turn.py",
    "errors/table.py",
    "errors/transport.py",
    "errors/kernel.py",
    "auth/*.py",
)
ANYTHING = "\0"


def told():
    """Each sentence of the page, with whether the page says that the call is repeated."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "it says":
            for sentence in cells[0].split("<br>"):
                yield sentence, {"yes": True, "no": False}[cells[3]]


TOLD = dict(told())


def pattern(text):
    """A template as an expression; what is filled in may be anything."""
    return ".*".join(re.escape(part) for part in re.split(r"\{\w+\}|" + ANYTHING, text))


def templates():
    """Every text in the modules that speak to a person, its variable parts open."""
    for place in SPEAKERS:
        for path in sorted(PACKAGE.glob(place)):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (
                        part.value if isinstance(part, ast.Constant) else ANYTHING for part in node.values
                    )
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


SAID = [pattern(text.strip()) + r"\.?" for text in templates() if len(text.replace(ANYTHING, "")) > 15]
SEE = f" See {USAGE_PAGE}"


def test_the_page_is_read_as_it_is_written():
    assert len(TOLD) > 60
    assert set(TOLD.values()) == {True, False}


@pytest.mark.parametrize("sentence", TOLD)
def test_the_page_quotes_only_what_the_code_says(sentence):
    """A limit's sentence has a link behind it."""
    said = {sentence, sentence.removesuffix(SEE)}
    assert any(re.fullmatch(expression, one) for expression in SAID for one in said)


ROWS = {
    row.say: row
    for row in (
        *verdicts.BY_CODE.values(),
        *verdicts.BY_STATUS.values(),
        *(row for *_, row in verdicts.BY_WORDS),
        *(row for name, row in vars(verdicts).items() if isinstance(row, verdicts.Rule)),
    )
}


@pytest.mark.parametrize("say", ROWS)
def test_every_verdict_is_on_the_page_and_so_is_whether_it_is_repeated(say):
    repeated = [again for sentence, again in TOLD.items() if re.match(pattern(say), sentence)]
    row = ROWS[say]
    assert repeated
    assert set(repeated) == {row.retryable and row is not verdicts._CHALLENGE}


def broken(name):
    error = type(name, (Exception,), {})()
    return outages.transport_error(error, model=None, phase=Phase.CONNECTING)


OUTAGES = [
    *(broken(name) for name in (*outages._UNREACHABLE, *outages._EVER_THE_SAME, "anything else")),
    outages.transport_error(httpx.ReadError(""), model=None, phase=Phase.ANSWERING),
    outages.transport_error(PermissionError(13, "x", "/y"), model=None, phase=Phase.CONNECTING),
    outages.silent_stream(None, 300, began=True),
    outages.silent_stream(None, 300, began=False),
    outages.stream_ended_early(None),
    outages.stream_ended_early(None, partial="x"),
    outages.garbage_stream(None, 3),
    outages.event_too_large(None),
    outages.filtered_answer(None),
    outages.not_json("/x"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: str(error)[:60])
def test_every_outage_is_on_the_page_and_so_is_whether_it_is_repeated(error):
    start = re.split(r"(?<=\w) (?:/|\d)|\(", str(error))[0]
    repeated = [again for sentence, again in TOLD.items() if sentence.startswith(start)]
    assert error.retryable in repeated


@pytest.mark.parametrize("sentence", errors._WORKSPACE.values())
def test_every_limit_of_a_workspace_is_on_the_page(sentence):
    assert any(told.startswith(sentence) for told in TOLD)
