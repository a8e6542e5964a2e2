"""Plain English: words that were replaced once do not come back, in any text that a person can read."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "amplifier_module_provider_openai_chatgpt"

# Word or phrase -> what to write instead, and a sentence it must be found in.
RULES = {
    r"mend(?:s|ed|ing)?": ("fix, repair", "Mend that, or set token_file_path."),
    r"(?<!you're )(?<!you are )(?:tells?|told|telling)": ("report, show, say", "OpenAI could not be told."),
    r"passing (?:failures?|faults?|errors?)": ("transient", "after a passing failure"),
    r"void(?:s|ed|ing)?": ("discarded", "what was shown is void"),
    r"(?:tokens?|sign-ins?)(?: (?:that|still|to|should|which))* (?:lives?|holds?)": (
        "is valid, expires",
        "a token that still lives",
    ),
    r"(?:counts?|comes?) before": ("takes precedence over", "arguments count before the request"),
    r"stands?(?!-)": ("is, is in", "the code stands in the prompt"),
    r"nobody|somebody": ("you are not signed in, another process", "Nobody is signed in."),
    r"once more|anew": ("again", "the call is sent once more"),
    r"(?<!there )(?:is|are|was|were) no(?= \w)(?! (?:longer|more|less|other)\b)": (
        "is not a",
        "the answer is no JSON",
    ),
    r"so that": ("so", "under a lock, so that it happens once"),
    r"at once": ("immediately, in parallel", "the call fails at once"),
    r"by itself|itself renews|renews itself": ("automatically, on its own", "the sign-in renews itself"),
    r"beside": ("next to, compared with", "measured beside others"),
    r"(?:tells?|told) apart|(?:what|that) it comes to": ("distinguish, the result", "what it comes to"),
    r"legs?|lanes?": ("attempt, request shape", "over legs and continuations"),
    r"(?:a|one|each|every|two|no|control) signs?(?![- ](?:in|out|up))": ("character", "a sign that is lost"),
    r"(?:the house|wings?|front doors?|the doors?|pure rooms?)": (
        "package, module, entry point",
        "four wings",
    ),
    r"give or take": ("±", "give or take a quarter"),
    r"whose turn": ("who has to act", "one sentence that says whose turn it is"),
    r"for good": ("permanently", "refused for good"),
    r"hangs? on": ("depends on", "Cached input hangs on a header."),
    r"whoever": ("anyone who", "whoever sends you a code"),
    r"shall": ("should, will", "how hard it shall think"),
    r"bears?": ("has, share", "they bear the same id"),
}
_FORBIDDEN = [
    (re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE), instead) for words, (instead, _) in RULES.items()
]

# Its strings are words that prompts use.
WORD_LISTS = {f"{PACKAGE}/simulator/tool_requests.py"}


def is_checked(path):
    return path.resolve() != Path(__file__).resolve()


def files(*patterns):
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if is_checked(path))


DOCUMENTS = files("*.md", "docs/*.md", "examples/*", "benchmarks/*.md", "routing/*.yaml")
SOURCES = files(f"{PACKAGE}/**/*.py", "tests/**/*.py", "benchmarks/**/*.py")


def comments(text):
    """Return line numbers and texts of comments; those that follow each other are one text."""
    found: list[tuple[int, str]] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line, words = token.start[0], token.string.lstrip("# ")
            if found and line == last + 1:
                words = f"{found.pop()[1]} {words}"
            found.append((line, words))
            last = line
    return found


def docstrings(tree):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def strings(tree):
    """Yield all string literals, docstrings included; most of the package's are shown to users."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")


def texts(path):
    """Return line numbers and texts that a person can read; code in Markdown is left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
        return
    tree = ast.parse(text)
    yield from comments(text)
    yield from test_names(tree)
    shows_strings = PACKAGE in path.parts and path.relative_to(ROOT).as_posix() not in WORD_LISTS
    yield from strings(tree) if shows_strings else docstrings(tree)


test_names.__test__ = False  # type: ignore[attr-defined]


def faults(text):
    """Return what is forbidden in a text, with what to write instead."""
    one_line = " ".join(text.split())
    return [
        f"{found[0]!r}: {instead}" for pattern, instead in _FORBIDDEN for found in pattern.finditer(one_line)
    ]


@pytest.mark.parametrize(("words", "sentence"), [(words, sentence) for words, (_, sentence) in RULES.items()])
def test_each_rule_finds_its_example(words, sentence):
    assert faults(sentence)
    assert re.search(rf"\b(?:{words})(?!\w)", sentence, re.IGNORECASE)


@pytest.mark.parametrize(
    "sentence",
    [
        "A sign-in is no longer accepted, so you're told before it starts.",
        "There is no need to sign in again.",
        "The standard says so; the token file holds JSON.",
    ],
)
def test_no_rule_forbids_plain_english(sentence):
    assert faults(sentence) == []


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_replaced_words_do_not_come_back(path):
    found = [f"line {line}: {fault}" for line, text in texts(path) for fault in faults(text)]
    assert found == []
