"""When limits are used up, and when they are reported."""

from datetime import UTC, datetime

import pytest

from amplifier_module_provider_openai_chatgpt.quota.values import Credits, Quota, Window, throttles

NOW = datetime(2026, 9, 21, 11, 52, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("used", "credit", "used_up"),
    [
        (100, None, True),
        (99.9, None, False),
        (100, Credits(has_credits=False, unlimited=False), True),
        (100, Credits(has_credits=True, unlimited=False), False),
        (100, Credits(has_credits=False, unlimited=True), False),
    ],
)
def test_a_limit_is_used_up_if_its_window_is_full_and_there_are_no_credits(used, credit, used_up):
    quota = Quota(windows=(Window("daily", used, 1440, None),), credits=credit)
    assert quota.is_used_up() is used_up
    assert quota._replace(reached_type="workspace_member_usage_limit_reached").is_used_up()


def test_the_exhausted_window_is_the_one_of_the_active_limit_that_resets_last():
    day = Window("daily", 100, 1440, NOW + 50)
    week = Window("weekly", 100, 10080, NOW + 500)
    spark = Window("weekly", 100, 10080, NOW + 5000, "Spark")
    assert Quota(windows=(day, week, spark)).exhausted() == week
    assert Quota(windows=(Window("daily", 99.9, 1440, None), spark)).exhausted() is None
    assert Quota().exhausted() is None


def test_each_nearly_used_window_is_reported_once():
    already: set = set()
    quota = Quota(windows=(Window("5-hour", 91, 300, NOW), Window("weekly", 89.9, 10080, NOW)))
    assert throttles(quota, already) == [
        {
            "reason": "usage_limit_near",
            "dimension": "5-hour",
            "remaining": 9.0,
            "limit": 100.0,
            "ratio": 0.09,
            "reset_timestamp": "2026-09-21T11:52:00+00:00",
            "delay": 0.0,
        }
    ]
    assert throttles(quota, already) == []
    drifted = Quota(windows=(Window("5-hour", 99, 300, NOW + 30),))
    assert throttles(drifted, already) == []
    following = Quota(windows=(Window("5-hour", 100, 300, NOW + 18000, ""),))
    assert [part["reason"] for part in throttles(following, already)] == ["usage_limit_reached"]


def test_a_window_without_a_reset_time_is_reported_once_too():
    already: set = set()
    quota = Quota(windows=(Window("weekly", 95, None, None, "Spark"),))
    assert [part["dimension"] for part in throttles(quota, already)] == ["Spark weekly"]
    assert throttles(quota, already) == []
