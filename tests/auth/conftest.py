"""What the sign-in's tests share: the service at a simulator, and a token file."""

import time

import pytest

from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX


@pytest.fixture
def service(sim):
    """The Codex service at this test's simulator."""
    return CHATGPT_CODEX.at(sim.base_url, sim.auth_url)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def store(path):
    """The store that keeps the sign-in at ``path``."""
    return TokenFile(path)


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def time_zone(request, monkeypatch):
    """The local time zone of the test."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()
