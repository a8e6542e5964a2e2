"""The simulated model answers the prompt, calls the requested tools and uses their results."""

import json
from typing import Any

import pytest

from amplifier_module_provider_openai_chatgpt.simulator.model import respond
from amplifier_module_provider_openai_chatgpt.simulator.rules import Policy, opens
from amplifier_module_provider_openai_chatgpt.simulator.schema_samples import salient, sample
from amplifier_module_provider_openai_chatgpt.simulator.usage import PrefixCache, prompt_tokens, usage
from amplifier_module_provider_openai_chatgpt.simulator.validation.request import refuse
from amplifier_module_provider_openai_chatgpt.simulator.worlds import NOVEMBER_2026

RULES = Policy("acc_1", {model["slug"]: model for model in NOVEMBER_2026.catalogue()})
JSON = {"Content-Type": "application/json", "Accept": "text/event-stream"}


def tool(name, description="", **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "name": name,
        "description": description,
        "strict": False,
        "parameters": parameters,
    }


TIME = tool("get_time", "Tells the clock somewhere", place={"type": "string"})
WEATHER = tool("get_weather", "", city={"type": "string"}, days={"type": "integer", "maximum": 3})


def body(prompt, *extra, **fields):
    first = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
    return {
        "model": "gpt-6-sol",
        "instructions": "Be brief.",
        "input": [first, *extra],
        "store": False,
        "stream": True,
        **fields,
    }


def text_of(items):
    return items[-1]["content"][0]["text"]


def calls_of(items):
    return {item["name"]: json.loads(item["arguments"]) for item in items if item["type"] == "function_call"}


def test_a_plain_prompt_is_answered_with_text_that_quotes_it():
    items = respond(body("Who was Ada Lovelace?"), RULES)
    assert [item["type"] for item in items] == ["message"]
    assert "Who was Ada Lovelace?" in text_of(items)


def test_the_same_request_gets_the_same_answer():
    asked = body("What time is it in Tokyo?", tools=[TIME], reasoning={"effort": "low"})
    assert respond(asked, RULES) == respond(asked, RULES)


def test_a_prompt_that_asks_for_a_tool_calls_it_with_its_subject():
    items = respond(body("What time is it in Tokyo?", tools=[TIME, WEATHER]), RULES)
    assert items[0]["phase"] == "commentary"
    assert text_of(items[:1]) == "Let me check."
    assert calls_of(items) == {"get_time": {"place": "Tokyo"}}


