"""What the sign-in's tests share: the service at a simulator, and a token file."""

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
