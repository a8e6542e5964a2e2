"""A process that is killed at any moment registers nothing twice and loses no sign-in."""

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.sign_in import Screen, sign_in
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.settings import RENEW_IN_PROCESS
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.auth.test_detached import children, has_ended
from tests.browser import browse

from . import killed

pytestmark = [pytest.mark.world("plan"), pytest.mark.long]


KILLED = str(-signal.SIGKILL)


def command(sim, *order):
    return [sys.executable, "-m", killed.__name__, sim.auth_url, sim.base_url, *map(str, order)]


@pytest.fixture
def run(sim):
    """Have a process carry out an order; returns its exit code and how many events it met."""
    process = subprocess.Popen(
        command(sim), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    orders, answers = process.stdin, process.stdout
    assert orders is not None
    assert answers is not None

    def run(*order):
        orders.write(" ".join(map(str, order)) + "\n")
        orders.flush()
        code, *count = answers.readline().split()
        return code, int(*count)

    yield run
    _, errors = process.communicate(timeout=60)
    assert not errors


def each_kill(run, order, moments, make):
    """Yield the file of each process that was killed; ``make`` prepares one."""
    code, count = run(order, moments, 0, make().path)
    assert (code, count >= 3) == ("0", True)
    for nth in range(1, count + 1):
        file = make()
        assert run(order, moments, nth, file.path)[0] == KILLED, nth
        yield file


async def sign_in_again(service, file):
    async with new_client(connect=5, silence=5) as client:
        await sign_in(client, service, file, Screen(show=len, open_url=browse))


@pytest.fixture
def new_file(service, tmp_path):
    """A function that returns a file in a new folder."""
    numbers = itertools.count()
    return lambda: PlanFile(tmp_path / str(next(numbers)) / "default.json", service.origin)


def test_a_sign_in_that_is_killed_after_the_callback_registers_once(sim, service, new_file, run):
    """A registration that was stored is used again, wherever the process died after that."""
    was_known = []
    for file in each_kill(run, "login", "os.rename,os.remove,socket.connect", new_file):
        known, registered = file.registration() or file.read(), len(sim.sharing.clients)
        asyncio.run(sign_in_again(service, file))
        assert file.read().is_connected
        assert len(sim.sharing.clients) == registered + (known is None)
        was_known.append(known is not None)
    assert was_known == sorted(was_known)
    assert any(was_known)


def test_a_renewal_that_is_killed_loses_nothing(sim, service, new_file, run):
    """Only between the answer and the complete new file could it, which no program can avoid."""

    def expired():
        file = new_file()
        file.save(PlanCredential.from_dict(sim.connect(expires_in=-60)))
        return file

    for file in each_kill(run, "renew", "os.rename,socket.connect", expired):
        asyncio.run(PlanConnection(file, service).current())
        assert file.read().is_valid(time.time())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_program_that_is_killed_while_the_issuer_is_silent_loses_nothing(
    sim, service, new_file, monkeypatch
):
    """The renewal is another process, which a kill of the program does not reach."""
    monkeypatch.delenv(RENEW_IN_PROCESS)
    file = new_file()
    file.save(PlanCredential.from_dict(sim.connect(expires_in=-60)))
    before = file.read()
    sim.misbehave("/oauth/token", Fault(stall_before_headers=True))
    program = subprocess.Popen(command(sim, "call", "os.rename", 0, file.path))
    sim.wait_until(lambda: sim.stalled, timeout=30)
    [renewing] = children(program.pid)
    seen = b"".join(Path(f"/proc/{renewing}/{name}").read_bytes() for name in ("cmdline", "environ"))
    for secret in (before.refresh_token, before.access_token, before.client_id):
        assert secret.reveal().encode() not in seen
    program.kill()
    program.wait(timeout=5)
    sim.release()
    renewed = asyncio.run(PlanConnection(file, service).current())
    assert renewed.access_token != before.access_token
    assert len(sim.requests_to("/oauth/token")) == 1
    sim.wait_until(lambda: has_ended(renewing), timeout=10)


def test_a_program_that_is_killed_at_any_step_of_a_renewal_loses_nothing(
    sim, service, new_file, monkeypatch, request
):
    monkeypatch.delenv(RENEW_IN_PROCESS)
    run = request.getfixturevalue("run")

    def expired():
        file = new_file()
        file.save(PlanCredential.from_dict(sim.connect(expires_in=-60)))
        return file

    for file in each_kill(run, "call", "open,os.remove,subprocess.Popen", expired):
        asyncio.run(PlanConnection(file, service).current())
        assert file.read().is_valid(time.time())


def test_a_renewal_goes_on_when_its_program_ends(sim, new_file):
    file = new_file()
    file.save(PlanCredential.from_dict(sim.connect(expires_in=-60)))
    subprocess.run(command(sim, "leave", "os.rename", 0, file.path), check=True, timeout=30)
    assert len(sim.requests_to("/oauth/token")) == 1
    assert file.read().is_valid(time.time())
