"""Tests that leak on purpose: ``test_leaks.py`` runs them and expects a failure. Never collected."""

import contextlib
import logging
import threading

from amplifier_core.llm_errors import LLMError
from amplifier_core.testing import MockCoordinator


def test_nothing(sim):
    sim.sign_in()


def test_logs_an_argument(sim):
    logging.getLogger("any.library").debug("headers: %s", {"authorization": sim.sign_in()["access_token"]})


def test_logs_in_a_thread_and_with_a_traceback(sim):
    def run():
        try:
            int(sim.sign_in()["refresh_token"])
        except ValueError:
            logging.getLogger(__name__).debug("failed", exc_info=True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


async def test_emits_an_event_without_a_listener(sim):
    await MockCoordinator().hooks.emit("any:event", {"deep": [{"key": f"x{sim.sign_in()['id_token']}x"}]})


def test_raises_and_catches(sim):
    with contextlib.suppress(LLMError):
        raise LLMError(f"bad token {sim.sign_in()['refresh_token'][:24]}")


def test_prints(sim):
    print(sim.accounts.secret("ac_"))  # noqa: T201


def test_shows_a_user_code(sim):
    sim.add_user_code("ABCD-EFGHI")
    print("enter ABCD-EFGHI")  # noqa: T201


def test_logs_a_user_code(sim):
    sim.add_user_code("ABCD-EFGHI")
    logging.getLogger(__name__).info("enter ABCD-EFGHI")
