"""Settings: their sources, how values are read, how bad ones are refused."""

import logging
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from amplifier_core.llm_errors import ConfigurationError

from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN
from amplifier_module_provider_openai_chatgpt.settings import (
    EnvironmentRefusedError,
    Settings,
    mode_of,
    read_settings,
)

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_lists_every_setting_with_its_default():
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)
    documented = {key: default.strip("`") for key, default in rows}
    defaults = {item.name: getattr(Settings(), item.name) for item in fields(Settings) if item.metadata}
    home = str(Path.home())
    shown = {key: "–" if value is None else str(value).replace(home, "~") for key, value in defaults.items()}
    shown = {key: value.lower() if value in {"True", "False"} else value for key, value in shown.items()}
    assert documented == shown


def test_config_takes_precedence_over_environment_and_environment_over_defaults():
    environ = {
        "OPENAI_CHATGPT_BASE_URL": "http://127.0.0.1:1/backend-api/",
        "OPENAI_CHATGPT_AUTH_URL": "http://localhost:1",
        "OPENAI_CHATGPT_TOKEN_FILE": "~/x.json",
    }
    read = read_settings({"auth_url": "https://example.com"}, environ)
    assert read.base_url == "http://127.0.0.1:1/backend-api"
    assert read.auth_url == "https://example.com"
    assert read.token_file_path == Path.home() / "x.json"
    assert read_settings(None, {"OPENAI_CHATGPT_BASE_URL": ""}).base_url == "https://chatgpt.com/backend-api"


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("raw", "false", False),
        ("raw", "TRUE", True),
        ("raw", 1, True),
        ("timeout", "30", 30.0),
        ("max_retries", "0", 0),
        ("max_retries", 2.0, 2),
        ("priority", "-5", -5),
        ("reasoning_summary", "Auto", "auto"),
        ("token_file_path", "~/a", Path.home() / "a"),
        ("models_cache_ttl", "0", 0.0),
        ("base_url", "http://[::1]:80", "http://[::1]:80"),
        ("default_model", None, "gpt-5.5"),
    ],
)
def test_values_may_be_text(key, value, read):
    assert getattr(read_settings({key: value}, {}), key) == read


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("raw", "maybe"),
        ("raw", 2),
        ("timeout", "abc"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "inf"),
        ("timeout", "nan"),
        ("timeout", True),
        ("timeout", "9" * 400),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("priority", "high"),
        ("priority", True),
        ("reasoning_summary", "long"),
        ("text_verbosity", "shout"),
        ("default_model", ""),
        ("default_model", 5),
        ("originator", "a\nb"),
        ("models_client_version", ""),
        ("models_client_version", 1.0),
        ("originator", "é"),
        ("token_file_path", ""),
        ("token_file_path", "a\0b"),
        ("token_file_path", "~nobody-of-this-name/x"),
        ("base_url", "http://example.com"),
        ("base_url", "http://127.0.0.1.example.com"),
        ("base_url", "ftp://127.0.0.1"),
        ("base_url", "https://"),
        ("base_url", "https://example.com:99999"),
        ("base_url", 7),
        ("extra_request_params", "x"),
        ("extra_request_params", {1: 2}),
    ],
)
def test_a_bad_value_is_refused_naming_key_value_and_what_is_allowed(key, value):
    with pytest.raises(ConfigurationError) as caught:
        read_settings({key: value}, {})
    message = str(caught.value)
    assert f"{key!r}" in message
    assert repr(value)[:50] in message
    assert "it must be " in message
    assert not isinstance(caught.value, EnvironmentRefusedError)


def test_the_mode_may_come_from_the_environment_and_changes_the_defaults():
    environ = {"OPENAI_CHATGPT_AUTH_MODE": " ChatGPT_plan ", "OPENAI_CHATGPT_BASE_URL": "https://example.com"}
    plan = read_settings({}, environ)
    assert (plan.auth_mode, plan.service, plan.default_model) == ("chatgpt_plan", CHATGPT_PLAN, "latest")
    assert (plan.base_url, plan.auth_url) == ("https://example.com", CHATGPT_PLAN.issuer.url)
    assert plan.token_file_path.name == "default.json"
    assert read_settings({"auth_mode": "legacy_codex"}, environ).service is CHATGPT_CODEX
    assert read_settings({}, environ, CHATGPT_PLAN).auth_mode == "chatgpt_plan"
    assert mode_of(environ) == "chatgpt_plan"
    for unset in ({}, {"OPENAI_CHATGPT_AUTH_MODE": ""}):
        assert read_settings({}, unset).auth_mode == mode_of(unset) == "chatgpt_codex"


