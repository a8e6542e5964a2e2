"""A renewal goes on in a process of its own when the program that asked for it is interrupted or killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from amplifier_core.llm_errors import ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.detached import Detached, answer, in_new_process
from amplifier_module_provider_openai_chatgpt.auth.failures import RefreshRefusedError
from amplifier_module_provider_openai_chatgpt.auth.renewal import Order, Renewed, StoreChangedError
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import RENEW_IN_PROCESS
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import recorded

CHILD = Path(__file__).with_name("child.py")
TOKEN = "/oauth/token"
OTHERWISE = Renewed(Tokens(), is_settled=True)


@pytest.fixture
def signed_in(sim, store):
    tokens = Tokens.from_dict(recorded(sim, sim.sign_in(expires_in=-10)))
    store.save(tokens)
    return tokens


def never(order):
    raise AssertionError("the process did not answer")


@pytest.fixture
def renew(path, service):
    """The protocol between the two processes, within this one."""
    return Detached(path, service, otherwise=never, ask=answer)


def children(pid):
    """Return the processes that a process started, as Linux knows them."""
    found = [task.joinpath("children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for child in " ".join(found).split()]


async def racing(credentials):
    """Return how 64 calls at the same moment end."""
    found = await asyncio.gather(*(credentials.current() for _ in range(64)), return_exceptions=True)
    return map(type, found)


def has_ended(pid):
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or ") Z" in status.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupted_program_ends_while_the_issuer_is_silent_and_the_renewal_is_kept(
    sim, path, store, service, signed_in, monkeypatch, number
):
    monkeypatch.delenv(RENEW_IN_PROCESS)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    process = subprocess.Popen(
        [sys.executable, str(CHILD), sim.auth_url, sim.base_url, str(path)], stderr=subprocess.PIPE
    )
    sim.wait_until(lambda: sim.stalled, timeout=30)
    (renewing,) = children(process.pid)
    seen = b"".join(Path(f"/proc/{renewing}/{name}").read_bytes() for name in ("cmdline", "environ"))
    assert signed_in.refresh_token.reveal().encode() not in seen
    assert signed_in.access_token.reveal().encode() not in seen
    process.send_signal(number)
    process.communicate(timeout=5)
    os.kill(renewing, signal.SIGSTOP)
    assert set(asyncio.run(racing(Credentials(store, service, patience=0.1)))) == {ProviderUnavailableError}
    os.kill(renewing, signal.SIGCONT)
    assert store.read() == signed_in
    sim.release()
    renewed = asyncio.run(Credentials(store, service).current())
    assert renewed.access_token != signed_in.access_token
    assert len(sim.requests_to(TOKEN)) == 1
    sim.wait_until(lambda: has_ended(renewing), timeout=10)


def test_a_renewal_by_another_process_is_returned_and_stored(
    sim, path, store, service, signed_in, monkeypatch
):
    monkeypatch.delenv(RENEW_IN_PROCESS)
    credentials = Credentials(store, service, renew=Detached(path, service, otherwise=never))
    renewed = asyncio.run(credentials.current())
    assert store.read() == renewed
    assert renewed.access_token in sim.secrets
    assert len(sim.requests_to(TOKEN)) == 1


def test_where_no_process_can_be_started_the_order_is_carried_out_otherwise(
    path, service, signed_in, monkeypatch
):
    order = Order(signed_in, signed_in, 1)
    for attempt in ("opted out", "no interpreter", "another program"):
        if attempt != "opted out":
            monkeypatch.delenv(RENEW_IN_PROCESS, raising=False)
            monkeypatch.setattr(sys, "executable", "" if attempt == "no interpreter" else "/usr/bin/host")
        assert in_new_process(b"") == b""
        assert Detached(path, service, otherwise=lambda _: OTHERWISE)(order) is OTHERWISE


def test_an_order_that_json_cannot_hold_is_carried_out_otherwise(path, service):
    given = Tokens(refresh_token=Secret("refresh"), extra=Secret({"odd": object()}))
    assert Detached(path, service, otherwise=lambda _: OTHERWISE)(Order(given, None, 1)) is OTHERWISE


@pytest.mark.parametrize("content", [b"", b"null", b'{"tokens": '])
def test_an_answer_that_cannot_be_read_is_none(path, service, signed_in, content):
    order = Order(signed_in, signed_in, 1)
    renew = Detached(path, service, otherwise=lambda _: OTHERWISE, ask=lambda _: content)
    assert renew(order) is OTHERWISE


def test_every_outcome_reaches_who_gave_the_order(sim, store, renew, signed_in):
    with pytest.raises(StoreChangedError):
        renew(Order(signed_in, None, 1))
    assert not sim.requests
    sim.misbehave(TOKEN, Fault(status=503))
    with pytest.raises(ProviderUnavailableError, match="HTTP 503") as raised:
        renew(Order(signed_in, signed_in, 1))
    assert raised.value.retryable
    assert raised.value.status_code == 503
    renewed = renew(Order(signed_in, signed_in, 1))
    assert (renewed.tokens, renewed.is_settled) == (store.read(), True)
    store.save(signed_in)
    with pytest.raises(RefreshRefusedError, match="already used"):
        renew(Order(signed_in, signed_in, 1))


def test_tokens_that_could_not_be_stored_come_back(sim, path, renew, signed_in):
    path.unlink()
    path.write_text("theme: dark")
    renewed = renew(Order(signed_in, None, 1))
    assert renewed.tokens.access_token in sim.secrets
    assert not renewed.is_settled
    assert "cannot be written" in renewed.problem
