"""The command ``usage``: its forecast, the history behind it, its one line, and the watch."""

import json
import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from amplifier_core.llm_errors import AuthenticationError
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt.cli import usage, usage_history
from amplifier_module_provider_openai_chatgpt.cli.usage_history import (
    MOST_SAMPLES,
    MOST_WINDOWS,
    History,
    Record,
    Sample,
    extended,
    used_up_at,
)
from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.quota.values import Quota, Window
from amplifier_module_provider_openai_chatgpt.simulator import Fault

from .terminal import at_terminal, in_pipe

# A Saturday at noon.
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0


def weekly(used, left=3.5 * DAY):
    return Window("weekly", used, 10080, NOW + left)


def sample(window, ago, used):
    return Sample(NOW - ago, used, window.resets_at)


@pytest.mark.parametrize(
    ("used", "left", "samples", "hours"),
    [
        pytest.param(70, 3.5 * DAY, [], 36, id="without a history: the pace since the window began"),
        pytest.param(40, 3.5 * DAY, [], None, id="it lasts until the reset"),
        pytest.param(60, 3 * DAY, [(DAY, 40)], 48, id="the pace of the last day"),
        pytest.param(60, 3 * DAY, [(3 * DAY, 0), (DAY, 40), (HOUR, 60)], 48, id="the oldest of the last day"),
        pytest.param(60, 3 * DAY, [(2 * DAY, 20), (HOUR, 60)], 48, id="older than a day, if nothing else"),
        pytest.param(50, 3.5 * DAY, [(DAY, 50)], None, id="nothing was used since yesterday"),
        pytest.param(70, 3.5 * DAY, [(DAY, 90)], 36, id="a sample from before a reset is ignored"),
        pytest.param(100, 3.5 * DAY, [], None, id="used up"),
        pytest.param(0, 3.5 * DAY, [], None, id="unused"),
        pytest.param(5, 7 * DAY - HOUR, [], None, id="too early to say"),
    ],
)
def test_the_forecast_follows_the_recent_pace(used, left, samples, hours):
    window = weekly(used, left)
    found = used_up_at(window, [sample(window, ago, percent) for ago, percent in samples], NOW)
    assert found == (None if hours is None else pytest.approx(NOW + hours * HOUR, abs=60))


@pytest.mark.parametrize("window", [Window("usage", 50, None, NOW + DAY), Window("weekly", 50, 10080, None)])
def test_a_window_without_length_or_reset_has_no_forecast(window):
    assert used_up_at(window, [], NOW) is None


@pytest.mark.parametrize(
    ("hours_left", "said"),
    [(36, "on Mon 00:00"), (4, "at 16:00"), (20, "on Sun 08:00")],
)
def test_the_forecast_is_a_sentence_with_day_and_time(hours_left, said):
    """Thirty percent are left."""
    window = Window("weekly", 70, 10080, NOW + 3.5 * DAY)
    pace = 30 / hours_left
    ago = 12.0
    history = History((Record("", 10080, (Sample(NOW - ago * HOUR, 70 - pace * ago, window.resets_at),)),))
    sentence = f"At this pace the weekly window is used up {said}."
    assert usage.forecasts(Quota(windows=(window,)), history, NOW, UTC) == [sentence]


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
samples = st.lists(st.builds(Sample, finite, finite, st.none() | finite), max_size=5)


@given(finite, st.none() | st.integers(1, 10**7), st.none() | finite, samples)
def test_no_percentages_and_times_break_the_forecast(used, minutes, resets_at, samples):
    found = used_up_at(Window("x", used, minutes, resets_at), samples, NOW)
    assert found is None or NOW <= found < (resets_at or 0)


