"""What tests share: a simulator, a signed-in token file, and an environment without anybody's account."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Simulator

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def sim():
    """A simulator of this test's own."""
    with Simulator() as simulator:
        yield simulator


def write_tokens(path, tokens):
    path.touch(mode=0o600)
    path.write_text(json.dumps(tokens))
    return path


@pytest.fixture
def token_file(sim, tmp_path):
    """A token file signed in at ``sim``."""
    return write_tokens(tmp_path / "tokens.json", sim.sign_in())


@pytest.fixture
def config(sim, token_file):
    """The provider's settings for ``sim``."""
    return {
        "base_url": sim.base_url,
        "auth_url": sim.auth_url,
        "token_file_path": str(token_file),
        "login_on_mount": False,
        "min_retry_delay": 0,
    }


@pytest.fixture(autouse=True)
def _own_environment(request, monkeypatch, tmp_path_factory):
    """No test meets the developer's account; amplifier-core's own tests are signed in at a simulator."""
    folder = tmp_path_factory.mktemp("account")
    base_url, auth_url, tokens = f"{DEAD}/backend-api", DEAD, folder / "none.json"
    if "provider_module" in request.fixturenames:
        simulator = request.getfixturevalue("sim")
        base_url, auth_url = simulator.base_url, simulator.auth_url
        tokens = write_tokens(folder / "tokens.json", simulator.sign_in())
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(tokens))
