"""Likely mistakes at the command line: docs/cli.md lists them, and each gets one sentence."""

import re
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.cli import running

from .terminal import in_pipe

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Likely mistakes")[2].partition("\n## ")[0]
NOT_TEXT = b"a\xff\xfeb"

# The command as the page shows it -> arguments, stdin, environment.
MISTAKES = {
    "ask": (["ask"], "", {}),
    'ask ""': (["ask", ""], "", {}),
    "ask hi < picture.png": (["ask", "hi"], NOT_TEXT, {}),
    "ask hi < /dev/zero": (["ask", "hi"], b"\0" * 10_485_761, {}),
    "ask hi -i photo.png": (["ask", "hi", "-i", "photo.png"], "", {}),
    "ask hi -i .": (["ask", "hi", "-i", "."], "", {}),
    "ask hi -i /dev/null": (["ask", "hi", "-i", "/dev/null"], "", {}),
    "ask hi -i notes.txt": (["ask", "hi", "-i", "notes.txt"], "", {}),
    "ask hi -m gpt-nix": (["ask", "hi", "-m", "gpt-nix"], "", {}),
    "ask hi -e silly": (["ask", "hi", "-e", "silly"], "", {}),
    "ask hi, before login": (["ask", "hi"], "", {"OPENAI_CHATGPT_TOKEN_FILE": "/no/such/file"}),
    "ask hi -i scan.png": (["ask", "hi", "-i", "scan.png"], "", {}),
    "aks hi": (["aks", "hi"], "", {}),
    "usage --watch 1": (["usage", "--watch", "1"], "", {}),
    "models, with OPENAI_CHATGPT_BASE_URL=http://example.com": (
        ["models"],
        "",
        {"OPENAI_CHATGPT_BASE_URL": "http://example.com"},
    ),
    "simulate --port 99999": (["simulate", "--port", "99999"], "", {}),
    "login --plan --device": (["login", "--plan", "--device"], "", {}),
    "login --enable-plan": (["login", "--enable-plan"], "", {}),
    "import notes.txt": (["import", "notes.txt"], "", {}),
    "status --plan --profile host": (["status", "--plan", "--profile", "host"], "", {}),
}
ROWS = {
    command: (sentence, int(code))
    for command, sentence, code in re.findall(r"^\| `(.+?)` \| (.+?) \| (\d+) \|$", SECTION, re.MULTILINE)
}


def test_the_page_lists_the_mistakes():
    assert len(MISTAKES) >= 15
    assert list(ROWS) == list(MISTAKES)


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_gets_the_sentence_of_the_page(service, monkeypatch, tmp_path, command):
    arguments, stdin, env = MISTAKES[command]
    (tmp_path / "notes.txt").write_text("notes")
    with (tmp_path / "scan.png").open("wb") as scan:
        scan.truncate(20_000_001)
    monkeypatch.chdir(tmp_path)
    done = in_pipe(*arguments, stdin=stdin, env=env)
    sentence, code = ROWS[command]
    said = " ".join(re.sub(r"^(Usage:|Try) .*$", "", done.stderr, flags=re.MULTILINE).split())
    expected = ".*".join(map(re.escape, f"Error: {sentence}".split("…")))
    assert re.fullmatch(expected, said), said
    assert done.exit_code == code
    assert done.stdout == ""


def test_the_exit_codes_of_the_help_are_those_of_the_page():
    found = " ".join(in_pipe("--help").stdout.split())
    for code in (running.FAILED, running.WRONG_USAGE, running.SIGN_IN_NEEDED, running.INTERRUPTED):
        assert f"{code} " in found
        assert f"| {code} |" in PAGE
