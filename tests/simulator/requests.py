"""Valid requests to the simulator, and the changes that tests make to them."""

from typing import Any

from amplifier_module_provider_openai_chatgpt.simulator.rules import LITE_HEADER, Policy
from amplifier_module_provider_openai_chatgpt.simulator.worlds import AUGUST_2026, NOVEMBER_2026
from tests.conftest import MODEL

from .pictures import PNG, data_url

SESSION = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
CLIENT = {"originator": "tests", "user-agent": "tests/1", "accept": "text/event-stream"}
JSON = {"Content-Type": "application/json", **CLIENT}
LITE = {**JSON, LITE_HEADER: "true"}
MODELS = [*AUGUST_2026.catalogue(), *NOVEMBER_2026.catalogue()]
RULES = Policy("acc_1", {model["slug"]: model for model in MODELS})
PIXEL = data_url("png", PNG)
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
TOOL = {"type": "function", "name": "get_time", "strict": False, "parameters": EMPTY}
CLOSED = {**EMPTY, "additionalProperties": False}
OPEN_INSIDE = {**CLOSED, "properties": {"a": {"type": "object"}}, "required": ["a"]}
ABSENT = object()


def says(text, role="user"):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def call(call_id="call_1", **more):
    return {"type": "function_call", "name": "get_time", "arguments": "{}", "call_id": call_id, **more}


def result(call_id="call_1", output: Any = "noon"):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def image(url):
    return {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}


def thought(blob=None, **more):
    return {"type": "reasoning", "summary": [], "encrypted_content": blob, **more}


def classic(**changes):
    body = {
        "model": MODEL,
        "instructions": "Be brief.",
        "input": [says("Hello")],
        "store": False,
        "stream": True,
        **changes,
    }
    return {field: value for field, value in body.items() if value is not ABSENT}


def lite(*tools, **changes):
    space = {"type": "namespace", "name": "functions", "description": "", "tools": list(tools)}
    lead = {"type": "additional_tools", "role": "developer", "tools": [space]}
    body = classic(
        model="gpt-5.6-sol",
        instructions=ABSENT,
        input=[lead, says("Be brief.", "developer"), says("Hello")],
        parallel_tool_calls=False,
        reasoning={"effort": "low", "context": "all_turns"},
    )
    return {field: value for field, value in {**body, **changes}.items() if value is not ABSENT}


def headers_of(tokens):
    """The headers of a signed-in client; of a FedRAMP account with its mark."""
    return {
        **CLIENT,
        "authorization": f"Bearer {tokens['access_token']}",
        "chatgpt-account-id": tokens["account_id"],
    }


def message_of(refused):
    assert refused is not None
    return refused.body["detail"] if "detail" in refused.body else refused.body["error"]["message"]


def code_of(refused):
    assert refused is not None
    return refused.body["error"]["code"]
