"""Answers arrive as they are: unchanged in pipes, files and JSON, harmless in a terminal."""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.cli.console import printable
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.conftest import MODEL

from .odd_texts import ALL, BIDI, CONTROL, PLAIN
from .terminal import NAME, at_terminal, in_pipe

HARMFUL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What rich itself writes: colours, cursor movements, the cursor shown and hidden.
OWN_SEQUENCES = re.compile(r"\x1b\[[0-9;]*[mAK]|\x1b\[\?25[hl]")
WHITE = re.compile(r"\s+")


def message(text):
    """An answer of one text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return Reply(
        items=[
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [part],
            }
        ]
    )


def to_file(path, monkeypatch, *arguments, mode="w"):
    """Run a command in this process with a file or a descriptor as stdout, and nothing on stdin."""
    with (
        open(path, mode, encoding="utf-8") as out,  # noqa: PTH123 - also a descriptor
        redirect_stdout(out),
        Path(os.devnull).open() as nothing,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdin", nothing)
        try:
            cli(list(arguments), prog_name=NAME)
        except SystemExit as end:
            return end.code
    return None


def ended(text):
    return text if text.endswith("\n") else text + "\n"


def test_there_are_more_than_sixty_texts():
    assert len(ALL) == len(CONTROL) + len(BIDI) + len(PLAIN) > 60


# All texts in one answer, and each alone: its beginning and its end are those of the answer.
TOGETHER = {"together": "\n\n".join(ALL.values())}
TABLES = pytest.mark.parametrize(
    "texts", [TOGETHER, pytest.param(ALL, marks=pytest.mark.long)], ids=["together", "each"]
)


@TABLES
def test_odd_texts_are_unchanged_in_a_pipe(service, texts):
    for name, text in texts.items():
        service.reply_with(message(text))
        assert in_pipe("ask", "hi").stdout_bytes == ended(text).encode(), name


@TABLES
def test_odd_texts_are_unchanged_in_a_file(service, tmp_path, monkeypatch, texts):
    for number, (name, text) in enumerate(texts.items()):
        service.reply_with(message(text))
        file = tmp_path / str(number)
        assert to_file(file, monkeypatch, "ask", "hi") == 0
        assert file.read_bytes() == ended(text).encode(), name


@TABLES
def test_odd_texts_are_escaped_in_json_and_read_back_unchanged(service, texts):
    for name, text in texts.items():
        service.reply_with(message(text))
        out = in_pipe("ask", "hi", "--json").stdout
        assert json.loads(out)["text"] == text, name
        assert not HARMFUL.search(out), name


# Markdown has its own meaning for their escapes and entities.
MARKDOWN = {"backslashes", "a JSON text", "HTML"}


@TABLES
def test_odd_texts_are_harmless_in_a_terminal_and_lose_nothing_else(service, monkeypatch, texts):
    """Only control and bidi characters are left out."""
    for name, text in texts.items():
        service.reply_with(message(text))
        shown = OWN_SEQUENCES.sub("", at_terminal(monkeypatch, 80, "ask", "hi").raw)
        assert not HARMFUL.search(shown), name
        parts = (part for part in ALL if name in {part, "together"} and part not in MARKDOWN)
        for part in parts:
            assert visible(ALL[part]) in visible(shown), part


def visible(text):
    """Return the characters that are not white space: where lines are broken depends on the width."""
    return WHITE.sub("", printable(text))


@pytest.mark.parametrize("text", ["\u3000段落\u3000です", "10\u00a0000", "Quoi\u202f?", "می‌خواهم", "👩‍👩‍👧"])
def test_spaces_and_joiners_stay_in_a_terminal(service, monkeypatch, text):
    service.reply_with(message(text))
    assert text in at_terminal(monkeypatch, 80, "ask", "hi").raw


def test_html_link_targets_and_references_stay_visible_in_a_terminal(service, monkeypatch):
    service.reply_with(message("Use <div> [here](https://example.com/x).\n\n[1]: https://example.com/y"))
    text = at_terminal(monkeypatch, 80, "ask", "hi").text
    assert "Use <div> here (https://example.com/x)." in text
    assert "[1]: https://example.com/y" in text


# A model that is there: the fault meets the first request.
QUESTION = ("ask", "hi", "-m", MODEL)
BROKEN = Fault(cut_after_event=12)


def test_a_file_gets_only_the_second_answer_if_the_first_broke_off(service, tmp_path, monkeypatch):
    file = tmp_path / "answer"
    file.write_text("kept\n")
    service.reply_with(message("one two three four five six seven " * 9), message("another answer"))
    service.misbehave("/codex/responses", BROKEN)
    assert to_file(file, monkeypatch, *QUESTION, mode="a") == 0
    assert file.read_text() == "kept\nanother answer\n"


@pytest.mark.parametrize(
    ("second", "code"),
    [
        pytest.param("one two three four five six seven " * 9, 0, marks=pytest.mark.long),
        ("another answer", 1),
    ],
)
def test_a_pipe_gets_the_rest_or_the_failure_is_reported(service, second, code):
    first = "one two three four five six seven " * 9
    service.reply_with(message(first), message(second))
    service.misbehave("/codex/responses", BROKEN)
    done = in_pipe(*QUESTION)
    assert done.exit_code == code, done.stderr
    if code:
        assert first.startswith(done.stdout)
        assert "ChatGPT answered again in other words" in done.stderr
    else:
        assert done.stdout == ended(first)


def test_a_pipe_gets_the_answer_while_it_is_generated(service, monkeypatch):
    service.misbehave("/codex/responses", Fault(stall_after_event=14))
    text = "first words, and some more of them to come " * 5
    service.reply_with(message(text))
    reader, writer = os.pipe()

    def read():
        received = [os.read(reader, 5)]
        service.wait_until(lambda: service.stalled == 1, timeout=20)
        service.release()
        return b"".join([*received, *iter(lambda: os.read(reader, 65536), b"")])

    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(read)
        assert to_file(writer, monkeypatch, *QUESTION) == 0
        assert received.result() == ended(text).encode()
    os.close(reader)


def test_a_reader_that_leaves_ends_the_call_without_a_complaint(service, monkeypatch, capfd):
    service.misbehave("/codex/responses", Fault(stall_after_event=14))
    service.reply_with(message("words to come " * 50))
    reader, writer = os.pipe()
    os.close(reader)
    assert to_file(writer, monkeypatch, *QUESTION) == 0
    assert capfd.readouterr().err == ""
    service.wait_until(lambda: service.connections_open == 0)
