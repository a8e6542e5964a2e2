"""What the commands display in a terminal: wide and narrow, with and without colours."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.models.cache import CachedCatalogue, cache_file, store
from amplifier_module_provider_openai_chatgpt.models.model import Model
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.conftest import MODEL

from .terminal import at_terminal, in_own_process

WIDTHS = (40, 60, 80, 120)
SHOWN = ("status", "usage", "models", "doctor")
LONG = "Tell me in a few words, if you please, why so many people think that the sky is blue at noon."


@pytest.mark.parametrize(
    ("width", "colour"),
    [
        *((width, True) for width in WIDTHS),
        (80, False),
        *(pytest.param(width, False, marks=pytest.mark.long) for width in (40, 60, 120)),
    ],
)
def test_every_screen_fits_the_width_and_honours_no_color(service, monkeypatch, tmp_path, width, colour):
    home = tmp_path / "h"
    monkeypatch.setenv("HOME", str(home))
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):  # a path is never broken
        monkeypatch.delenv(variable, raising=False)
    token_file = Path(os.environ["OPENAI_CHATGPT_TOKEN_FILE"])
    monkeypatch.chdir(token_file.parent)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", token_file.name)
    commands = [[name] for name in SHOWN]
    commands += [["ask", LONG], ["ask", "hi", "--model", "gpt-nix"], ["--help"]]
    commands += [[name, "--help"] for name in (*SHOWN, "ask", "install-routing", "login", "simulate")]
    if width == 40:  # help has at least 50 columns, and paths and addresses are never broken
        commands = [["usage"], ["models"], ["ask", LONG]]
    for command in commands:
        screen = at_terminal(monkeypatch, width, *command, colour=colour)
        assert screen.width <= width, (command, screen.text)
        assert screen.code == (1 if "gpt-nix" in command else 0), screen.text
        if not colour:
            assert not screen.has_colour, command
    assert at_terminal(monkeypatch, width, "usage", colour=colour).has_colour is colour


def test_usage_shows_a_bar_and_the_reset_time_of_each_window(service, monkeypatch):
    service.use_quota(50, 100, resets_in=(900, 90_000))
    screen = at_terminal(monkeypatch, 80, "usage")
    assert "Contacting ChatGPT …" in screen.raw
    assert screen.lines[0] == "Plus plan"
    assert "5-hour  █████████░░░░░░░░░   50 % used  resets " in screen.lines[1]
    assert screen.lines[1].endswith(", in 15 min")
    assert "weekly  ██████████████████  100 % used  resets " in screen.lines[2]
    assert screen.lines[-1] == "https://chatgpt.com/codex/settings/usage"


def test_usage_wraps_before_the_remaining_time(service, monkeypatch):
    service.use_quota(50, None, resets_in=(900, 0))
    screen = at_terminal(monkeypatch, 60, "usage")
    assert "5-hour  ██████░░░░░░   50 % used  resets " in screen.lines[1]
    assert screen.lines[2].strip() == "in 15 min"


def test_usage_shows_reset_times_in_local_time(service, monkeypatch):
    service.use_quota(50, None, resets_in=(900, 0))
    shown = []
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        shown.append(at_terminal(monkeypatch, 120, "usage").lines[1])
    monkeypatch.undo()
    time.tzset()
    assert shown[0] != shown[1]


def test_doctor_aligns_wrapped_lines_with_the_text_of_the_first(service, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "/no/such/folder/with/a/name/of/some/length/tokens.json")
    screen = at_terminal(monkeypatch, 60, "doctor")
    first = screen.lines.index("✗ token file:")
    assert screen.lines[first + 1] == "  /no/such/folder/with/a/name/of/some/length/tokens.json"
    assert "  → Run: amplifier-openai-chatgpt login" in screen.lines


@pytest.mark.parametrize(
    ("credit", "shown"),
    [
        ({"has_credits": True, "unlimited": False, "balance": "12.5"}, "12.5"),
        ({"has_credits": True, "unlimited": False}, "some"),
        ({"has_credits": False, "unlimited": True}, "unlimited"),
    ],
)
def test_usage_shows_credits_if_there_are_any(service, monkeypatch, credit, shown):
    document = {"plan_type": "pro", "credits": credit}
    service.misbehave("/wham/usage", Fault(status=200, body=document))
    screen = at_terminal(monkeypatch, 80, "usage")
    assert screen.lines[:3] == ["Pro (More) plan", "ChatGPT reports no limits.", f"Credits: {shown}"]


def test_usage_shows_a_reached_spend_cap_and_saved_resets(service, monkeypatch):
    document = {
        "plan_type": "promax",
        "spend_control": {"reached": True, "individual_limit": None},
        "rate_limit_reset_credits": {"available_count": 2},
    }
    service.misbehave("/wham/usage", Fault(status=200, body=document))
    screen = at_terminal(monkeypatch, 80, "usage")
    assert screen.lines == [
        "Pro (Max) plan",
        "ChatGPT reports no limits.",
        "Spend cap reached: requests are refused until it resets or is raised.",
        "Saved limit resets: 2 (never used automatically)",
        "https://chatgpt.com/codex/settings/usage",
    ]


def test_usage_shows_no_spend_cap_and_no_saved_resets_if_there_are_none(service, monkeypatch):
    text = at_terminal(monkeypatch, 80, "usage").text
    assert "Spend cap" not in text
    assert "resets:" not in text


def test_status_shows_the_plan_by_its_label(service, monkeypatch):
    tokens = service.sign_in(plan="promax")
    Path(os.environ["OPENAI_CHATGPT_TOKEN_FILE"]).write_text(json.dumps(tokens))
    screen = at_terminal(monkeypatch, 80, "status")
    assert next(line for line in screen.lines if line.startswith("Plan")).split(None, 1)[1] == "Pro (Max)"


def test_models_is_a_table_that_names_its_source(service, monkeypatch):
    screen = at_terminal(monkeypatch, 80, "models")
    assert screen.lines[0].split() == ["id", "window", "efforts", "tiers", "input"]
    sol = next(line for line in screen.lines if line.startswith("gpt-5.6-sol "))
    assert "gpt-6-sol ← " in screen.text
    assert sol.split() == [
        *(
            "gpt-5.6-sol",
            "272,000",
            "low*",
            "medium",
            "high",
            "xhigh",
            "max",
            "ultra",
            "fast",
            "text",
            "image",
        )
    ]
    assert "Fetched from ChatGPT just now. ← used by default, * default effort." in screen.text
    assert "Add -fast to an id" in screen.text
    assert not any("gpt-5.4" in line for line in screen.lines)


def test_models_shows_the_age_of_a_copy_and_whether_the_list_is_built_in(service, monkeypatch):
    service.misbehave("/codex/models", Fault(status=503), times=None)
    shown = at_terminal(monkeypatch, 120, "models").text
    assert "Built-in list: ChatGPT could not be reached." in shown
    store(
        cache_file(
            Path(os.environ["OPENAI_CHATGPT_TOKEN_FILE"]), Secret(service.account_id), service.base_url
        ),
        CachedCatalogue((Model("gpt-9"),), "live", time.time() - 7200 + 59),
    )
    screen = at_terminal(monkeypatch, 120, "models")
    assert "Local copy, fetched from ChatGPT 2 h ago: ChatGPT could not be reached." in screen.text
    assert any(line.startswith("gpt-9 ") for line in screen.lines)


def test_in_a_terminal_thinking_and_answer_stream_in_and_thinking_is_dimmed(service, monkeypatch):
    screen = at_terminal(monkeypatch, 60, "ask", LONG)
    thinking, answer = screen.raw.split("You asked", 1)
    assert "\x1b[2;3m" in thinking
    assert "\x1b[2;3m" not in answer
    assert LONG in screen.text.replace("\n", " ")
    assert " tokens in, " in screen.lines[-1]


def test_the_answer_is_displayed_while_it_is_generated(service, monkeypatch):
    """The backend stalls after its first words until the terminal displays them."""
    service.misbehave("/codex/responses", Fault(stall_after_event=8))
    environ = {**os.environ}

    def see_and_release(terminal, _):
        service.wait_until(lambda: service.stalled == 1, timeout=20)
        terminal.wait_for("Reading")
        service.release()

    screen = in_own_process(80, "ask", "-m", MODEL, LONG, env=environ, act=see_and_release)
    assert screen.code == 0
    assert LONG in screen.text.replace("\n", " ")


def test_prose_is_wrapped_between_words_and_code_is_not(service, monkeypatch):
    code = "```\n" + "x" * 30 + " " + "y" * 50 + "\n```"
    prose = "word " * 20 + "字" * 70
    text = f"{code}\n{prose}"
    item = {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    service.reply_with(Reply(items=[item]))
    screen = at_terminal(monkeypatch, 60, "ask", "hi")
    assert "x" * 30 + " " + "y" * 50 in screen.lines
    assert screen.lines[3] == ("word " * 12).strip()
    assert "字" * 30 in screen.lines


def test_characters_that_could_control_the_terminal_are_removed(service, monkeypatch):
    item = {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "a\x1b]0;title\x07b [bold]c[/] :smile:", "annotations": []}
        ],
    }
    service.reply_with(Reply(items=[item]))
    assert "a]0;titleb [bold]c[/] :smile:" in at_terminal(monkeypatch, 60, "ask", "hi").lines


@pytest.mark.long
def test_a_retry_is_reported_and_the_partial_answer_is_marked(service, monkeypatch):
    service.misbehave("/codex/responses", Fault(cut_after_event=8))
    screen = at_terminal(monkeypatch, 120, "ask", "--model", "gpt-6-sol", "hi")
    assert screen.code == 0
    assert "(ignore the partial answer above)" in screen.text
    broke = (
        r"The connection to ChatGPT broke in the middle of the answer\. Retrying (now|in 1 s) \(1 of 3\)\."
    )
    assert re.search(broke, screen.text)


@pytest.mark.long
@pytest.mark.parametrize("width", [60, 120])
def test_every_command_in_a_real_terminal(service, width, tmp_path):
    """Real processes: no line wider than the terminal, exit code 0, no traceback."""
    env = {**os.environ, "HOME": str(tmp_path)}
    for command in (
        ["usage"],
        ["models"],
        ["models", "--roles"],
        ["ask", LONG],
        ["doctor"],
        ["demo"],
        ["logout"],
    ):
        screen = in_own_process(width, *command, env=env)
        assert screen.code == 0, screen.text
        assert "Traceback" not in screen.text
        wrapped = [line for line in screen.lines if " " in line.strip()]  # a path alone is never broken
        assert max(map(len, wrapped)) <= width, screen.text


@pytest.mark.long
def test_the_prompt_can_be_typed(service):
    def type_it(terminal, _):
        terminal.wait_for("Ctrl-D")
        terminal.type("Tell me about owls.\n\x04")

    screen = in_own_process(80, "ask", act=type_it)
    assert screen.code == 0
    assert "more to say about owls" in screen.text.replace("\n", " ")
