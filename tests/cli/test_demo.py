"""The command ``demo`` as a new user runs it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.browser import callback_ports

DEMO = [sys.executable, "-m", "amplifier_module_provider_openai_chatgpt", "demo"]


def run(*arguments):
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [*DEMO, *arguments], capture_output=True, encoding="utf-8", env=env, timeout=60, check=False
    )


def test_the_demo_streams_calls_a_tool_and_prints_usage():
    done = run("What time is it in Tokyo?")
    assert done.returncode == 0, done.stderr
    assert "get_time" in done.stdout
    assert "Tokyo" in done.stdout.split("get_time")[-1]
    assert " tokens in, " in done.stdout
    assert "0 tokens in" not in done.stdout.split()
    assert "SIMULATED" in done.stderr


@pytest.mark.long
def test_the_demo_of_the_plan_mode_signs_in_and_talks():
    with callback_ports():
        done = run("--plan", "What time is it in Tokyo?")
    assert done.returncode == 0, done.stderr
    assert "Continue with ChatGPT" in done.stderr
    assert "Manage usage: https://chatgpt.com/settings/usage" in done.stderr
    assert "amplifier-openai-chatgpt login --plan" in done.stderr
    assert "get_time" in done.stdout
    assert "Tokyo" in done.stdout.split("get_time")[-1]


@pytest.mark.long
def test_the_demo_answers_any_prompt():
    done = run("Tell me about owls.")
    assert done.returncode == 0, done.stderr
    assert "owls" in done.stdout.split("\n", 2)[-1]


@pytest.mark.long
def test_the_demo_exits_cleanly_twelve_times_in_a_row():
    """Two at a time, which is harder than one."""
    with ThreadPoolExecutor(2) as rows:
        ended = list(rows.map(run, ["What time is it in Tokyo?"] * 12))
    assert [done.returncode for done in ended] == [0] * 12
