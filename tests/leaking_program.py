"""Tests that leak on purpose: ``test_leaks.py`` runs them and expects a failure. Never collected."""

import contextlib
import json
import logging
import sys
import threading

import pytest
from amplifier_core.llm_errors import LLMError
from amplifier_core.testing import MockCoordinator

from tests.secret_leaks import watch

logger = logging.getLogger("any.library")


def test_nothing(sim, tmp_path):
    sim.sign_in()
    tmp_path.joinpath("tokens.json.lock").touch()
    watch.search_failure(fails(lambda: int("x")))


def test_shows_a_user_code(sim):
    sim.add_user_code("ABCD-EFGHI")
    print("enter ABCD-EFGHI")  # noqa: T201


def test_keeps_a_sign_in_in_its_file(sim, token_file):
    assert sim.sign_in()["access_token"] not in token_file.read_text()


def test_logs_a_message(sim):
    logger.debug(f"token {sim.sign_in()['id_token']}")  # noqa: G004


def test_logs_an_argument(sim):
    logger.debug("headers: %s", {"authorization": sim.sign_in()["access_token"]})


def test_logs_in_a_thread_and_with_a_traceback(sim):
    def run():
        try:
            int(sim.sign_in()["refresh_token"])
        except ValueError:
            logger.debug("failed", exc_info=True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_logs_a_user_code(sim):
    sim.add_user_code("ABCD-EFGHI")
    logger.info("enter ABCD-EFGHI")


async def test_emits_an_event_without_a_listener(sim):
    await MockCoordinator().hooks.emit("any:event", {"deep": [{"key": f"x{sim.sign_in()['id_token']}x"}]})


async def test_emits_a_key(sim):
    await MockCoordinator().hooks.emit("any:event", {"deep": [{sim.sign_in()["id_token"]: 1}]})


def test_raises_and_catches(sim):
    with contextlib.suppress(LLMError):
        raise LLMError(f"bad token {sim.sign_in()['refresh_token'][:24]}")


def fails(work):
    """Return the exception that some work raises, without the frame of the test."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        frames = error.__traceback__
        return error.with_traceback(frames and frames.tb_next)


class QuietError(Exception):
    """Its text and its representation do not show the request."""

    def __init__(self, headers):
        super().__init__("something failed")
        self.request = type("Request", (), {"__repr__": lambda _: "Request"})()
        vars(self.request)["headers"] = headers


def test_raises_from_a_hidden_cause(sim):
    def work():
        try:
            int(sim.accounts.secret("rt_"))
        except ValueError:
            raise RuntimeError("something failed") from None

    watch.search_failure(fails(work))


def test_holds_a_local_variable_while_it_fails(sim):
    def work():
        headers = {"authorization": sim.sign_in()["access_token"]}
        return headers["x"]

    watch.search_failure(fails(work))


def test_keeps_a_secret_in_an_attribute_that_no_repr_shows(sim):
    def work():
        raise QuietError({"authorization": sim.sign_in()["access_token"].encode()})

    watch.search_failure(fails(work))


@pytest.mark.world("plan")
def test_logs_an_app(sim):
    logger.debug("the app is %s", sim.connect()["client_id"])


@pytest.mark.world("plan")
def test_logs_a_machine(sim):
    logger.debug("this machine is %s", sim.connect()["ext_agent_host_id"])


@pytest.mark.world("plan")
def test_logs_a_plan_token(sim):
    logger.debug("pending: %s", {"refresh_token": sim.connect()["refresh_token"]})


@pytest.mark.world("plan")
def test_prints_an_address_with_an_id_token_hint(sim):
    print(f"https://auth.openai.com/authorize?id_token_hint={sim.connect()['id_token']}&prompt=consent")  # noqa: T201


@pytest.mark.world("plan")
def test_raises_with_a_plan_token(sim):
    with contextlib.suppress(LLMError):
        raise LLMError(f"refused: {sim.connect()['access_token']}")


@pytest.mark.world("plan")
def test_keeps_a_plan_sign_in_in_its_file(sim, tmp_path):
    tmp_path.joinpath("plan.json").write_text(json.dumps(sim.connect()))


@pytest.mark.world("plan")
def test_writes_a_plan_token_into_a_lock(sim, tmp_path):
    tmp_path.joinpath("plan.json.lock").write_text(sim.connect()["access_token"])


def test_prints(sim):
    print(sim.accounts.secret("ac_"))  # noqa: T201


def test_prints_to_stderr(sim):
    print(sim.accounts.secret("ac_"), file=sys.stderr)  # noqa: T201


def test_writes_a_note_next_to_the_token_file(sim, tmp_path):
    tmp_path.joinpath(".tokens.json.failed").write_text(sim.sign_in()["refresh_token"])
