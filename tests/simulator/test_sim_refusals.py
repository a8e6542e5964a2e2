"""The simulator looks at every field of a request and names the invalid one."""

import pytest

from amplifier_module_provider_openai_chatgpt.simulator.validation.request import refuse

from .requests import CLOSED, JSON, OPEN_INSIDE, PIXEL, RULES, TOOL, call, classic, image, result, says

ERRORS = {
    "a call without result": (
        classic(input=[call()]),
        "No tool output found for function call call_1.",
    ),
    "a result without call": (
        classic(input=[result()]),
        "No tool call found for function call output with call_id call_1.",
    ),
    "a result before its call": (
        classic(input=[result(), call()]),
        "No tool call found for function call output with call_id call_1.",
    ),
    "two calls of one id": (classic(input=[call(), call(), result()]), "Duplicate item found"),
    "an undeclared namespace": (
        classic(input=[call(namespace="mcp"), result()]),
        "Unknown parameter: 'input[0].namespace'.",
    ),
    "a namespace left out": (
        classic(
            tools=[{"type": "namespace", "name": "mcp", "tools": [TOOL]}],
            input=[call(), result()],
        ),
        "Missing namespace for function_call 'get_time'. It does not exist in the default namespace.",
    ),
    "an unknown item field": (
        classic(input=[{**says("Hi"), "cache_control": {}}]),
        "Unknown parameter: 'input[0].cache_control'.",
    ),
    "an item without type": (classic(input=[{"x": 1}]), "Missing required parameter: 'input[0].type'."),
    "an unknown item type": (classic(input=[{"type": "thinking"}]), "Invalid value: 'thinking'."),
    "a message of one number": (
        classic(input=[{"type": "message", "role": "user", "content": 7}]),
        "Invalid type for 'input[0].content': expected a string or an array.",
    ),
    "output text of a user": (
        classic(input=[{**says("Hi", "assistant"), "role": "user"}]),
        "Invalid value: 'output_text'.",
    ),
    "input text of the assistant": (
        classic(input=[{**says("Hi"), "role": "assistant"}]),
        "Invalid value: 'input_text'.",
    ),
    "an image at a web address": (classic(input=[image("http://example.com/a.png")]), "The image data you"),
    "an image that is not base64": (
        classic(input=[image("data:image/png;base64,***")]),
        "The image data you",
    ),
    "an empty image": (classic(input=[image("data:image/png;base64,")]), "The image data you"),
    "a bitmap": (classic(input=[image("data:image/bmp;base64,AAAA")]), "The image data you"),
    "an image for a model without images": (
        classic(model="gpt-5.3-codex-spark", input=[image(PIXEL)]),
        "Unsupported value: 'input_image'",
    ),
    "a bad name in the history": (
        classic(input=[call(name="get.time"), result()]),
        "Invalid 'input[0].name': string does not match pattern.",
    ),
    "a bad tool name": (classic(tools=[{**TOOL, "name": "get time"}]), "Invalid 'tools[0].name'"),
    "a long tool name": (
        classic(tools=[{**TOOL, "name": "x" * 65}]),
        "Invalid 'tools[0].name': string too long",
    ),
    "a nested function": (
        classic(tools=[{"type": "function", "function": {"name": "x"}}]),
        "Missing required parameter: 'tools[0].name'.",
    ),
    "an unknown tool field": (
        classic(tools=[{**TOOL, "input_schema": {}}]),
        "Unknown parameter: 'tools[0].input_schema'.",
    ),
    "parameters that are not an object": (
        classic(tools=[{**TOOL, "parameters": {"type": "string"}}]),
        "Invalid schema",
    ),
    "an unclosed strict schema": (
        classic(tools=[{**TOOL, "strict": True}]),
        "Invalid schema for function 'get_time': In context=(), 'additionalProperties' is required",
    ),
    "a choice of no tool": (
        classic(tools=[TOOL], tool_choice={"type": "function", "name": "other"}),
        "Tool choice 'function' not found in 'tools' parameter.",
    ),
    "required without tools": (classic(tool_choice="required"), "Tool choice 'required' must be"),
    "an unknown choice": (classic(tools=[TOOL], tool_choice="any"), "Invalid value: 'any'."),
    "a word for parallel calls": (
        classic(parallel_tool_calls="yes"),
        "Invalid type for 'parallel_tool_calls'",
    ),
    "an unknown include": (classic(include=["x"]), "Invalid value: 'x'."),
    "a long cache key": (classic(prompt_cache_key="x" * 65), "Invalid 'prompt_cache_key': string too long."),
    "json_object without the word": (
        classic(text={"format": {"type": "json_object"}}),
        "Response input messages must contain the word 'json'",
    ),
    "a schema without name": (
        classic(text={"format": {"type": "json_schema", "schema": {}}}),
        "Missing required parameter: 'text.format.name'.",
    ),
    "a description that is not text": (
        classic(tools=[{**TOOL, "description": 1}]),
        "Invalid type for 'tools[0].desc",
    ),
    "a tool without parameters": (
        classic(tools=[{"type": "function", "name": "x"}]),
        "Missing required parameter: 'tools[0].parameters'.",
    ),
    "strict by a word": (classic(tools=[{**TOOL, "strict": "yes"}]), "Invalid type for 'tools[0].strict'"),
    "a strict schema that leaves one optional": (
        classic(tools=[{**TOOL, "strict": True, "parameters": {**CLOSED, "properties": {"a": {}}}}]),
        "Invalid schema for function 'get_time': In context=(), 'required' is required",
    ),
    "a strict schema that is open inside": (
        classic(text={"format": {"type": "json_schema", "name": "x", "strict": True, "schema": OPEN_INSIDE}}),
        "Invalid schema for response_format 'x': In context=('properties', 'a')",
    ),
    "an unknown grammar": (
        classic(tools=[{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "peg"}}]),
        "Invalid value: 'peg'.",
    ),
    "a grammar without definition": (
        classic(tools=[{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "lark"}}]),
        "Missing required parameter: 'tools[0].format.definition'.",
    ),
    "an unknown kind of tool": (classic(tools=[{"type": "browser"}]), "Invalid value: 'browser'."),
    "a choice with the name inside": (
        classic(tools=[TOOL], tool_choice={"type": "function", "name": "get_time", "function": {}}),
        "Unknown parameter: 'tool_choice.function'.",
    ),
    "an unknown reasoning field": (
        classic(reasoning={"budget": 1}),
        "Unknown parameter: 'reasoning.budget'.",
    ),
    "an unknown summary": (classic(reasoning={"summary": "none"}), "Invalid value: 'none'."),
    "an unknown text field": (classic(text={"length": 1}), "Unknown parameter: 'text.length'."),
    "an unknown verbosity": (classic(text={"verbosity": "max"}), "Invalid value: 'max'."),
    "an unknown format": (classic(text={"format": {"type": "xml"}}), "Invalid value: 'xml'."),
    "an unknown format field": (
        classic(text={"format": {"type": "text", "json_schema": {}}}),
        "Unknown parameter: 'text.format.json_schema'.",
    ),
    "a bad format name": (
        classic(text={"format": {"type": "json_schema", "name": "a b", "schema": {}}}),
        "Invalid value: 'a b'.",
    ),
    "metadata that is not text": (classic(client_metadata={"a": 1}), "Invalid type for 'client_metadata'"),
    "an unknown stream option": (classic(stream_options={"include_usage": True}), "Invalid value: {"),
    "an id of another kind": (
        classic(input=[{**says("Hi", "assistant"), "id": "rs_1"}]),
        "Invalid 'input[0].id': 'rs_1'. Expected an ID that begins with 'msg'.",
    ),
    "a phase of the user": (
        classic(input=[{**says("Hi"), "phase": "commentary"}]),
        "Invalid value: 'commentary'.",
    ),
    "role tool": (classic(input=[says("Hi", "tool")]), "Invalid value: 'tool'."),
    "an unknown detail": (
        classic(
            input=[{**says(""), "content": [{"type": "input_image", "image_url": PIXEL, "detail": "x"}]}]
        ),
        "Invalid value: 'x'.",
    ),
    "an unknown part field": (
        classic(input=[{**says(""), "content": [{"type": "input_text", "text": "Hi", "cache_control": {}}]}]),
        "Unknown parameter: 'input[0].content[0].cache_control'.",
    ),
    "a text part without text": (
        classic(input=[{**says(""), "content": [{"type": "input_text"}]}]),
        "Missing required parameter: 'input[0].content[0].text'.",
    ),
    "an empty call id": (classic(input=[call(""), result("")]), "Invalid 'input[0].call_id'"),
    "a custom call without result": (
        classic(input=[{"type": "custom_tool_call", "name": "x", "input": "", "call_id": "call_1"}]),
        "No tool output found for custom tool call call_1.",
    ),
    "the result of another kind of call": (
        classic(input=[call(), {"type": "custom_tool_call_output", "call_id": "call_1", "output": ""}]),
        "No tool call found for custom tool call output with call_id call_1.",
    ),
    "nothing to answer": (classic(input=[]), 'One of "input"'),
    "additional tools in the classic shape": (
        classic(input=[{"type": "additional_tools", "role": "developer", "tools": []}]),
        "Invalid value: 'additional_tools'.",
    ),
}


@pytest.mark.parametrize(("body", "text"), ERRORS.values(), ids=ERRORS)
def test_a_refusal_in_the_responses_shape_names_the_invalid_field(body, text):
    refused = refuse(body, JSON, RULES)
    assert refused is not None
    assert refused.status == 400
    assert refused.body["error"]["type"] == "invalid_request_error"
    assert refused.body["error"]["message"].startswith(text)
