"""The command ``ask`` as people try it: words, stdin, short options, and what is on the screen meanwhile."""

import codecs
import io
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from amplifier_module_provider_openai_chatgpt.cli import reading
from amplifier_module_provider_openai_chatgpt.cli.markdown import MarkdownStream
from amplifier_module_provider_openai_chatgpt.cli.transcript import Flow
from amplifier_module_provider_openai_chatgpt.simulator import Reply
from tests.conftest import MODEL

from .terminal import COMMAND, Screen, at_terminal, in_pipe
from .test_answers import message


def sent(service):
    """The body of the last request for an answer."""
    return service.requests_to("/codex/responses")[-1].json


def texts(service):
    return [part["text"] for part in sent(service)["input"][-1]["content"]]


def test_words_need_no_quotation_marks(service):
    assert in_pipe("ask", "why", "is", "the", "sky", "blue?").exit_code == 0
    assert texts(service) == ["why is the sky blue?"]


def test_stdin_is_attached_to_the_prompt_unchanged(service):
    content = "all:\n\tcc a.c\n\u00a0می‌خواهم  \n"
    assert in_pipe("ask", "explain", "this", stdin=content).exit_code == 0
    assert texts(service) == ["explain this", content]


@pytest.mark.parametrize("content", ["", "\n", "  \t\n"])
def test_an_empty_stdin_attaches_nothing(service, content):
    in_pipe("ask", "explain", stdin=content)
    assert texts(service) == ["explain"]


@pytest.mark.parametrize("words", [[], ["-"]])
def test_without_words_stdin_is_the_prompt(service, words):
    in_pipe("ask", *words, stdin="Tell me about owls.\n")
    assert texts(service) == ["Tell me about owls.\n"]


def test_short_options_are_the_long_ones(service, tmp_path):
    picture = tmp_path / "picture.gif"
    picture.write_bytes(
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,"
        b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    )
    done = in_pipe(
        "ask", "-m", MODEL, "-e", "high", "-i", str(picture), "-s", "Answer in verse.", "What", "is", "it?"
    )
    assert done.exit_code == 0, done.stderr
    body = sent(service)
    assert (body["model"], body["reasoning"]["effort"]) == (MODEL, "high")
    assert body["instructions"] == "Answer in verse."
    assert [part["type"] for part in body["input"][-1]["content"]] == ["input_text", "input_image"]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8])
def test_text_with_a_byte_order_mark_is_decoded(service, mark):
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, "utf-8")
    in_pipe("ask", "explain", stdin=mark + "größer\n".encode(encoding))
    assert texts(service) == ["explain", "größer\n"]


def test_stdin_in_the_encoding_of_the_console_is_decoded(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"gr\xf6\xdfer"), encoding="cp1252"))
    assert reading.read_prompt(["explain"], print) == ("explain", "größer")


def test_who_waits_for_stdin_learns_what_to_do(monkeypatch):
    """The hint comes while stdin is silent, before its end."""
    monkeypatch.setattr(reading, "PATIENCE", 0.0)
    reader, writer = os.pipe()
    hinted = threading.Event()
    hints = []

    def note(hint):
        hints.append(hint)
        hinted.set()

    def write():
        assert hinted.wait(20)
        os.write(writer, b"late")
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert reading.read_prompt(["explain"], note) == ("explain", "late")
    thread.join()
    assert hints == ["Reading stdin to attach it to the prompt. `< /dev/null` attaches nothing."]


@pytest.mark.parametrize(
    ("reason", "remark"),
    [("max_output_tokens", "The answer was cut at the output limit."), ("content_filter", "content filter.")],
)
def test_an_incomplete_answer_is_remarked_on(service, reason, remark):
    item = message("half an answer").items
    service.reply_with(*[Reply(items=item, end="incomplete", reason=reason)] * 8)
    done = in_pipe("ask", "-m", MODEL, "hi")
    assert done.exit_code == 0
    assert remark in done.stderr


# Markdown in a terminal


