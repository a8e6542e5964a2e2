"""docs/troubleshooting.md quotes only sentences of the code, and every sentence about a call."""

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
MODULES = (
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


def quoted_sentences():
    """Yield each sentence on the page, and whether the page says that the call is retried."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "it says":
            for sentence in cells[0].split("<br>"):
                yield sentence, {"yes": True, "no": False}[cells[3]]


QUOTED = dict(quoted_sentences())


def pattern(text):
    """Return a regular expression for a sentence with placeholders."""
    return ".*".join(re.escape(part) for part in re.split(r"\{\w+\}|" + ANYTHING, text))


def templates():
    """Yield every text in the modules with sentences for users; ANYTHING replaces its variable parts."""
    for place in MODULES:
        for path in sorted(PACKAGE.glob(place)):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (
                        part.value if isinstance(part, ast.Constant) else ANYTHING for part in node.values
                    )
                    yield "".join(map(str, parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


SENTENCES = [pattern(text.strip()) + r"\.?" for text in templates() if len(text.replace(ANYTHING, "")) > 15]
SEE = f" See {USAGE_PAGE}"


def test_the_sentences_on_the_page_are_found():
    assert len(QUOTED) > 60
    assert set(QUOTED.values()) == {True, False}


@pytest.mark.parametrize("sentence", QUOTED)
def test_the_page_quotes_only_what_the_code_says(sentence):
    """The sentence about a limit is followed by a link."""
    variants = {sentence, sentence.removesuffix(SEE)}
    assert any(re.fullmatch(expression, one) for expression in SENTENCES for one in variants)


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


@pytest.mark.parametrize("template", RULES)
def test_every_rule_is_on_the_page_with_whether_it_is_retried(template):
    retried = [is_retried for sentence, is_retried in QUOTED.items() if re.match(pattern(template), sentence)]
    rule = RULES[template]
    assert retried
    assert set(retried) == {rule.retryable and rule is not table._CHALLENGE}


@pytest.mark.parametrize("sentence", kernel._WORKSPACE.values())
def test_every_limit_of_a_workspace_is_on_the_page(sentence):
    assert any(quoted.startswith(sentence) for quoted in QUOTED)
