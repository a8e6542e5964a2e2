"""A renewal in plan mode is carried out by a process of its own, and its outcome comes back whole."""

import threading

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.credentials import PlanCredentials
from amplifier_module_provider_openai_chatgpt.auth.plan.detached import Detached, answer
from amplifier_module_provider_openai_chatgpt.auth.plan.renewal import Failed, Order, Renewed, Unsaved
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN
from amplifier_module_provider_openai_chatgpt.settings import RENEW_IN_PROCESS
from amplifier_module_provider_openai_chatgpt.simulator import Fault

pytestmark = pytest.mark.world("plan")
TOKEN = "/oauth/token"
EXPIRED = -60


def never(order):
    raise AssertionError("the process did not answer")


@pytest.fixture
def renew(file, service):
    """The protocol between the two processes, within this one."""
    return Detached(file, service, otherwise=never, ask=answer)


@pytest.mark.long
async def test_calls_renew_in_another_process(sim, file, stored, monkeypatch):
    monkeypatch.delenv(RENEW_IN_PROCESS)
    before = stored(EXPIRED)
    renewed = await PlanCredentials(file.path, CHATGPT_PLAN.at(sim.base_url, sim.auth_url)).current()
    assert renewed.access_token == file.read().access_token
    assert renewed.access_token != before.access_token
    assert len(sim.requests_to(TOKEN)) == 1


@pytest.mark.parametrize("content", [b"", b"null", b'{"credential": '])
def test_without_an_answer_the_order_is_carried_out_otherwise(file, service, stored, content):
    outcome = Renewed(stored())
    assert Detached(file, service, otherwise=lambda _: outcome, ask=lambda _: content)(Order()) is outcome


def test_a_long_wait_is_announced(file, service, stored, caplog):
    outcome = Renewed(stored())

    def ask(_):
        while "Waiting for an answer of 127.0.0.1" not in caplog.text:
            threading.Event().wait(0.01)
        return b""

    renew = Detached(file, service, otherwise=lambda _: outcome, ask=ask, announce_after=0)
    assert renew(Order()) is outcome


def test_a_refused_token_is_part_of_the_order(renew, stored):
    before = stored()
    assert renew(Order()) == Renewed(before)
    outcome = renew(Order((before.access_token,)))
    assert isinstance(outcome, Renewed)
    assert outcome.credential.access_token != before.access_token


def test_an_error_comes_back_as_it_is(sim, renew, stored):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=503))
    outcome = renew(Order())
    assert isinstance(outcome, Failed)
    assert outcome.is_passing
    assert isinstance(outcome.error, ProviderUnavailableError)
    assert (outcome.error.retryable, outcome.error.status_code) == (True, 503)
    assert "HTTP 503" in str(outcome.error)
    sim.sharing.claims = {"exp": 1}
    outcome = renew(Order())
    assert isinstance(outcome, Failed)
    assert (type(outcome.error), outcome.is_passing) == (ConfigurationError, True)
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=400, body={"error": "invalid_grant"}))
    outcome = renew(Order())
    assert isinstance(outcome, Failed)
    assert (type(outcome.error), outcome.is_passing) == (AuthenticationError, False)


def test_a_credential_that_was_not_stored_goes_with_the_order(sim, file, renew, stored):
    before = stored(EXPIRED)
    newer = PlanCredential.from_dict(sim.connect(EXPIRED))
    outcome = renew(Order(unsaved=Unsaved(before.refresh_token, newer)))
    assert isinstance(outcome, Renewed)
    [request] = sim.requests_to(TOKEN)
    assert request.form["refresh_token"] == newer.refresh_token
    assert (file.read(), outcome.unsaved) == (outcome.credential, None)


def test_tokens_that_could_not_be_stored_come_back(sim, file, service, stored, tmp_path):
    """Whatever became of the file, the only valid tokens are not lost."""
    before = stored(EXPIRED)

    def ask(order):
        moved = tmp_path / "moved.json"
        sim.misbehave(TOKEN, Fault(stall_before_headers=True))
        thread = threading.Thread(target=lambda: answers.append(answer(order)))
        thread.start()
        sim.wait_until(lambda: sim.stalled)
        file.path.rename(moved)
        file.path.symlink_to(moved)
        sim.release()
        thread.join()
        return answers[0]

    answers: list[bytes] = []
    outcome = Detached(file, service, otherwise=never, ask=ask)(Order())
    assert isinstance(outcome, Renewed)
    assert outcome.unsaved == Unsaved(before.refresh_token, outcome.credential)
    assert outcome.credential.access_token in sim.secrets
