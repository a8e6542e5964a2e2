"""One sign-in, many processes: one refresh for all, and what a SIGKILL at each moment leaves behind."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from amplifier_core.llm_errors import AuthenticationError

from amplifier_module_provider_openai_chatgpt.auth import token_file
from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.simulator import Fault

CHILD = Path(__file__).with_name("child.py")
# Where a process is killed, and whether its sign-in must survive that.
MOMENTS = {
    "socket.connect": True,  # before the request
    "open": False,  # after the answer, before the write
    "os.rename": False,  # all is written, but not under its name yet
    "done": True,
}


def child(sim, path, what):
    command = [sys.executable, str(CHILD), str(path), sim.auth_url, sim.base_url, what]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def sign_in(sim, path, expires_in=-10.0):
    token_file.save(path, Tokens.from_dict(sim.sign_in(expires_in=expires_in)))


def test_eight_processes_with_eight_tasks_each_refresh_once_and_all_calls_succeed(sim, tmp_path):
    sign_in(sim, tmp_path / "tokens.json")
    children = [child(sim, tmp_path / "tokens.json", "eight") for _ in range(8)]
    for each in children:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in children:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    outputs = [each.communicate(timeout=60)[0].split() for each in children]
    assert outputs == [["200"] * 8] * 8
    assert len(sim.requests_to("/oauth/token")) == 1


def kill_round(sim, path, moment, may_be_lost):
    """Let a process die at a moment; then the file loads, and the next one goes on where it may."""
    sign_in(sim, path)
    before = token_file.load(path)
    process = child(sim, path, moment)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    found = token_file.load(path)
    assert found is not None
    try:
        asyncio.run(Credentials(path, sim.auth_url).current())
    except AuthenticationError:
        assert may_be_lost
        assert found == before
        return "lost"
    return "kept"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_leaves_a_file_that_loads(sim, tmp_path, moment):
    outcome = kill_round(sim, tmp_path / "tokens.json", moment, may_be_lost=not MOMENTS[moment])
    assert outcome == ("kept" if MOMENTS[moment] else "lost")
    names = {"tokens.json", "tokens.json.lock"}
    left = {name.name for name in tmp_path.iterdir()} - names
    assert left == ({".tokens.json.new"} if moment == "os.rename" else set())
    asyncio.run(Credentials(tmp_path / "tokens.json", sim.auth_url).forget())
    assert {name.name for name in tmp_path.iterdir()} == {"tokens.json.lock"}


def test_ctrl_c_in_the_middle_of_a_refresh_lets_it_finish(sim, tmp_path):
    path = tmp_path / "tokens.json"
    sign_in(sim, path)
    before = token_file.load(path)
    sim.misbehave("/oauth/token", Fault(stall_before_headers=True))
    process = child(sim, path, "never")
    sim.wait_until(lambda: sim.stalled, timeout=30)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any(line.startswith("KeyboardInterrupt") for line in process.stderr)
    sim.release()
    process.communicate(timeout=60)
    assert token_file.load(path) != before
    asyncio.run(Credentials(path, sim.auth_url).current())
    assert len(sim.requests_to("/oauth/token")) == 1


@pytest.mark.long
def test_over_sixty_rounds_only_a_kill_between_answer_and_write_costs_a_sign_in(sim, tmp_path):
    for number in range(60):
        moment = list(MOMENTS)[number % len(MOMENTS)]
        kill_round(sim, tmp_path / "tokens.json", moment, may_be_lost=not MOMENTS[moment])


@pytest.mark.long
def test_over_sixty_kills_at_any_time_the_file_loads_and_a_loss_means_a_spent_token(sim, tmp_path):
    path, chance = tmp_path / "tokens.json", random.Random(7)
    for _ in range(60):
        sign_in(sim, path)
        before, spent = token_file.load(path), len(sim.requests_to("/oauth/token"))
        process = child(sim, path, "never")
        try:
            process.wait(chance.uniform(0.1, 0.8))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        assert token_file.load(path) is not None
        was_spent = len(sim.requests_to("/oauth/token")) > spent and token_file.load(path) == before
        try:
            asyncio.run(Credentials(path, sim.auth_url).current())
        except AuthenticationError:
            assert was_spent
