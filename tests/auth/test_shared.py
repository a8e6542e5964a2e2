"""Everything in a process that uses one sign-in shares one object, also after a fork."""

import os
import threading

import pytest

from amplifier_module_provider_openai_chatgpt.auth.plan.credentials import shared_plan_credentials
from amplifier_module_provider_openai_chatgpt.auth.shared import Shared, shared_credentials
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN


@pytest.mark.parametrize(
    ("share", "service"), [(shared_credentials, CHATGPT_CODEX), (shared_plan_credentials, CHATGPT_PLAN)]
)
def test_one_file_and_one_service_are_one_object(tmp_path, monkeypatch, share, service):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tokens.json"
    one = share(path, service)
    assert share(path.relative_to(tmp_path), service) is one
    assert share(path.with_name("other.json"), service) is not one
    assert share(path, service.at("http://127.0.0.1:1/v1", "http://127.0.0.1:2")) is not one


def test_an_object_is_built_once_for_all_threads():
    shared: Shared[object] = Shared()
    built, barrier = [], threading.Barrier(8)

    def run():
        barrier.wait()
        built.append(shared.get("key", object))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8
    assert len(set(map(id, built))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_builds_one_does_not_hang_the_child():
    shared: Shared[int] = Shared()

    def build():
        child = os.fork()
        if child == 0:
            os._exit(shared.get("other", lambda: 7))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert shared.get("key", build) == 7
