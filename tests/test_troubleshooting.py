"""docs/troubleshooting.md quotes only sentences of the code, and every sentence of a failure."""

import ast
import re
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.auth import failures
from amplifier_module_provider_openai_chatgpt.auth.plan import failures as plan_failures
from amplifier_module_provider_openai_chatgpt.auth.stored import Cause
from amplifier_module_provider_openai_chatgpt.errors import (
    kernel,
    table,
)
from amplifier_module_provider_openai_chatgpt.errors.transport import FAULTS
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN, USAGE_PAGE, Rule

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "amplifier_module_provider_openai_chatgpt"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if "simulator" not in path.parts]
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES
}
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


def template(node):
    """Return the text of a string in the code; ANYTHING replaces its variable parts. None for other nodes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else ANYTHING for part in node.values
        )
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def is_sentence(text):
    """True for what may be shown to a person: one line of words, with enough of its own."""
    return " " in text.strip() and "\n" not in text and len(text.replace(ANYTHING, "")) > 15


TEXTS = {template(node) or "" for tree in TREES.values() for node in ast.walk(tree)}
SENTENCES = [re.compile(pattern(text.strip()) + r"\.?") for text in TEXTS if is_sentence(text)]
SEE = f" See {USAGE_PAGE}"


def test_the_sentences_on_the_page_are_found():
    assert len(QUOTED) > 100
    assert set(QUOTED.values()) == {True, False}


@pytest.mark.parametrize("sentence", QUOTED)
def test_the_page_quotes_only_what_the_code_says(sentence):
    """The sentence about a limit is followed by a link."""
    variants = {sentence, sentence.removesuffix(SEE)}
    assert any(expression.fullmatch(one) for expression in SENTENCES for one in variants)


# Failures in tables

RULES = {
    rule.sentence: rule
    for rule in (
        *table.BY_CODE.values(),
        *table.BY_STATUS.values(),
        *(rule for *_, rule in table.BY_MESSAGE),
        *(rule for rule in vars(table).values() if isinstance(rule, Rule)),
        *FAULTS.values(),
        *CHATGPT_CODEX.rules.values(),
        *CHATGPT_PLAN.rules.values(),
        *failures.RULES.values(),
        *plan_failures.RULES.values(),
    )
}


def quoted_as(text):
    """Return the sentences on the page that are this one, perhaps with more after it."""
    return [sentence for sentence in QUOTED if re.fullmatch(pattern(text) + "(?: .*)?", sentence)]


@pytest.mark.parametrize("text", RULES)
def test_every_rule_is_on_the_page_with_whether_it_is_retried(text):
    rule = RULES[text]
    assert {QUOTED[sentence] for sentence in quoted_as(text)} == {
        rule.retryable and rule is not table._CHALLENGE
    }


@pytest.mark.parametrize("sentence", kernel._WORKSPACE.values())
def test_every_limit_of_a_workspace_is_on_the_page(sentence):
    assert any(quoted.startswith(sentence) for quoted in QUOTED)


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.name)
def test_every_reason_not_to_use_a_token_file_is_on_the_page(cause):
    assert f"| {cause.value.why} | {cause.value.advice} |" in PAGE


# Failures that the code raises with their sentence

# What makes a failure of its first argument, apart from the kernel's error classes.
MAKERS = {
    "invalid",
    "Failure",
    "Misuse",
    "StoreError",
    "UnreadableMatrixError",
    "UsageError",
    "FileNotFoundError",
}
KERNEL_ERRORS = "amplifier_core.llm_errors"
# Where classes are variables.
ALIASES = {"refusal"}


def raised_sentences():
    """Yield the sentences that modules pass to an error, and the module."""
    for name, tree in TREES.items():
        makers = MAKERS | ALIASES
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == KERNEL_ERRORS:
                makers |= {alias.name for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and called(node) in makers:
                text = template(node.args[0])
                if text is not None and is_sentence(text):
                    yield name, text


def called(node):
    return getattr(node.func, "id", None) or getattr(node.func, "attr", None)


RAISED = dict.fromkeys(raised_sentences())


def test_sentences_of_all_parts_are_found():
    assert {"auth", "call", "cli", "models", "request"} <= {name.split("/")[0] for name, _ in RAISED}


@pytest.mark.parametrize(("module", "text"), RAISED, ids=lambda value: value.split("\0")[0][:40])
def test_every_sentence_that_is_raised_is_on_the_page(module, text):
    assert quoted_as(text), module
