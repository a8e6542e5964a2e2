"""Names of plans and windows, durations and times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from amplifier_module_provider_openai_chatgpt.quota.words import plan_name, reset_phrase, span, window_name

NOW = datetime(2026, 9, 21, 11, 52, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("minutes", "name"),
    [
        (300, "5-hour"),
        (299, "5-hour"),
        (60, "1-hour"),
        (1440, "daily"),
        (10080, "weekly"),
        (10079, "weekly"),
        (43200, "30-day"),
        (2160, "36-hour"),
        (45, "45-minute"),
        (0, ""),
        (None, ""),
        (-5, ""),
    ],
)
def test_a_window_is_named_by_its_length(minutes, name):
    assert window_name(minutes) == name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (7980, "2 h 13 min"),
        (86400, "1 day"),
        (200_000, "2 days 7 h"),
    ],
)
def test_a_span_is_shown_in_its_two_largest_units(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (timedelta(minutes=133), "at 14:05, in 2 h 13 min"),
        (timedelta(hours=21, minutes=8), "on 22 Sep at 09:00, in 21 h 8 min"),
        (timedelta(days=102), "on 1 Jan 2027 at 11:52, in 102 days"),
        (timedelta(0), "any moment now"),
    ],
)
def test_a_reset_is_shown_as_a_time_with_a_date_if_not_today(later, text):
    assert reset_phrase(NOW + later.total_seconds(), NOW, UTC) == text


def test_a_reset_is_shown_in_the_users_time_zone():
    assert reset_phrase(NOW + 60, NOW, timezone(timedelta(hours=14))).startswith("at 01:53")


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        ("plus", "Plus"),
        ("HC", "Enterprise"),
        ("prolite", "Pro"),
        ("pro", "Pro (More)"),
        ("promax", "Pro (Max)"),
        ("k12", "k12"),
        (None, ""),
    ],
)
def test_a_plan_has_a_display_name_and_an_unknown_one_is_unchanged(plan, name):
    assert plan_name(plan) == name
