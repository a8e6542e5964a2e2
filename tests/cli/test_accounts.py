"""Two accounts on one machine: ``--profile``, ``--token-file``, and the list of profiles."""

import json
import os
import re

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.cli.accounts import VARIABLE, path_of, profiles
from tests.conftest import recorded, write_tokens


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory with a folder for sign-ins."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".amplifier").mkdir()
    return tmp_path


@pytest.fixture
def run(sim, home):
    env = {"OPENAI_CHATGPT_BASE_URL": sim.base_url, "OPENAI_CHATGPT_AUTH_URL": sim.auth_url}
    return lambda *words: CliRunner().invoke(cli, words, env=env)


def test_a_profile_is_a_token_file_of_its_own(home):
    folder = home / ".amplifier"
    assert path_of("default") == folder / "openai-chatgpt-oauth.json"
    assert path_of("work") == folder / "openai-chatgpt-oauth-work.json"


@pytest.mark.parametrize(
    "name", ["", "-", "-x", "../evil", "a/b", "a.b", "Work", "a b", "x" * 33, "a\n", "é", "a@b", "a\0"]
)
def test_a_name_that_not_every_file_system_accepts_is_refused(home, name):
    with pytest.raises(ValueError, match=f"^{re.escape(name)}$"):
        path_of(name)


def test_a_bad_name_is_wrong_usage_and_says_what_is_allowed(run):
    out = run("status", "--profile", "../evil")
    assert out.exit_code == 2
    assert "'../evil' is not a profile name: up to 32 lower-case letters" in out.stderr


def test_both_options_together_are_wrong_usage(run, home):
    out = run("status", "--profile", "work", "--token-file", str(home / "x.json"))
    assert out.exit_code == 2
    assert "either --profile or --token-file" in out.stderr


@pytest.mark.parametrize("words", [("--plan",), ("--token-file", "x"), ("--plan", "--token-file", "x")])
def test_wrong_usage_leaves_the_environment_as_it_was(run, words):
    before = dict(os.environ)
    assert run("status", *words, "--no-such-option").exit_code == 2
    assert run("status", *words, "--profile", "../evil").exit_code == 2
    assert dict(os.environ) == before


def test_every_command_that_uses_an_account_takes_both_options():
    without = {"demo", "simulate", "install-routing"}
    for name, command in cli.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert ({"--profile", "--token-file"} <= options) == (name not in without), name


def test_two_accounts_are_kept_apart_and_listed(sim, run, home):
    before = os.environ.get(VARIABLE)
    default = write_tokens(path_of("default"), recorded(sim, sim.sign_in()))
    sim.device.pending = 0
    assert run("login", "--profile", "work").exit_code == 0
    assert path_of("work").exists()
    assert os.environ.get(VARIABLE) == before
    out = run("status", "--profile", "work")
    assert out.exit_code == 0
    assert out.stdout.endswith("\nProfiles\n  default  ada@example.com\n* work     ada@example.com\n")
    listed = json.loads(run("status", "--json", "--token-file", str(default)).stdout)
    assert listed["token_file"] == str(default)
    assert [profile["name"] for profile in listed["profiles"]] == ["default", "work"]
    assert run("logout", "--profile", "work").exit_code == 0
    assert default.exists()
    assert not path_of("work").exists()
    assert "profiles" not in json.loads(run("status", "--json", "--token-file", str(default)).stdout)


def test_a_profile_that_cannot_be_used_is_listed_with_the_reason_and_foreign_names_are_not(home):
    path_of("broken").write_text("{")
    (home / ".amplifier" / "openai-chatgpt-oauth-a@127.0.0.1_1.json").write_text("{}")
    (found,) = profiles()
    assert (found.name, found.why) == ("broken", "it does not contain a JSON object and is not a sign-in")
