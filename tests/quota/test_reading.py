"""Limit windows and credits, from response headers and from the usage endpoint."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.quota.reading import limit_headers, read_headers, read_usage
from amplifier_module_provider_openai_chatgpt.quota.values import Credits, Quota, Window, throttles
from amplifier_module_provider_openai_chatgpt.quota.words import reset_phrase

NOW = datetime(2026, 9, 21, 11, 52, tzinfo=UTC).timestamp()


def window_headers(slot="primary", family="codex", **values):
    return {f"x-{family}-{slot}-{key.replace('_', '-')}": str(value) for key, value in values.items()}


def read(headers):
    quota = read_headers(headers, "codex", NOW)
    assert quota is not None
    return quota


def test_an_ordinary_answer_gives_plan_windows_and_credits():
    headers = {
        "X-Codex-Plan-Type": "plus",
        "X-Codex-Active-Limit": "premium",
        "X-Codex-Credits-Has-Credits": "True",
        "X-Codex-Credits-Unlimited": "False",
        "X-Codex-Credits-Balance": "12.50",
        **window_headers(used_percent=12, window_minutes=300, reset_at=NOW + 900),
        **window_headers("secondary", used_percent="40.5", window_minutes=10080, reset_at=NOW + 9000),
    }
    assert read(headers) == Quota(
        plan="plus",
        windows=(Window("5-hour", 12.0, 300, NOW + 900), Window("weekly", 40.5, 10080, NOW + 9000)),
        credits=Credits(has_credits=True, unlimited=False, balance="12.50"),
        active_limit="premium",
    )


def test_an_answer_without_limit_headers_has_no_quota():
    assert (
        read_headers({"content-type": "text/event-stream", "x-codex-turn-state": "secret"}, "codex", NOW)
        is None
    )


def test_only_headers_about_limits_are_kept():
    kept = limit_headers(
        {"X-Codex-Primary-Used-Percent": "1", "x-codex-turn-state": "secret", "x-primary-key": "k"}
    )
    assert kept == {"x-codex-primary-used-percent": "1"}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"used_percent": 5}, True),
        ({"used_percent": 0, "window_minutes": 300}, True),
        ({"used_percent": 0, "reset_at": NOW + 5}, True),
        ({"used_percent": 0}, False),
        ({"used_percent": 0, "window_minutes": 0}, False),
        ({"used_percent": "nan", "window_minutes": 300}, False),
        ({"used_percent": "inf"}, False),
        ({"used_percent": "many"}, False),
        ({"window_minutes": 300}, False),
    ],
)
def test_a_window_without_a_meaningful_usage_is_ignored(values, kept):
    assert bool(read({"x-codex-plan-type": "plus", **window_headers(**values)}).windows) is kept


def test_a_reset_is_a_time_or_a_number_of_seconds_from_now():
    quota = read(window_headers(used_percent=1, reset_after_seconds=900)).windows[0]
    assert quota.resets_at == NOW + 900
    assert read(window_headers(used_percent=1, reset_at="1e300")).windows[0].resets_at is None


def test_the_named_family_comes_first_if_it_has_windows():
    spark = {
        **window_headers(family="codex-bengalfox", used_percent=90, window_minutes=1440),
        "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
    }
    plain = window_headers(used_percent=10, window_minutes=300)
    for active, first in (("codex_bengalfox", "GPT-5.3-Codex-Spark"), ("premium", ""), ("codex", "")):
        quota = read({**plain, **spark, "x-codex-active-limit": active})
        assert quota.windows[0].limit == first
        assert {window.limit for window in quota.windows} == {"", "GPT-5.3-Codex-Spark"}
        assert quota.limit_name == (first or None)


USAGE = {
    "plan_type": "plus",
    "rate_limit": {
        "primary_window": {"used_percent": 12, "limit_window_seconds": 18000, "reset_at": NOW + 900},
        "secondary_window": {
            "used_percent": "40",
            "limit_window_seconds": 604800.0,
            "reset_after_seconds": 90000,
        },
    },
    "code_review_rate_limit": None,
    "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
    "additional_rate_limits": [
        {
            "limit_name": "GPT-5.3-Codex-Spark",
            "rate_limit": {"primary_window": {"used_percent": 0, "limit_window_seconds": 604800}},
        },
        None,
        {"metered_feature": "codex_x", "rate_limit": None},
    ],
    "rate_limit_reached_type": {"type": "rate_limit_reached"},
    "spend_control": {"reached": True, "individual_limit": None},
    "rate_limit_reset_credits": {"available_count": "2"},
}


def test_the_usage_endpoint_gives_the_same_windows():
    assert read_usage(USAGE, NOW) == Quota(
        plan="plus",
        windows=(
            Window("5-hour", 12.0, 300, NOW + 900),
            Window("weekly", 40.0, 10080, NOW + 90000),
            Window("weekly", 0.0, 10080, None, "GPT-5.3-Codex-Spark"),
        ),
        credits=Credits(has_credits=False, unlimited=False, balance="0"),
        reached_type="rate_limit_reached",
        spend_cap_reached=True,
        reset_credits=2,
    )


@pytest.mark.parametrize(
    ("spend", "resets", "expected"),
    [
        ({"reached": False}, {"available_count": 0}, (False, 0)),
        ({"reached": "true"}, {"available_count": 3.0}, (True, 3)),
        ({"reached": None}, {"available_count": None}, (None, None)),
        ({"reached": 7}, {"available_count": -1}, (None, None)),
        ({"reached": [True]}, {"available_count": 1.5}, (None, None)),
        (True, 2, (None, None)),
        ({}, {"available_count": True}, (None, None)),
        ({}, {"available_count": 10**400}, (None, None)),
    ],
)
def test_spend_cap_and_saved_resets_are_read_if_they_are_valid(spend, resets, expected):
    quota = read_usage({"spend_control": spend, "rate_limit_reset_credits": resets}, NOW)
    assert (quota.spend_cap_reached, quota.reset_credits) == expected


def test_only_the_usage_endpoint_reports_spend_cap_and_saved_resets():
    usage = read_usage(USAGE, NOW)
    assert json.loads(json.dumps(usage.usage())) == usage.to_dict() | {
        "spend_cap_reached": True,
        "reset_credits": 2,
    }
    assert "reset_credits" not in usage.to_dict()


@pytest.mark.parametrize(
    "payload", [None, [], "x", {}, dict.fromkeys(USAGE), dict.fromkeys(USAGE, 7), {"plan_type": 10**5000}]
)
def test_a_usage_answer_of_unexpected_shape_is_an_empty_quota(payload):
    assert not read_usage(payload, NOW).windows


def test_the_dictionary_of_a_quota_is_plain_json():
    quota = read_usage(USAGE, NOW).to_dict()
    assert json.loads(json.dumps(quota, allow_nan=False)) == quota
    assert quota["windows"][0] == {
        "name": "5-hour",
        "limit": None,
        "used_percent": 12.0,
        "minutes": 300,
        "resets_at": "2026-09-21T12:07:00+00:00",
    }


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@settings(max_examples=100)
@given(
    values=st.lists(ODD, min_size=9, max_size=9),
    usage=st.recursive(
        ODD,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *USAGE,
                        "primary_window",
                        "used_percent",
                        "reset_at",
                        "limit_window_seconds",
                        "limit_name",
                        "reached",
                        "available_count",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ),
)
def test_every_value_can_be_read_and_becomes_json(values, usage):
    names = [
        *window_headers(used_percent="", window_minutes="", reset_at="", reset_after_seconds=""),
        *(f"x-codex-credits-{key}" for key in ("has-credits", "unlimited", "balance")),
        "x-codex-active-limit",
        "x-codex-limit-name",
    ]
    for quota in (read(dict(zip(names, values, strict=True))), read_usage(usage, NOW)):
        json.dumps([quota.usage(), throttles(quota, set())], allow_nan=False)
        for window in quota.windows:
            if window.resets_at:
                reset_phrase(window.resets_at, NOW, UTC)
