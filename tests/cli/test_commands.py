"""Commands in pipes: output, JSON, arguments, exit codes and errors."""

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.cli.commands import SIMULATED_WORLDS
from amplifier_module_provider_openai_chatgpt.settings import EFFORTS
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import MODEL
from tests.request.pictures import GIF, JPEG, WEBP

from .terminal import COMMAND, in_own_process, in_pipe

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LONG = "Tell me in a few words, if you please, why so many people think that the sky is blue at noon."


def test_a_pipe_gets_only_the_answer(service):
    done = in_pipe("ask", LONG)
    assert done.exit_code == 0
    assert done.stdout.startswith("You asked: “Tell me")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["status"], ["usage"], ["models"], ["doctor"], ["ask", "hi"]])
def test_with_json_the_output_is_only_json(service, command):
    done = in_pipe(*command, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout + in_pipe(*command).stdout


def test_the_json_of_each_command_has_the_documented_values(service):
    status, usage, models, answer = (
        json.loads(in_pipe(*command, "--json").stdout)
        for command in (["status"], ["usage"], ["models"], ["ask", "hi", "--model", "gpt-6-luna"])
    )
    assert status["status"] == "authenticated"
    assert status["plan"] == "plus"
    assert [window["name"] for window in usage["windows"]] == ["5-hour", "weekly"]
    assert (usage["spend_cap_reached"], usage["reset_credits"]) == (False, 0)
    assert models["source"] == "live"
    first = models["models"][0]
    assert first["id"] == "gpt-6.2-astra"
    assert first["fast_id"] == "gpt-6.2-astra-fast"
    assert first["service_tiers"] == ["priority"]
    assert first["input"] == ["text", "image"]
    assert answer["model"] == "gpt-6-luna"
    assert answer["finish_reason"] == "stop"
    assert answer["usage"]["input_tokens"] > 0


def test_long_lines_are_not_broken_in_a_pipe(service):
    service.models[0]["input_modalities"] = [f"modality-{number}" for number in range(40)]
    out = in_pipe("models", env={"COLUMNS": "40"}).stdout
    assert "modality-0 modality-1" in out
    assert "modality-38 modality-39" in out


@pytest.mark.long
@pytest.mark.parametrize("command", [["models"], ["models", "--json"], ["ask", "hi"], ["demo"]])
def test_a_closed_pipe_causes_no_traceback(service, command):
    process = subprocess.Popen(
        [*COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    complaints = process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in complaints
    assert "rror" not in complaints
    assert process.wait(timeout=60) == (1 if "--json" in command else 0)


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["models"], ["ask", "hi"]])
def test_output_that_cannot_be_written_is_a_failure(service, command):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "Error: The output could not be written: No space left on device\n"


@pytest.mark.long
def test_characters_the_terminal_lacks_are_replaced(service):
    done = subprocess.run(
        [*COMMAND, "usage"],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert b"12 % used" in done.stdout


def test_ask_sends_model_effort_and_image(service, tmp_path):
    picture = tmp_path / "picture"
    picture.write_bytes(PNG)
    done = in_pipe(
        "ask", "What is this?", "--model", "gpt-6-luna", "--effort", "high", "--image", str(picture)
    )
    assert done.exit_code == 0, done.stderr
    (request,) = service.requests_to("/codex/responses")
    assert request.json["model"] == "gpt-6-luna"
    assert request.json["reasoning"]["effort"] == "high"
    text, image = request.json["input"][0]["content"]
    assert text["text"] == "What is this?"
    assert image["image_url"] == "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("data", "media_type"), [(JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")]
)
def test_an_image_is_recognised_by_its_content(service, tmp_path, data, media_type):
    (tmp_path / "picture").write_bytes(data)
    in_pipe("ask", "What is this?", "--image", str(tmp_path / "picture"))
    image = service.requests_to("/codex/responses")[0].json["input"][0]["content"][1]
    assert image["image_url"].startswith(f"data:{media_type};base64,")