@pytest.mark.parametrize(
    ("windows", "line"),
    [
        ((), "no limits"),
        ((Window("5-hour", 12, 300, NOW + HOUR), weekly(40)), "5h 12%  week 40%"),
        ((Window("5-hour", 95, 300, NOW + HOUR), weekly(93)), "5h 95% until 13:00  week 93% until Wed 00:00"),
        ((Window("30-day", 91, 43200, NOW + 16 * DAY),), "30d 91% until 14 Dec 12:00"),
        ((Window("daily", 1e9, 1440, None, "GPT-9\x1b[31m"),), "GPT-9[31m day 100%"),
    ],
)
def test_the_short_line(windows, line):
    assert usage.short_line(Quota(windows=windows), NOW, UTC) == line


# The history


def test_the_history_is_bounded_and_forgets_windows_that_ended():
    history = History()
    for number in range(3 * MOST_SAMPLES):
        now = NOW + number * HOUR / 2
        history = extended(history, [Window("weekly", number / 10, 10080, now + DAY)], now)
    (record,) = history.records
    assert len(record.samples) <= MOST_SAMPLES
    assert record.samples[0].at >= now - 7 * DAY
    many = [Window("daily", 1, 1440, None, f"limit {number}") for number in range(100)]
    assert len(extended(history, many, now).records) == MOST_WINDOWS
    assert extended(history, many[:1], now + 30 * DAY).records[1:] == ()


def test_samples_in_quick_succession_replace_each_other():
    history = History()
    for number in range(100):
        history = extended(history, [weekly(10 + number / 100)], NOW + number)
    assert len(history.records[0].samples) == 2
    assert history.records[0].samples[-1].used_percent == 10.99


def test_a_clock_that_went_back_drops_samples_of_the_future():
    history = extended(History(), [weekly(10)], NOW + DAY)
    assert [one.at for one in extended(history, [weekly(10)], NOW).records[0].samples] == [NOW]


def stored():
    folder = Path(os.environ["OPENAI_CHATGPT_TOKEN_FILE"]).parent
    return list(folder.glob("openai-chatgpt-usage-*"))


def test_the_file_is_private_and_has_only_percentages_and_times(service):
    in_pipe("usage")
    in_pipe("ask", "Tell me about owls.")
    (path,) = stored()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_text()
    assert not re.search("owls|@|" + service.account_id, content)
    assert [entry[:2] for entry in json.loads(content)["records"]] == [["", 300], ["", 10080]]


@pytest.mark.parametrize("value", ["off", "0", "False", "no"])
def test_switched_off_nothing_is_written_or_read(service, monkeypatch, value):
    monkeypatch.setenv("OPENAI_CHATGPT_USAGE_HISTORY", value)
    assert in_pipe("usage").exit_code == 0
    assert in_pipe("ask", "hi").exit_code == 0
    assert stored() == []


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{", "null", '{"version": 2}', '{"version": 1}', '{"version": 1, "records": 3}'),
        '{"version": 1, "records": [[1, 2, 3]]}',
        '{"version": 1, "records": [["", 300, [[1]]]]}',
        '{"version": 1, "records": [["", 300, [["x", 1, 2]]]]}',
        '{"version": 1, "records": [["", true, []]]}',
    ],
)
def test_a_damaged_history_is_ignored_and_replaced(service, content):
    in_pipe("usage")
    (path,) = stored()
    good = len(json.loads(path.read_text())["records"])
    path.write_text(content)
    assert in_pipe("usage").exit_code == 0
    assert len(json.loads(path.read_text())["records"]) == good


def test_a_history_that_cannot_be_written_fails_no_command(service):
    in_pipe("usage")
    (path,) = stored()
    path.unlink()
    path.mkdir()
    (path / "occupied").touch()
    done = in_pipe("usage")
    assert (done.exit_code, done.stderr) == (0, "")


def test_many_commands_in_parallel_leave_a_complete_history(service):
    provider = ChatGPTProvider()
    windows = [Window("weekly", 40, 10080, time.time() + DAY)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda number: usage_history.record(provider, windows, time.time() + number), range(50))
        )
    assert len(usage_history.read(provider).records) == 1
    assert len(stored()) == 1


