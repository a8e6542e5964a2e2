"""Hosts that import ``oauth`` of the original plugin and use the same sign-in as calls."""

import asyncio
import inspect
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from amplifier_core.llm_errors import ConfigurationError

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, oauth
from tests.conftest import recorded, write_tokens
from tests.event_recorder import ask

REFRESH = "/oauth/token"


@pytest.fixture
def path(sim, tmp_path, monkeypatch):
    """The token file of a host, which names it in every call; the addresses are in the environment."""
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    return str(write_tokens(tmp_path / "host.json", recorded(sim, sim.sign_in())))


def load(path):
    tokens = oauth.load_tokens(path)
    assert tokens
    return tokens


def expire(path):
    write_tokens(path, {**load(path), "access_token": "old", "expires_at": "2020-01-01T00:00:00+00:00"})
    return load(path)


def read(path):
    return Path(path).read_text()


def write(path, content):
    Path(path).write_text(content)


def test_the_names_are_those_of_the_original_and_async_where_they_were():
    assert oauth.__all__ == ["is_token_valid", "load_tokens", "refresh_tokens"]
    assert inspect.iscoroutinefunction(oauth.refresh_tokens)
    assert not inspect.iscoroutinefunction(oauth.load_tokens)
    assert list(inspect.signature(oauth.refresh_tokens).parameters) == ["refresh_token", "path"]


async def test_a_host_reads_checks_and_renews_as_it_did_with_the_original(sim, path, config):
    """The calls of a research tool, and then a session with the same file."""
    tokens = expire(path)
    if not oauth.is_token_valid(tokens) and tokens and tokens.get("refresh_token"):
        tokens = await oauth.refresh_tokens(tokens["refresh_token"], path=path)
    assert oauth.is_token_valid(tokens)
    assert json.loads(read(path)) == tokens
    assert len(sim.requests_to(REFRESH)) == 1
    provider = ChatGPTProvider({**config, "token_file_path": path})
    assert (await provider.complete(ask())).text
    await provider.close()
    assert len(sim.requests_to(REFRESH)) == 1


async def test_a_renewal_by_a_host_and_by_calls_is_one_renewal(sim, path, config):
    tokens = expire(path)
    provider = ChatGPTProvider({**config, "token_file_path": path})
    calls = asyncio.gather(*(provider.complete(ask()) for _ in range(3)))
    renewals = (oauth.refresh_tokens(tokens["refresh_token"], path=path) for _ in range(3))
    first, second, third = await asyncio.gather(*renewals)
    assert all(answer.text for answer in await calls)
    await provider.close()
    assert first == second == third == oauth.load_tokens(path)
    assert len(sim.requests_to(REFRESH)) == 1


async def test_a_spent_refresh_token_is_not_sent_again(sim, path):
    tokens = expire(path)
    renewed = await oauth.refresh_tokens(tokens["refresh_token"], path)
    assert await oauth.refresh_tokens(tokens["refresh_token"], path) == renewed
    assert len(sim.requests_to(REFRESH)) == 1


async def test_a_valid_sign_in_is_renewed_if_a_host_asks_for_it(sim, path):
    tokens = load(path)
    renewed = await oauth.refresh_tokens(tokens["refresh_token"], path)
    assert renewed
    assert renewed["access_token"] != tokens["access_token"]
    assert renewed["account_id"] == tokens["account_id"]


async def test_without_a_file_the_renewed_sign_in_is_stored(sim, path, tmp_path):
    tokens = load(path)
    new = str(tmp_path / "new" / "tokens.json")
    renewed = await oauth.refresh_tokens(tokens["refresh_token"], new)
    assert oauth.is_token_valid(renewed)
    assert oauth.load_tokens(new) == renewed


async def test_without_a_file_a_token_is_sent_once_by_all_who_ask(sim, path, tmp_path):
    token = load(path)["refresh_token"]
    new = str(tmp_path / "new.json")
    first, second = await asyncio.gather(oauth.refresh_tokens(token, new), oauth.refresh_tokens(token, new))
    assert first == second == load(new)
    assert len(sim.requests_to(REFRESH)) == 1


@pytest.mark.parametrize("nothing", ["", None])
async def test_without_a_refresh_token_there_is_no_renewal(sim, path, tmp_path, nothing):
    assert await oauth.refresh_tokens(nothing, str(tmp_path / "new.json")) is None
    assert sim.requests_to(REFRESH) == []


async def test_what_cannot_be_renewed_is_none_with_a_warning(sim, path, caplog):
    tokens = expire(path)
    sim.accounts.revoke(tokens["refresh_token"])
    assert await oauth.refresh_tokens(tokens["refresh_token"], path) is None
    assert "The sign-in was not renewed. Run amplifier-openai-chatgpt login" in caplog.text
    assert tokens["refresh_token"] not in caplog.text
    assert json.loads(read(path))["refresh_token"] == tokens["refresh_token"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "theme: dark"])
async def test_a_file_that_is_not_a_sign_in_is_none_and_is_left_alone(sim, path, content):
    write(path, content)
    assert oauth.load_tokens(path) is None
    assert await oauth.refresh_tokens("rt_unknown", path) is None
    assert read(path) == content
    assert sim.requests_to(REFRESH) == []


def test_without_a_path_the_environment_names_the_file(path, monkeypatch):
    monkeypatch.delenv("OPENAI_CHATGPT_TOKEN_FILE")
    monkeypatch.setenv("AMPLIFIER_OPENAI_CHATGPT_OAUTH_PATH_OVERRIDE", path)
    assert oauth.load_tokens() == oauth.load_tokens(path)
    assert oauth.load_tokens(path + ".missing") is None


def test_a_bad_address_in_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", "http://example.com")
    with pytest.raises(ConfigurationError, match="OPENAI_CHATGPT_AUTH_URL"):
        oauth.load_tokens()


LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    ("tokens", "valid"),
    [
        (None, False),
        ({}, False),
        ([], False),
        ({"access_token": "a"}, False),
        ({"access_token": "", "expires_at": LATER}, False),
        ({"access_token": "a", "expires_at": LATER}, True),
        ({"access_token": "a", "expires_at": LATER[:19]}, True),
        ({"access_token": "a", "expires_at": "2020-01-01T00:00:00"}, False),
        ({"access_token": "a", "expires_at": "soon"}, False),
        ({"access_token": "a", "expires_at": None}, False),
    ],
)
def test_a_token_is_valid_by_the_rule_of_the_original(tokens, valid):
    assert oauth.is_token_valid(tokens) is valid