@pytest.mark.parametrize(("parallel", "count"), [(True, 2), (False, 1)])
def test_several_tools_are_called_together_only_where_parallel_calls_are_allowed(parallel, count):
    asked = body("Get the time and the weather in Bern.", tools=[TIME, WEATHER], parallel_tool_calls=parallel)
    assert len(calls_of(respond(asked, RULES))) == count


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", ["get_time"]),
        ({"type": "function", "name": "get_weather"}, ["get_weather"]),
    ],
)
def test_the_tool_choice_takes_precedence_over_the_prompt(choice, called):
    prompt = "What time is it?" if choice == "none" else "Hello"
    assert list(calls_of(respond(body(prompt, tools=[TIME, WEATHER], tool_choice=choice), RULES))) == called


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "name": "get_time"}])
def test_after_the_result_comes_an_answer_that_quotes_it_and_is_accepted_again(choice):
    fields = {
        "tools": [TIME],
        "tool_choice": choice,
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    items = respond(body("What time is it in Tokyo?", **fields), RULES)
    output = {"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "12:34" + "x" * 300}
    again = body("What time is it in Tokyo?", *items, output, **fields)
    assert refuse(again, JSON, RULES) is None
    answer = text_of(respond(again, RULES))
    assert "12:34" in answer
    assert "x" * 200 not in answer


def test_a_new_prompt_asks_for_a_tool_again():
    first = respond(body("What time is it?", tools=[TIME]), RULES)
    output = {"type": "function_call_output", "call_id": first[-1]["call_id"], "output": "noon"}
    later = body("x", tools=[TIME])["input"][0] | {
        "content": [{"type": "input_text", "text": "What is the time now?"}]
    }
    second = respond(body("What time is it?", *first, output, later, tools=[TIME]), RULES)
    assert second[-1]["type"] == "function_call"
    assert second[-1]["call_id"] != first[-1]["call_id"]


@pytest.mark.parametrize(
    ("fields", "summaries", "sealed"),
    [
        ({}, None, False),
        ({"reasoning": {"effort": "none", "summary": "auto"}}, None, False),
        ({"reasoning": {"effort": "low"}}, 0, False),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, 2, False),
        ({"reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]}, 0, True),
    ],
)
def test_reasoning_is_shown_and_encrypted_only_where_requested(fields, summaries, sealed):
    thoughts = [item for item in respond(body("Hello", **fields), RULES) if item["type"] == "reasoning"]
    assert [len(item["summary"]) for item in thoughts] == ([] if summaries is None else [summaries])
    assert [opens(item.get("encrypted_content"), RULES, "gpt-6-sol") for item in thoughts] == [sealed] * len(
        thoughts
    )


def test_lite_tools_are_called_without_the_implicit_namespace_and_with_others():
    spaces = [
        {"type": "namespace", "name": "functions", "tools": [TIME]},
        {"type": "namespace", "name": "mcp", "tools": [WEATHER]},
    ]
    lead = {"type": "additional_tools", "role": "developer", "tools": spaces}
    asked = body("x")
    for prompt, space in (("Which time?", None), ("Which weather?", "mcp")):
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
        assert respond({**asked, "input": [lead, message]}, RULES)[-1].get("namespace") == space


def test_images_are_counted():
    picture = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": "data:"}] * 2,
    }
    assert text_of(respond(body("Look", picture), RULES)).startswith("I see 2 images.")


def test_a_search_comes_as_a_hosted_call_and_a_cited_text():
    items = respond(body("Search for the news", tools=[{"type": "web_search"}]), RULES)
    part = items[-1]["content"][0]
    note = part["annotations"][0]
    assert items[0]["type"] == "web_search_call"
    assert note["type"] == "url_citation"
    assert part["text"][note["start_index"] : note["end_index"]] == note["title"]


def test_the_answer_is_json_where_json_is_requested():
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    forms: list[dict[str, Any]] = [
        {"type": "json_object"},
        {"type": "json_schema", "name": "x", "schema": schema},
    ]
    answers = [
        json.loads(text_of(respond(body("Where is Bern?", text={"format": form}), RULES))) for form in forms
    ]
    assert list(answers[0]) == ["answer"]
    assert answers[1] == {"city": "Bern"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Bern"),
        ({"type": "string", "maxLength": 2}, "Be"),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "integer", "maximum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 7}, 8),
        ({"type": "integer", "multipleOf": 5, "minimum": 1}, 5),
        ({"type": "boolean"}, True),
        ({"type": ["null", "string"]}, "Bern"),
        ({"enum": ["C", "F"]}, "C"),
        ({"const": 4}, 4),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [5, 5]),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"$ref": "#/$defs/place", "$defs": {"place": {"enum": ["here"]}}}, "here"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]}, {"b": "Bern"}),
        ({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}]}, {"a": None}),
    ],
)
def test_a_sample_satisfies_its_schema(schema, value):
    assert sample(schema, "The next 5 days in Bern") == value


def test_a_schema_that_contains_itself_ends():
    tree: dict[str, Any] = {"type": "object", "properties": {"child": {"$ref": "#"}}, "required": ["child"]}
    assert "child" in sample(tree, "Hello")


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("What time is it in Tokyo?", "Tokyo"),
        ('Read "notes.txt" in Bern', "notes.txt"),
        ("hello there", "hello there"),
    ],
)
def test_the_subject_is_the_quoted_text_else_the_last_name_else_all(prompt, subject):
    assert salient(prompt) == subject


def test_usage_adds_up_and_no_part_exceeds_its_whole():
    asked = body("Hello", reasoning={"effort": "low", "summary": "auto"})
    counted = usage(asked, respond(asked, RULES), cached=10**6)
    assert counted["total_tokens"] == counted["input_tokens"] + counted["output_tokens"]
    assert counted["input_tokens_details"]["cached_tokens"] == counted["input_tokens"]
    assert 0 < counted["output_tokens_details"]["reasoning_tokens"] < counted["output_tokens"]


def test_the_answers_tokens_are_those_it_adds_to_the_next_prompt():
    asked = body("Hello", reasoning={"effort": "low"}, include=["reasoning.encrypted_content"])
    answer = respond(asked, RULES)
    longer = {**asked, "input": [*asked["input"], *answer]}
    assert prompt_tokens(longer) - prompt_tokens(asked) == usage(asked, answer, 0)["output_tokens"]


def test_only_a_repeated_session_finds_its_common_prefix_cached():
    cache = PrefixCache()
    first = body("word " * 1200)
    longer = body("word " * 1200, *respond(first, RULES))
    assert cache.cached_tokens("one", first) == 0
    cached = cache.cached_tokens("one", longer)
    assert cached > 1000
    assert cached % 128 == 0
    assert cache.cached_tokens("two", longer) == 0
    assert cache.cached_tokens(None, longer) == cache.cached_tokens("", longer) == 0
    assert cache.cached_tokens("one", {**longer, "instructions": "Otherwise."}) == 0


def test_a_short_prompt_is_never_cached():
    """Rule cache.minimum."""
    cache = PrefixCache()
    short = body("word " * 700)
    assert cache.cached_tokens("one", short) == cache.cached_tokens("one", short) == 0