# The screens


def test_usage_shows_the_forecast_and_json_has_it(service, monkeypatch):
    service.use_quota(20, 70, resets_in=(4 * 3600, int(3.5 * DAY)))
    screen = at_terminal(monkeypatch, 80, "usage")
    assert re.search(
        r"^At this pace the weekly window is used up on \w{3} \d\d:\d\d\.$", screen.text, re.MULTILINE
    )
    session, week = json.loads(in_pipe("usage", "--json").stdout)["windows"]
    assert session["used_up_at"] is None or session["used_up_at"] < session["resets_at"]
    assert datetime.now(UTC).isoformat() < week["used_up_at"] < week["resets_at"]


def test_a_wide_terminal_shows_how_a_window_filled_up(service, monkeypatch):
    provider = ChatGPTProvider()
    now = time.time()
    for hours, used in ((60, 5), (40, 20), (20, 30)):
        window = Window("weekly", used, 10080, now + 3.5 * DAY)
        usage_history.record(provider, [window], now - hours * HOUR)
    service.use_quota(20, 70, resets_in=(9000, int(3.5 * DAY)))
    week = next(line for line in at_terminal(monkeypatch, 120, "usage").lines if line.startswith("weekly"))
    assert re.search("▁[▁▂▃▄▅▆▇]+▆$", week)


def test_a_narrow_terminal_shows_everything(service, monkeypatch):
    service.use_quota(95, 40, resets_in=(4000, int(3.5 * DAY)))
    lines = at_terminal(monkeypatch, 40, "usage").lines
    assert lines[1] == "5-hour  ███████████░   95 % used"
    assert lines[2].startswith("  resets ")
    assert "in 1 h 7 min" in " ".join(" ".join(lines[2:4]).split())  # with a date after midnight
    assert max(map(len, lines)) <= 40


def test_short_is_one_line_and_does_not_ask_again_within_a_minute(service):
    service.use_quota(12, 40)
    assert in_pipe("usage", "--short").stdout == "5h 12%  week 40%\n"
    service.use_quota(50, 60)
    assert in_pipe("usage", "--short").stdout == "5h 12%  week 40%\n"
    assert len(service.requests_to("/wham/usage")) == 1


def test_short_shows_no_spinner_in_a_terminal(service, monkeypatch):
    assert at_terminal(monkeypatch, 80, "usage", "--short").raw == "5h 12%  week 40%\r\n"


async def test_the_watch_repeats_and_survives_a_transient_failure(service):
    shown: list[Quota] = []
    reported: list[str] = []
    pauses: list[float] = []

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            service.misbehave("/wham/usage", Fault(status=503), times=None)
        if len(pauses) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await usage.watch(ChatGPTProvider(), shown.append, reported.append, 30, sleep)
    assert len(shown) == 2
    assert pauses == [30] * 4
    assert [sentence.partition(":")[0] for sentence in reported] == [
        "The ChatGPT backend failed (HTTP 503)"
    ] * 2


async def test_the_watch_ends_when_you_need_to_sign_in(service, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "/no/such/file")
    with pytest.raises(AuthenticationError):
        await usage.watch(ChatGPTProvider(), print, print, 30)


@pytest.mark.parametrize("seconds", ["1", "x"])
def test_the_watch_asks_every_five_seconds_at_most(service, seconds):
    assert in_pipe("usage", "--watch", seconds).exit_code == 2


@pytest.mark.parametrize("percent", [89, 90, 99.5])
def test_ask_says_which_limit_is_nearly_used_up(service, percent):
    service.use_quota(10, percent)
    done = in_pipe("ask", "hi")
    expected = f"{percent:.0f} % of your weekly limit is used; it resets on "
    assert (expected in done.stderr) == (percent >= 90)
    assert done.stderr.count("\n") == (percent >= 90)
