"""The page for a person in trouble: the code says all of it, and nothing about a call that it lacks."""

import ast
import re
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.errors import (
    kernel,
    table,
)
from amplifier_module_provider_openai_chatgpt.errors.transport import FAULTS
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, USAGE_PAGE, Rule

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "amplifier_module_provider_openai_chatgpt"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SPEAKERS = (
    "services.py",
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


RULES = {
    rule.sentence: rule
    for rule in (
        *table.BY_CODE.values(),
        *table.BY_STATUS.values(),
        *(rule for *_, rule in table.BY_MESSAGE),
        *(rule for rule in vars(table).values() if isinstance(rule, Rule)),
        *FAULTS.values(),
        *CHATGPT_CODEX.rules.values(),
    )
}


@pytest.mark.parametrize("say", RULES)
def test_every_rule_is_on_the_page_and_so_is_whether_it_is_retried(say):
    retried = [again for sentence, again in TOLD.items() if re.match(pattern(say), sentence)]
    rule = RULES[say]
    assert retried
    assert set(retried) == {rule.retryable and rule is not table._CHALLENGE}


@pytest.mark.parametrize("sentence", kernel._WORKSPACE.values())
def test_every_limit_of_a_workspace_is_on_the_page(sentence):
    assert any(told.startswith(sentence) for told in TOLD)