ANSWER = """# Title

Some **bold** text with `code`,
a second line and a [link](https://example.com/a).

- one
- two
  - nested

1. first

2. second

| a | b |
|---|---|
| 1 | 2 |

> quoted

```python
def f(x):
\treturn  x
```
The end."""


def test_markdown_is_rendered_in_a_terminal_and_raw_in_a_pipe(service, monkeypatch):
    service.reply_with(message(ANSWER), message(ANSWER))
    assert in_pipe("ask", "hi").stdout == ANSWER + "\n"
    screen = at_terminal(monkeypatch, 60, "ask", "hi")
    for shown in (
        *(
            "Title",
            "Some bold text with code,",
            "a second line and a link (https://example.com/a).",
            " • one",
        ),
        *("    • nested", " 1 first", " 2 second", "▌ quoted", "def f(x):", "        return  x", "The end."),
    ):
        assert shown in [line.rstrip() for line in screen.lines], (shown, screen.text)
    assert "**" not in screen.text
    assert screen.text.count("Title") == 1
    answer = screen.text[screen.text.index("Title") : screen.text.index("The end.")]
    assert "\n\n\n" not in answer


def test_the_screen_is_the_same_however_the_answer_is_cut():
    """Each piece of text redraws only what is not finished; the end result has each line once."""

    def shown(size):
        out = io.StringIO()
        stream = MarkdownStream(Console(file=out, force_terminal=True, width=60, height=8, color_system=None))
        for at in range(0, len(ANSWER), size):
            stream.write(ANSWER[at : at + size])
        stream.close()
        return screen_of(out.getvalue())

    whole = shown(len(ANSWER))
    assert whole.count("Title") == 1
    assert {size for size in (1, 3, 20) if shown(size) != whole} == set()


def screen_of(raw):
    return Screen(0, raw).text


def test_a_long_word_is_shown_as_it_comes():
    for writer in (MarkdownStream, Flow):
        out = io.StringIO()
        stream = writer(Console(file=out, force_terminal=True, width=20, height=8, color_system=None))
        stream.write("x" * 50)
        assert "x" * 20 in out.getvalue(), writer
        stream.close()
        assert screen_of(out.getvalue()).replace("\n", "") == "x" * 50


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "*" * 3000,
        "`" * 3001 + "a",
        "> " * 500,
        "- " * 500,
        "|" * 2000 + "\n" + "|-" * 2000,
        "\\" * 5000,
    ],
    ids=["brackets", "stars", "backticks", "quotations", "lists", "a table", "backslashes"],
)
@pytest.mark.timeout(20)
def test_extreme_markdown_is_shown(text):
    out = io.StringIO()
    stream = MarkdownStream(Console(file=out, force_terminal=True, width=60, height=8, color_system=None))
    for at in range(0, len(text), 500):
        stream.write(text[at : at + 500])
    stream.close()
    assert out.getvalue()


def test_a_dumb_terminal_gets_plain_text(service, monkeypatch):
    service.reply_with(message(ANSWER))
    screen = at_terminal(monkeypatch, 60, "ask", "hi", term="dumb")
    assert "Some **bold** text" in screen.text
    assert "\x1b[1A" not in screen.raw


# The environment

DEAD_PROXY = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
ENVIRONMENTS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252", **DEAD_PROXY},
    "C": {"LC_ALL": "C", "LANG": "C", **DEAD_PROXY},
}


@pytest.mark.long
@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("command", [["usage"], ["models"], ["doctor"], ["ask", "hi"]])
def test_every_command_works_in_odd_environments(service, name, command):
    env = {**os.environ, **ENVIRONMENTS[name]}
    done = subprocess.run(
        [*COMMAND, *command], capture_output=True, stdin=subprocess.DEVNULL, env=env, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    if name == "cp1252":
        out = done.stdout.decode(name)
        assert "✓" not in out
        assert ("+ clock: in sync" in out) == (command == ["doctor"])
        assert ("##" in out) == (command == ["usage"])
        assert "?" not in out.replace("“hi”?", "")
