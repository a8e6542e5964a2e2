"""Fixtures: a simulator that the environment signs you in to, and a temporary home directory."""

import pytest


@pytest.fixture
def service(sim, token_file, monkeypatch):
    """A simulator; environment variables point the console script to it, signed in."""
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    return sim


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"
