"""A console script that is signed in at a simulator, and a home directory of its own."""

import pytest


@pytest.fixture
def service(sim, token_file, monkeypatch):
    """A simulator that the console script is signed in at, by the environment alone."""
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    return sim


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"