@pytest.mark.parametrize("arguments", [["ask"], ["ask", "-"]])
def test_the_prompt_is_read_from_stdin(service, arguments):
    assert "pipes" in in_pipe(*arguments, stdin="Tell me about pipes.\n").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask", ""], 2, "The prompt is empty"),
        (["ask"], 2, "The prompt is empty"),
        (["ask", "hi", "--image", "/no/such/file"], 2, "cannot be read: No such file or directory."),
        (["ask", "hi", "--image", __file__], 1, "it is not a PNG, JPEG, GIF or WebP image"),
        (["ask", "hi", "--effort", "silly"], 1, "Reasoning effort 'silly' is not known"),
        (["ask", "hi", "--model", "gpt-nix"], 1, "choose another, such as gpt-6.2-astra"),
        (["no-such-command"], 2, "No such command"),
        (["models", "--no-such-option"], 2, "No such option"),
        (["--version"], 0, ""),
    ],
)
def test_exit_codes_distinguish_success_failure_and_wrong_use(service, arguments, code, message):
    done = in_pipe(*arguments)
    assert (done.exit_code, message in done.stderr) == (code, True), done.output


@pytest.mark.parametrize("command", [["usage"], ["models"], ["ask", "hi"]])
def test_signed_out_is_one_line_with_the_command_to_run(service, monkeypatch, command):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "/no/such/file")
    done = in_pipe(*command)
    assert done.exit_code == 4
    assert done.stdout == ""
    assert done.stderr == "Error: Run amplifier-openai-chatgpt login: you are not signed in.\n"


def test_a_bad_environment_variable_is_wrong_use(monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", "http://example.com")
    done = in_pipe("models")
    assert done.exit_code == 2
    assert "environment variable OPENAI_CHATGPT_BASE_URL" in done.stderr


def test_ctrl_c_stops_a_question_immediately(service):
    service.misbehave("/codex/responses", Fault(stall_before_headers=True))

    def interrupt(_, process):
        service.wait_until(lambda: service.stalled == 1, timeout=20)
        process.send_signal(signal.SIGINT)

    screen = in_own_process(80, "ask", "hi", act=interrupt)
    assert screen.code == 130
    assert screen.text == ""
    service.wait_until(lambda: service.connections_open == 0)


def test_simulate_prints_how_to_use_it_and_stops_on_ctrl_c():
    process = subprocess.Popen([*COMMAND, "simulate"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    exports = dict(
        line.strip().removeprefix("export ").split("=")
        for line in iter(lambda: next(lines), "Ctrl-C stops it and removes that token file.\n")
        if "export" in line
    )
    folder = Path(exports["OPENAI_CHATGPT_TOKEN_FILE"]).parent
    assert folder.is_dir()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "The simulator has stopped.\n"
    assert process.returncode == 0
    assert not folder.exists()


def test_ctrl_c_in_the_middle_of_an_answer_adds_no_remark(service):
    service.misbehave("/codex/responses", Fault(stall_after_event=8))

    def interrupt(terminal, process):
        terminal.wait_for("Reading")
        process.send_signal(signal.SIGINT)

    screen = in_own_process(80, "ask", "-m", MODEL, LONG, act=interrupt)
    assert screen.code == 130
    assert "Reading" in screen.text
    assert "Aborted" not in screen.text
    assert "ignore" not in screen.text


@pytest.mark.parametrize("world", SIMULATED_WORLDS)
def test_simulate_serves_the_chosen_world(world):
    command = [*COMMAND, "simulate", "--world", world]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    played = {"plan": "“Sign in with ChatGPT” as of November 2026"}.get(
        world, world.replace("-", " ").title()
    )
    assert played in lines[1]


def test_simulate_reports_a_port_in_use(service):
    done = in_pipe("simulate", "--port", service.auth_url.rpartition(":")[2])
    assert done.exit_code == 1
    assert "cannot be used: Address already in use" in done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("in", ["install-routing"]),
        ("ask --effort ", list(EFFORTS)),
        ("ask --model gpt-6.1-s", ["gpt-6.1-sol", "gpt-6.1-sol-fast"]),
    ],
)
def test_the_shell_completes_commands_models_and_efforts(typed, offered):
    words = f"amplifier-openai-chatgpt {typed}"
    done = in_pipe(
        env={
            "_AMPLIFIER_OPENAI_CHATGPT_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
    )
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered
