"""The provider in a real Amplifier session, found in the ways hosts find it."""

import json
from pathlib import Path

import pytest
from amplifier_core import HookResult
from amplifier_core.events import ALL_EVENTS
from amplifier_core.module_sources import ModuleNotFoundError as SourceNotFoundError

from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session

MODULE = "provider-openai-chatgpt"
ROOT = Path(__file__).parents[1]
PROMPT = "What time is it in Tokyo?"


class Resolver:
    """Finds modules of a bundle by their source, like a host's resolver."""

    def resolve(self, module_id, source_hint=None, profile_hint=None):
        if not source_hint:
            raise SourceNotFoundError(module_id)
        return Path(source_hint)


def record(session):
    log = []

    async def listen(event, data):
        log.append((event, data))
        return HookResult()

    for event in {*ALL_EVENTS, *EVENTS}:
        session.coordinator.hooks.register(event, listen, name=f"record:{event}")
    return log


async def converse(session):
    log = record(session)
    await session.initialize()
    answer = await session.execute(PROMPT)
    events = await session.coordinator.collect_contributions("observability.events")
    await session.cleanup()
    await session.cleanup()
    return answer, log, events


@pytest.mark.parametrize("way", ["entry point", "module source"])
async def test_a_session_thinks_calls_the_tool_and_answers(sim, config, way):
    """With an entry point it is mounted once; with a source it is validated first, then mounted."""
    entry = {"module": MODULE, "config": {**config, "reasoning_effort": "medium"}}
    session = new_session(entry if way == "entry point" else {**entry, "source": str(ROOT)})
    if way == "module source":
        await session.coordinator.mount("module-source-resolver", Resolver())
    answer, log, announced = await converse(session)
    names = [event for event, _ in log]
    assert "Tokyo" in answer
    assert "module:load_failed" not in names
    assert names.count("llm:request") == names.count("llm:response") == 2
    responses = [data for event, data in log if event == "llm:response"]
    assert [data["status"] for data in responses] == ["ok", "ok"]
    assert all(data["usage"]["input_tokens"] > 0 and data["usage"]["output_tokens"] > 0 for data in responses)
    started = [data["block_type"] for event, data in log if event == "llm:stream_block_start"]
    assert {"thinking", "tool_use", "text"} <= set(started)
    assert set(EVENTS) <= {name for names in announced for name in names} | set(ALL_EVENTS)
    bodies = [request.json for request in sim.requests_to("/codex/responses")]
    assert [item["type"] for item in bodies[1]["input"]][-2:] == ["function_call", "function_call_output"]


async def test_a_second_turn_continues_the_same_conversation(sim, config):
    session = new_session({"module": MODULE, "config": config})
    await session.initialize()
    await session.execute("Say hello.")
    await session.execute("Say goodbye.")
    await session.cleanup()
    first, second = sim.requests_to("/codex/responses")
    assert first.headers["session-id"] == second.headers["session-id"] == first.json["prompt_cache_key"]
    assert second.json["input"][: len(first.json["input"])] == first.json["input"]


async def test_a_signed_out_session_fails_with_one_readable_line(config, tmp_path):
    session = new_session(
        {"module": MODULE, "config": {**config, "token_file_path": str(tmp_path / "no.json")}}
    )
    log = record(session)
    await session.initialize()
    assert list(session.coordinator.get("providers")) == ["openai-chatgpt"]
    with pytest.raises(
        RuntimeError, match="AuthenticationError: Run amplifier-openai-chatgpt login: you are not signed in"
    ):
        await session.execute("hi")
    names = [event for event, _ in log]
    assert names.count("llm:request") == names.count("llm:response") == 1
    await session.cleanup()


async def test_events_of_a_session_are_json(config):
    session = new_session({"module": MODULE, "config": {**config, "raw": True}})
    _, log, _ = await converse(session)
    assert json.dumps([data for _, data in log])
