"""One sign-in, many processes: one refresh for all, and what a SIGKILL at each moment leaves behind."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amplifier_core.llm_errors import AuthenticationError

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import write_tokens

CHILD = Path(__file__).with_name("child.py")
KILLED = str(-signal.SIGKILL)
# Where a process is killed, and whether its sign-in must survive that.
MOMENTS = {
    "os.truncate": True,  # in the rehearsal
    "rehearsed": True,
    "socket.connect": True,  # before the request
    "open": False,  # after the answer, before the write
    "os.rename": True,  # all is written and synced, but not under its name yet
    "renamed": True,
    "done": True,
}


def child(sim, *words):
    command = [sys.executable, str(CHILD), sim.auth_url, sim.base_url, *words]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def order(sim):
    """Give an order to a process that forks others; returns its answer."""
    process = child(sim)
    assert process.stdin is not None
    assert process.stdout is not None

    def order(*words):
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    yield order
    _, errors = process.communicate(timeout=60)
    assert not errors


def service_of(sim):
    return CHATGPT_CODEX.at(sim.base_url, sim.auth_url)


def sign_in(sim, path, expires_in=-10.0):
    TokenFile(path).save(Tokens.from_dict(sim.sign_in(expires_in=expires_in)))


def test_eight_processes_with_eight_tasks_each_refresh_once_and_all_calls_succeed(sim, path, order):
    sign_in(sim, path)
    assert order("eight", path).split() == ["200"] * 64
    assert len(sim.requests_to("/oauth/token")) == 1


@pytest.mark.world("plan")
def test_in_plan_mode_eight_processes_with_eight_tasks_each_refresh_once(sim, path, order):
    write_tokens(path, sim.connect(expires_in=-10))
    assert order("plan", path).split() == ["200"] * 64
    assert len(sim.requests_to("/oauth/token")) == 1


def kill_round(sim, path, order, *how):
    """Let a process die; then the file loads, and the sign-in is lost only where its token was spent."""
    sign_in(sim, path)
    before, asked = TokenFile(path).read(), len(sim.requests_to("/oauth/token"))
    ending = order(*how, path)
    found = TokenFile(path).read()
    assert found is not None
    try:
        asyncio.run(Credentials(TokenFile(path), service_of(sim)).current())
    except AuthenticationError:
        assert found == before
        # The process that died and this one; the simulator may have read the first request only now.
        assert len(sim.requests_to("/oauth/token")) == asked + 2
        return ending, "lost"
    return ending, "kept"


@pytest.mark.long
def test_over_200_rounds_only_a_kill_between_answer_and_write_costs_a_sign_in(sim, path, order):
    moments = [list(MOMENTS)[number % len(MOMENTS)] for number in range(200)]
    outcomes = [kill_round(sim, path, order, moment) for moment in moments]
    assert outcomes == [(KILLED, "kept" if MOMENTS[moment] else "lost") for moment in moments]


def test_a_sign_out_leaves_nothing_of_what_a_killed_process_wrote(sim, path, order):
    sign_in(sim, path)
    assert order("os.rename", path) == KILLED
    assert {name.name for name in path.parent.iterdir()} == {
        "tokens.json",
        "tokens.json.lock",
        ".tokens.json.new",
        ".tokens.json.queue",
    }
    asyncio.run(Credentials(TokenFile(path), service_of(sim)).sign_out())
    assert {name.name for name in path.parent.iterdir()} == {"tokens.json.lock"}  # the queue went, too


@pytest.mark.long
def test_processes_do_not_wait_in_turn_for_a_silent_issuer(sim, path, order):
    sign_in(sim, path)
    sim.misbehave("/oauth/token", Fault(stall_before_headers=True), times=None)
    first, *others = sorted(order("silent", path).split(";")[:-1], key=lambda text: "not renew" not in text)
    assert first.startswith("ProviderUnavailableError: The sign-in server did not renew the sign-in in time.")
    assert len(others) == 5
    assert all("A renewal of the sign-in has just failed." in answer for answer in others)
    assert len(sim.requests_to("/oauth/token")) == 1


@pytest.mark.long
def test_over_150_kills_at_any_time_the_file_loads_and_a_loss_means_a_spent_token(sim, path, order):
    kill_round(sim, path, order, "done")
    chance, began = random.Random(7), time.perf_counter()
    kill_round(sim, path, order, "done")
    longest = time.perf_counter() - began
    outcomes = [kill_round(sim, path, order, "kill", chance.uniform(0, longest))[1] for _ in range(150)]
    assert outcomes.count("kept") > 75


def test_where_no_process_can_be_started_ctrl_c_waits_for_a_refresh(sim, path):
    sign_in(sim, path)
    before = TokenFile(path).read()
    sim.misbehave("/oauth/token", Fault(stall_before_headers=True))
    process = child(sim, str(path))
    sim.wait_until(lambda: sim.stalled, timeout=30)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any(line.startswith("KeyboardInterrupt") for line in process.stderr)
    sim.release()
    process.communicate(timeout=60)
    assert TokenFile(path).read() != before
    asyncio.run(Credentials(TokenFile(path), service_of(sim)).current())
    assert len(sim.requests_to("/oauth/token")) == 1
