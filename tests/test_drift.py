"""What the backend sends and this version does not know is counted, by name, and shown."""

import threading

import pytest
from click.testing import CliRunner

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.cli import cli
from amplifier_module_provider_openai_chatgpt.drift import (
    ITEM_FIELDS,
    MAX_LENGTH,
    MAX_NAMES,
    OTHERS,
    QUIET_EVENTS,
    drift,
    sentence,
)
from amplifier_module_provider_openai_chatgpt.models.model import _FIELDS
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import RESPONSES, EventRecorder, ask


def changed(change):
    """A fault that changes every JSON object of an answer: its events, or the whole document."""
    from pydantic_core import from_json, to_json

    def framing(frames):
        changed = []
        for frame in frames:
            head, mark, data = frame.partition(b"data: ")
            value = from_json(data or head)
            change(value)
            changed.append(head + mark + to_json(value) + b"\n\n" if mark else to_json(value))
        return changed

    return Fault(framing=framing)


async def complete(config):
    heard = EventRecorder()
    provider = ChatGPTProvider(config, heard.coordinator)
    await provider.list_models()
    await provider.complete(ask(), reasoning_effort="low")
    await provider.close()
    return heard.response


@pytest.mark.parametrize(
    "world", [pytest.param(name, marks=pytest.mark.world(name)) for name in ("november-2026", "august-2026")]
)
async def test_an_ordinary_call_has_nothing_to_report(config, world):
    assert "drift" not in await complete(config)
    assert sentence() == ""


def new_field(place, name="audio_tokens"):
    def change(value):
        for key in place:
            value = value.get(key) or {}
        if value:
            value[name] = 1

    return change


def new_event(value):
    if value.get("type") == "response.in_progress":
        value["type"] = "response.steer.accepted"


def new_item(value):
    if value.get("type", "").startswith("response.output_item.") and value["item"]["type"] == "reasoning":
        value["item"]["type"] = "hologram"


@pytest.mark.parametrize(
    ("path", "change", "expected"),
    [
        (RESPONSES, new_event, {"events": ["response.steer.accepted"]}),
        (RESPONSES, new_item, {"items": ["hologram"]}),
        (RESPONSES, new_field(["response", "usage"]), {"fields": ["usage.audio_tokens"]}),
        (
            RESPONSES,
            new_field(["response", "usage", "output_tokens_details"]),
            {"fields": ["usage.output_tokens_details.audio_tokens"]},
        ),
        (
            RESPONSES,
            new_field(["item"]),
            {"fields": ["message.audio_tokens", "reasoning.audio_tokens"]},
        ),
        ("/codex/models", lambda value: value["models"][0].update(mood=1), {"fields": ["models.mood"]}),
    ],
)
async def test_each_place_that_is_read(sim, config, path, change, expected):
    sim.misbehave(path, changed(change))
    assert (await complete(config))["drift"] == expected


async def test_an_unknown_limit_header(sim, config):
    sim.use_quota(
        headers={"x-codex-tertiary-used-percent": "1", "x-codex-rate-limit-reached-type": "moon_phase"}
    )
    assert (await complete(config))["drift"] == {"limits": ["moon_phase", "x-codex-tertiary-used-percent"]}


async def test_an_unknown_error_code(sim, config):
    body = {"error": {"code": "flux_capacitor_empty", "message": "No flux."}}
    sim.misbehave(RESPONSES, Fault(status=400, body=body))
    heard = EventRecorder()
    provider = ChatGPTProvider(config, heard.coordinator)
    with pytest.raises(Exception, match="No flux"):
        await provider.complete(ask())
    await provider.close()
    assert heard.response["drift"] == {"codes": ["flux_capacitor_empty"]}


async def test_fields_of_the_usage_document(sim, config, in_use):
    sim.misbehave("/wham/usage", changed(lambda value: value["rate_limit"].update(tertiary_window=None)))
    await in_use(config).usage()
    assert drift.names() == {"fields": ["wham/usage.rate_limit.tertiary_window"]}


def test_doctor_shows_one_line(sim, token_file, monkeypatch):
    for name, value in (
        ("BASE_URL", sim.base_url),
        ("AUTH_URL", sim.auth_url),
        ("TOKEN_FILE", str(token_file)),
    ):
        monkeypatch.setenv(f"OPENAI_CHATGPT_{name}", value)
    sim.misbehave(RESPONSES, changed(new_event))
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert "✓ news: the backend sent unknown events: response.steer.accepted" in done.stdout
    assert "→ Calls go on. Update this provider, or report this line." in done.stdout


def test_names_are_bounded_clean_and_without_secrets():
    secret = Secret("rt_this-is-a-secret-of-the-person")
    drift.note("events", f"a\x1b[31m\n{'b' * 500}")
    drift.note("events", f"response.{secret.reveal()}")
    drift.note("events", 7)
    drift.note("events", "")
    text = sentence()
    assert secret.reveal() not in text
    assert text.isprintable()
    assert {"(int)", "(empty)"} <= set(drift.names()["events"])
    assert all(len(name) <= MAX_LENGTH for name in drift.names()["events"])
    for number in range(1_000):
        drift.note("fields", f"f{number}")
    assert sum(map(len, drift.counts().values())) <= MAX_NAMES + 1
    assert drift.counts()["fields"][OTHERS] > 900


def test_many_threads_count_together():
    def work():
        for _ in range(500):
            drift.note("events", "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drift.counts() == {"events": {"x": 2_000}}


def test_an_event_without_effect_is_not_unknown_and_one_with_a_handler_is_not_listed_as_such():
    assert not QUIET_EVENTS & ResponseAccumulator.KNOWN_EVENTS
    accumulator = ResponseAccumulator()
    accumulator.feed([{"type": name} for name in QUIET_EVENTS])
    assert not drift


def test_the_tables_contain_every_field_that_is_read():
    from amplifier_module_provider_openai_chatgpt.drift import FIELDS

    merged = {"retirement_at"}  # a field of `upgrade`
    assert {key for key, _ in _FIELDS.values()} - merged <= FIELDS["models"]
    assert {"message", "reasoning", "function_call", "custom_tool_call"} <= set(ITEM_FIELDS)


@pytest.mark.parametrize("item", [None, [], "x", {"type": []}, {"type": None}, {}, {"type": "message", 1: 2}])
def test_odd_items_do_not_break_anything(item):
    accumulator = ResponseAccumulator()
    accumulator.feed([{"type": "response.output_item.done", "item": item}])
    assert all(isinstance(name, str) for names in drift.names().values() for name in names)