def test_a_bad_mode_is_refused_wherever_it_comes_from():
    bad = {"OPENAI_CHATGPT_AUTH_MODE": "api_key"}
    with pytest.raises(EnvironmentRefusedError, match="variable OPENAI_CHATGPT_AUTH_MODE: it must be one of"):
        read_settings({}, bad)
    with pytest.raises(ConfigurationError, match="setting 'auth_mode'"):
        read_settings({"auth_mode": "api_key"}, {}, CHATGPT_PLAN)
    assert mode_of(bad) == "chatgpt_codex"


def test_a_bad_environment_variable_is_named():
    with pytest.raises(EnvironmentRefusedError, match="environment variable OPENAI_CHATGPT_BASE_URL"):
        read_settings({}, {"OPENAI_CHATGPT_BASE_URL": "http://example.com"})


def test_the_variable_of_hosts_names_the_token_file_unless_ours_does():
    of_hosts = {"AMPLIFIER_OPENAI_CHATGPT_OAUTH_PATH_OVERRIDE": "/host.json"}
    ours = {**of_hosts, "OPENAI_CHATGPT_TOKEN_FILE": "/ours.json"}
    another = replace(CHATGPT_CODEX, name="another", token_file="/another.json")
    assert read_settings({}, of_hosts).token_file_path == Path("/host.json")
    assert read_settings({}, ours).token_file_path == Path("/ours.json")
    assert read_settings({"token_file_path": "/set.json"}, ours).token_file_path == Path("/set.json")
    assert read_settings({}, of_hosts, another).token_file_path == Path("/another.json")
    with pytest.raises(EnvironmentRefusedError, match="AMPLIFIER_OPENAI_CHATGPT_OAUTH_PATH_OVERRIDE"):
        read_settings({}, {"AMPLIFIER_OPENAI_CHATGPT_OAUTH_PATH_OVERRIDE": "a\0b"})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:hunter2@example.com", "http://***@example.com"),
        ("https://:hunter2@example.com/a", "https://***@example.com/a"),
        ("https://user:x@hunter2@example.com", "https://***@example.com"),
        ("https://user:hunter2/x@example.com", "https://***"),
        ("https://user:hunter2?x@example.com", "https://***"),
        ("user:hunter2@example.com", "***@example.com"),
        ("https://example.com/a?key=hunter2", "https://example.com/a?***"),
        ("https://example.com#hunter2", "https://example.com?***"),
        ("https://example.com/?", "https://example.com/?***"),
        ("https://example.com/rt_hunter2hunter2?", "https://example.com/[REDACTED]?***"),
    ],
)
@pytest.mark.parametrize("given", ["config", "environment"])
def test_of_a_refused_address_only_the_public_parts_are_shown(address, shown, given):
    config = {"base_url": address} if given == "config" else {}
    with pytest.raises(ConfigurationError) as caught:
        read_settings(config, {} if config else {"OPENAI_CHATGPT_BASE_URL": address})
    assert str(caught.value).startswith(f"Bad value {shown!r} for ")
    assert "hunter2" not in str(caught.value)


def test_an_unknown_key_is_reported_with_the_nearest_known_one(caplog):
    with caplog.at_level(logging.WARNING):
        read_settings({"tiemout": 3, "max_tokens": 5, "filtered": False, "effort": "low"}, {})
    assert [record.getMessage() for record in caplog.records] == [
        "Unknown setting 'tiemout' for provider openai-chatgpt is ignored. Did you mean 'timeout'?"
    ]


def test_effort_is_an_alias_of_reasoning_effort_which_takes_precedence():
    assert read_settings({"effort": "low"}, {}).reasoning_effort == "low"
    assert read_settings({"effort": "low", "reasoning_effort": "high"}, {}).reasoning_effort == "high"
    assert read_settings({"reasoning_effort": "high", "effort": "low"}, {}).reasoning_effort == "high"


def test_extra_request_params_are_not_in_the_repr():
    assert "sesame" not in repr(read_settings({"extra_request_params": {"key": "sesame"}}, {}))
