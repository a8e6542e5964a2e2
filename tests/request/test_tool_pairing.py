"""Tool calls and their results, as one request sends them."""

from amplifier_core.message_models import ChatRequest, Message

from tests.event_recorder import RESPONSES


def call_of(call_id):
    return {"type": "tool_call", "id": call_id, "name": "get_time", "input": {}}


async def test_a_result_with_an_unknown_id_is_not_the_result_of_a_call_of_the_same_name(sim, config, in_use):
    """Only a result without an id is matched by name."""
    messages = [
        Message(role="user", content="What time is it?"),
        Message(role="assistant", content=[call_of("call_1")]),
        Message(role="tool", content="12:00 of another call", tool_call_id="call_9", name="get_time"),
        Message(role="user", content="Well?"),
    ]
    await in_use(config).complete(ChatRequest(messages=messages))
    items = sim.requests_to(RESPONSES)[-1].json["input"]
    [output] = [item for item in items if item["type"] == "function_call_output"]
    assert output["call_id"] == "call_1"
    assert "No result of this tool call was recorded" in output["output"]
    notes = [item for item in items if item.get("role") == "user" and "12:00" in str(item["content"])]
    assert len(notes) == 1
