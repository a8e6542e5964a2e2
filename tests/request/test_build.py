"""Which fields of a request, keyword arguments and settings are sent, and how."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from amplifier_core.llm_errors import ConfigurationError, InvalidRequestError
from amplifier_core.message_models import (
    ChatRequest,
    ResponseFormatJson,
    ResponseFormatJsonSchema,
    ResponseFormatText,
)

from amplifier_module_provider_openai_chatgpt.request.build import OPTIONS, requested_model
from amplifier_module_provider_openai_chatgpt.settings import Settings

from .conversations import (
    answered,
    assistant,
    call_for,
    called,
    calls,
    items_of,
    reasoned,
    request,
    said,
    text,
    thinking,
    tool,
    user,
)

LOOK = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
SEARCH = {"name": "web_search", "parameters": {}, "type": "web_search", "search_context_size": "low", "x": 1}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def asked(**fields) -> ChatRequest:
    return request(user(), **fields)


def sent(*, fields: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return call_for(asked(**fields or {}), **options).payload()


def test_a_plain_request_sends_these_fields_and_no_others():
    call = call_for(asked(temperature=0.5, top_p=0.5, max_output_tokens=9, stream=True, metadata={"a": 1}))

    assert json.loads(call.body()) == call.payload()
    assert call.payload() == {
        "model": "gpt-5.5",
        "instructions": "You are a helpful assistant.",
        "input": [said("user", "hi")],
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": call.conversation_id,
    }


def test_tools_are_flat_functions_in_their_order():
    odd = {"name": "my.tool", "description": "does", "parameters": {}}
    payload = sent(fields={"tools": [LOOK, odd, {**LOOK, "description": "again"}]})

    assert payload["tools"] == [
        {"type": "function", "strict": False, **LOOK},
        {
            "type": "function",
            "name": "my_tool_bca2c361",
            "description": "does",
            "strict": False,
            "parameters": {"type": "object", "properties": {}},
        },
    ]
    assert payload["tool_choice"] == "auto"
    assert payload["parallel_tool_calls"] is True


def test_hosted_search_is_sent_and_other_hosted_tools_are_left_out_with_one_warning(caplog):
    other = {"name": "draw", "parameters": {}, "type": "image_generation"}
    warned: set[str] = set()

    for _ in range(2):
        assert sent(fields={"tools": [SEARCH, other]}, warned=warned)["tools"] == [
            {"type": "web_search", "search_context_size": "low"}
        ]
    assert caplog.messages == [
        "Tool 'draw' is left out: the backend does not offer tools of type 'image_generation'."
    ]


def test_a_refused_tool_name_is_mapped_both_ways_everywhere():
    name = "srv/look up" + "x" * 80
    call = call_for(
        request(user(), assistant(calls("c1", name)), tool("c1"), tools=[{**LOOK, "name": name}]),
        tool_choice=name,
    )
    payload = call.payload()
    on_wire = payload["tools"][0]["name"]

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", on_wire)
    assert call.tool_names == {on_wire: name}
    assert payload["input"][1]["name"] == on_wire
    assert payload["tool_choice"] == {"type": "function", "name": on_wire}


def test_names_that_differ_stay_different():
    tools = [{**LOOK, "name": name} for name in ("a.b", "a/b", "a_b", "", "ä" * 70, "ä" * 71)]
    names = [entry["name"] for entry in sent(fields={"tools": tools})["tools"]]

    assert len(set(names)) == 6


FUNCTION = {"type": "function", "name": "look"}
CHOICES = [
    (None, "auto"),
    ("auto", "auto"),
    ("NONE", "none"),
    ("required", "required"),
    ("any", "required"),
    ("look", FUNCTION),
    ({"type": "auto"}, "auto"),
    ({"type": "any", "disable_parallel_tool_use": False}, "required"),
    ({"type": "none"}, "none"),
    ({"type": "tool", "name": "look"}, FUNCTION),
    ({"type": "function", "name": "look"}, FUNCTION),
    ({"type": "function", "function": {"name": "look"}}, FUNCTION),
    ({"name": "look"}, FUNCTION),
    ({"type": "web_search"}, {"type": "web_search"}),
    ("web_search", {"type": "web_search"}),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_a_tool_choice_in_any_spelling(choice, expected):
    tools = [LOOK, SEARCH]

    assert sent(fields={"tools": tools, "tool_choice": choice})["tool_choice"] == expected
    assert sent(fields={"tools": tools}, tool_choice=choice)["tool_choice"] == expected


@pytest.mark.parametrize("choice", ["look", "required", {"type": "any"}, {"type": "tool", "name": "look"}])
def test_a_choice_among_no_tools_is_refused(choice):
    with pytest.raises(InvalidRequestError, match="tool_choice"):
        sent(tool_choice=choice)


@pytest.mark.parametrize("choice", ["other", {}, {"type": "allowed"}, {"type": "tool"}, 7, ["look"]])
def test_an_unknown_choice_is_refused(choice):
    with pytest.raises(InvalidRequestError, match="tool_choice"):
        sent(fields={"tools": [LOOK]}, tool_choice=choice)


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_without_tools_no_choice_is_sent(choice):
    assert "tool_choice" not in sent(tool_choice=choice)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"parallel_tool_calls": False}, False),
        ({"parallel_tool_calls": True}, True),
        ({"parallel_tool_calls": True, "model": "terse"}, False),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, False),
    ],
)
def test_parallel_calls_are_allowed_where_requested_and_supported(options, expected):
    assert sent(fields={"tools": [LOOK]}, **options)["parallel_tool_calls"] is expected


FORMATS = [
    (None, None),
    (ResponseFormatText(), None),
    ("text", None),
    (ResponseFormatJson(), {"type": "json_object"}),
    ("json", {"type": "json_object"}),
    ({"type": "json_object"}, {"type": "json_object"}),
    (
        ResponseFormatJsonSchema(json_schema=SCHEMA, strict=True),
        {"type": "json_schema", "name": "response", "strict": True, "schema": SCHEMA},
    ),
    (
        ResponseFormatJsonSchema(json_schema={"name": "n", "schema": SCHEMA, "strict": True}),
        {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA},
    ),
    (
        {"type": "json_schema", "json_schema": {"name": "not a name", "schema": SCHEMA}},
        {"type": "json_schema", "name": "response", "strict": False, "schema": SCHEMA},
    ),
    (
        {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
        {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA},
    ),
]


@pytest.mark.parametrize(("response_format", "expected"), FORMATS)
def test_a_response_format_in_any_spelling(response_format, expected):
    assert sent(response_format=response_format).get("text", {}).get("format") == expected


@pytest.mark.parametrize("bad", ["xml", {"type": "xml"}, {}, {"type": "json_schema"}, 7])
def test_an_unknown_response_format_is_refused(bad):
    with pytest.raises(InvalidRequestError, match="response_format"):
        sent(response_format=bad)


@pytest.mark.parametrize(("words", "more"), [("give me JSON", 0), ("give me data", 1)])
def test_a_message_that_mentions_json_is_added_where_there_is_none(words, more):
    call = call_for(request(user(words)), response_format="json")

    assert len(call.payload()["input"]) == 1 + more


EFFORTS = [
    ("gpt-5.5", "high", "high"),
    ("gpt-5.5", " HIGH ", "high"),
    ("gpt-5.5", {"effort": "low"}, "low"),
    ("gpt-5.5", "max", "xhigh"),
    ("gpt-5.5", "ultra", "xhigh"),
    ("gpt-5.5", "minimal", "low"),
    ("gpt-5.5", "none", "low"),
    ("gpt-5.6-sol", "ultra", "max"),
    ("gpt-5.6-luna", "ultra", "max"),
    ("gpt-5.6-luna", "xhigh", "xhigh"),
    ("unheard-of", "ultra", "max"),
    ("unheard-of", "minimal", "minimal"),
    ("gpt-5.5-pro", "medium", "medium"),
    ("gpt-5.5-pro-2026-05-01-fast", "xhigh", "xhigh"),
]


@pytest.mark.parametrize(("model", "effort", "expected"), EFFORTS)
def test_an_effort_is_sent_or_lowered_to_one_the_model_lists(model, effort, expected):
    assert sent(model=model, reasoning_effort=effort)["reasoning"] == {
        "effort": expected,
        "summary": "detailed",
    }


def test_effort_precedence_is_kwargs_then_request_then_settings():
    settings = Settings(reasoning_effort="low")
    rows = itertools.product([None, "high"], [None, "medium"])

    chosen = {
        (kwarg, field): sent(fields={"reasoning_effort": field}, settings=settings, reasoning_effort=kwarg)
        for kwarg, field in rows
    }

    assert {key: payload["reasoning"]["effort"] for key, payload in chosen.items()} == {
        (None, None): "low",
        (None, "medium"): "medium",
        ("high", None): "high",
        ("high", "medium"): "high",
    }


@pytest.mark.parametrize(
    ("options", "reasoning"),
    [
        ({}, None),
        ({"extended_thinking": False, "reasoning_effort": "high"}, None),
        ({"extended_thinking": True}, {"summary": "detailed"}),
        ({"extended_thinking": True, "model": "terse"}, None),
        ({"effort": "low", "model": "terse"}, {"effort": "low"}),
        ({"effort": "low", "settings": Settings(reasoning_summary="none")}, {"effort": "low"}),
        (
            {"effort": "low", "settings": Settings(reasoning_summary="auto")},
            {"effort": "low", "summary": "auto"},
        ),
        ({"effort": "none", "model": "unheard-of"}, {"effort": "none"}),
        ({"settings": Settings(reasoning_effort="none")}, None),
        (
            {"settings": Settings(reasoning_effort="none"), "effort": "low", "model": "terse"},
            {"effort": "low"},
        ),
    ],
)
def test_reasoning_is_requested_only_if_the_caller_or_the_settings_request_it(options, reasoning):
    call = call_for(asked(), **options)

    assert call.payload().get("reasoning") == reasoning
    assert call.reasoning_enabled is (reasoning not in (None, {"effort": "none"}))


def test_an_unknown_effort_is_an_error_of_the_request_or_of_the_settings():
    with pytest.raises(InvalidRequestError, match="'hard' is not known"):
        sent(reasoning_effort="hard")
    with pytest.raises(ConfigurationError, match="'hard' is not known"):
        sent(settings=Settings(reasoning_effort="hard"))


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "max", "ultra"])
@pytest.mark.parametrize("model", ["gpt-5.5-pro", "gpt-5.5-pro-2026-05-01", "gpt-5.5-pro-fast"])
def test_pro_supports_medium_to_xhigh_only(model, effort):
    with pytest.raises(InvalidRequestError, match=r"gpt-5\.5-pro"):
        sent(model=model, reasoning_effort=effort)


TIERS = [
    ("gpt-5.5", "gpt-5.5", None, 0),
    ("gpt-5.5-fast", "gpt-5.5", "priority", 0),
    ("unheard-of-fast", "unheard-of", "priority", 0),
    ("gpt-5.2-fast", "gpt-5.2", None, 1),
]


@pytest.mark.parametrize(("model", "slug", "tier", "warnings"), TIERS)
def test_fast_is_a_service_tier_and_not_a_model(model, slug, tier, warnings, caplog):
    call = call_for(asked(), model=model)

    assert (call.slug, call.requested_model) == (slug, model)
    assert (call.payload()["model"], call.payload().get("service_tier")) == (slug, tier)
    assert call.fast is (tier is not None)
    assert len(caplog.messages) == warnings


@pytest.mark.parametrize(
    ("kwargs", "field", "expected"),
    [
        ({}, None, "default"),
        ({}, " a ", "a"),
        ({"model": "b"}, "a", "b"),
        ({"model": ""}, "a", "a"),
        ({"model": None}, "a", "a"),
        ({"model": ""}, "", "default"),
    ],
)
def test_model_precedence_is_kwargs_then_request_then_default(kwargs, field, expected):
    assert requested_model(asked(model=field), kwargs, "default") == expected


@pytest.mark.parametrize("bad", [7, "  ", ["gpt"]])
def test_a_model_that_is_not_text_is_refused(bad):
    with pytest.raises(InvalidRequestError, match="model"):
        requested_model(asked(), {"model": bad}, "default")


@pytest.mark.parametrize("name", ["text_verbosity", "verbosity"])
def test_verbosity_in_kwargs_takes_precedence_over_settings(name):
    settings = Settings(text_verbosity="low")

    assert sent(settings=settings)["text"] == {"verbosity": "low"}
    asked_for: dict[str, Any] = {name: "High"}
    assert sent(settings=settings, **asked_for)["text"] == {"verbosity": "high"}


def test_verbosity_is_left_out_with_a_warning_if_the_model_does_not_support_it(caplog):
    assert "text" not in sent(text_verbosity="low", model="terse")
    assert len(caplog.messages) == 1


def test_an_unknown_verbosity_is_refused():
    with pytest.raises(InvalidRequestError, match="text_verbosity"):
        sent(text_verbosity="loud")


@pytest.mark.parametrize(
    ("stop", "expected"), [(None, ()), ("END", ("END",)), (["a", "", "b"], ("a", "b")), ([], ())]
)
def test_stop_is_applied_on_the_client_and_never_sent(stop, expected):
    call = call_for(asked(), stop=stop)

    assert call.stop == expected
    assert "stop" not in call.payload()


@pytest.mark.parametrize("bad", [7, [7], {"a": 1}])
def test_a_bad_stop_is_refused(bad):
    with pytest.raises(InvalidRequestError, match="stop"):
        call_for(asked(), stop=bad)


@pytest.mark.parametrize(
    ("kwarg", "field", "expected"), [(None, None, None), (None, 5, 5.0), ("7.5", 5, 7.5)]
)
def test_timeout_in_kwargs_takes_precedence_over_the_request(kwarg, field, expected):
    assert call_for(asked(timeout=field), timeout=kwarg).timeout == expected


@pytest.mark.parametrize("bad", [0, -1, "soon", float("inf"), float("nan"), True, [1], 10**400])
def test_a_bad_timeout_is_refused(bad):
    with pytest.raises(InvalidRequestError, match="timeout"):
        call_for(asked(), timeout=bad)


@pytest.mark.parametrize(
    ("metadata", "streaming"),
    [(None, True), ({}, True), ({"stream": True}, True), ({"stream": False}, False)],
)
def test_metadata_can_turn_streaming_off(metadata, streaming):
    assert call_for(asked(metadata=metadata)).streaming is streaming


def test_unknown_kwargs_are_ignored_with_one_line(caplog):
    caplog.set_level("DEBUG", logger="amplifier_module_provider_openai_chatgpt.request.build")

    assert sent(temperature=1, max_tokens=5).keys() == sent().keys()
    assert [message for message in caplog.messages if "temperature" in message] == [
        "Ignored keyword arguments: max_tokens, temperature"
    ]


def test_extra_params_are_merged_last_as_a_merge_patch():
    extra = {"text": {"verbosity": "high"}, "include": None, "user": "\ud800", "store": True, "new": {"a": 1}}
    payload = sent(
        settings=Settings(extra_request_params=extra), response_format="json", text_verbosity="low"
    )

    assert payload["text"] == {"verbosity": "high", "format": {"type": "json_object"}}
    assert (payload["user"], payload["store"], payload["new"]) == ("\ufffd", True, {"a": 1})
    assert "include" not in payload


@pytest.mark.parametrize(
    "odd", [{"a": "\ud800"}, {"a": "\0"}, {"a": float("nan")}, {"a": object()}, {"a": {"b"}}]
)
def test_odd_values_in_schemas_and_settings_never_break_a_body(odd):
    schema = {"type": "object", "properties": odd}
    tools = [{"name": "look", "parameters": schema, "description": "\0"}]
    call = call_for(
        asked(tools=tools),
        settings=Settings(extra_request_params=odd),
        response_format={"type": "json_schema", "schema": schema},
    )

    assert b"\\u0000" not in call.body()
    assert call.payload()["tools"][0]["parameters"]["properties"].keys() == {"a"}


def test_extra_params_can_replace_the_input():
    assert sent(settings=Settings(extra_request_params={"input": []}))["input"] == []


@pytest.mark.parametrize(
    "messages", [[], [user("")], [{"role": "system", "content": ""}], [assistant(thinking("A"))]]
)
def test_a_request_without_content_is_refused(messages):
    with pytest.raises(InvalidRequestError, match="no message with content"):
        call_for(request(*messages), account_id="another")


def test_the_lite_shape_has_the_same_content_in_other_places():
    messages = [{"role": "system", "content": "be kind"}, user()]
    call = call_for(request(*messages, tools=[LOOK, SEARCH]), effort="low")
    classic, lite = call.payload(), call.as_lite().payload()

    assert "instructions" not in lite
    assert "tools" not in lite
    assert lite["input"] == [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [
                {"type": "namespace", "name": "functions", "description": "", "tools": classic["tools"][:1]}
            ],
        },
        said("developer", "be kind"),
        *classic["input"],
    ]
    assert lite["parallel_tool_calls"] is False
    assert lite["reasoning"] == {"effort": "low", "summary": "detailed", "context": "all_turns"}
    assert {key: classic[key] for key in ("store", "stream", "include", "model")}.items() <= lite.items()


def test_in_lite_a_choice_of_hosted_search_becomes_auto():
    call = call_for(asked(tools=[LOOK, SEARCH]), tool_choice="web_search")

    assert call.as_lite().payload()["tool_choice"] == "auto"


def test_each_change_of_a_call_changes_nothing_else():
    call = call_for(request(user(), assistant(thinking("AAA"), text("so"))), model="gpt-5.5-fast")

    assert call.with_version("1.2").version == "1.2"
    assert call.without_tier().payload() == {k: v for k, v in call.payload().items() if k != "service_tier"}
    assert [item["type"] for item in call.payload()["input"]] == ["message", "reasoning", "message"]
    assert [item["type"] for item in call.without_reasoning().payload()["input"]] == ["message", "message"]


def test_a_continuation_sends_the_same_items_as_the_next_turn():
    output: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "so"}], **CIPHER},
        {
            "type": "message",
            "id": "msg_1",
            "status": "incomplete",
            "role": "assistant",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "half ", "annotations": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "message", "role": "assistant", "content": []},
    ]
    continued = call_for(asked()).continued(output).payload()["input"]

    assert continued == [said("user", "hi"), reasoned("AAA"), answered("half no", phase="commentary")]
    assert continued == items_of(user(), assistant(thinking("AAA"), text("half no", phase="commentary")))


CIPHER = {"encrypted_content": "AAA", "status": "completed"}


def test_reasoning_is_replayed_only_to_its_own_model_and_account():
    message = assistant(thinking("AAA"), text("so"))

    assert reasoned("AAA") in items_of(user(), message)
    assert reasoned("AAA") in items_of(user(), message, model="gpt-5.5-fast")
    assert items_of(user(), message, model="gpt-5.6-sol") == [said("user", "hi"), answered("so")]
    assert items_of(user(), message, account_id="acc-2") == [said("user", "hi"), answered("so")]


def test_a_saved_transcript_gives_the_same_body_when_loaded():
    asked_first = request(user(), assistant(thinking("AAA"), calls("c1")), tool("c1"))
    saved = json.dumps([message.model_dump(exclude_none=True) for message in asked_first.messages])
    asked_again = request(*json.loads(saved))
    remembered: dict[str, str] = {}

    first, again = (call_for(one, remembered=remembered).body() for one in (asked_first, asked_again))

    assert first == again


def test_refused_reasoning_stays_left_out_and_later_reasoning_is_sent():
    first = [user(), assistant(thinking("OLD"), text("one")), user("more")]
    call = call_for(request(*first)).without_reasoning()
    second = [*first, assistant(thinking("NEW"), text("two"), metadata=call.metadata()), user("more")]

    assert items_of(*second) == [
        *call.payload()["input"],
        reasoned("NEW"),
        answered("two"),
        said("user", "more"),
    ]


def test_the_repr_of_a_call_hides_conversation_account_and_reasoning():
    shown = repr(call_for(request(user("private"), assistant(thinking("CIPHER"))), account_id="acc-9"))

    assert not re.search("private|CIPHER|acc-9", shown)


@pytest.mark.parametrize("count", [300])
def test_many_tools_and_a_huge_result_are_sent_whole(count):
    tools = [{**LOOK, "name": f"tool_{n}"} for n in range(count)]
    huge = "x" * 5_000_000
    call = call_for(request(user(), assistant(calls("c1")), tool("c1", huge), tools=tools))

    assert len(call.payload()["tools"]) == count
    assert call.payload()["input"][1:] == [called("c1"), {**call.payload()["input"][2], "output": huge}]


# The tables of docs/requests.md must match the code.

PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
EXAMPLES = {
    "messages": [user("other")],
    "tools": [LOOK],
    "response_format": {"type": "json"},
    "temperature": 0.1,
    "top_p": 0.1,
    "max_output_tokens": 7,
    "conversation_id": "other",
    "stream": True,
    "metadata": {"stream": False},
    "model": "gpt-5.2",
    "tool_choice": "none",
    "stop": ["END"],
    "reasoning_effort": "high",
    "timeout": 9.0,
    "effort": "high",
    "extended_thinking": True,
    "parallel_tool_calls": False,
    "text_verbosity": "high",
    "verbosity": "high",
    "stop_sequences": "END",
    "anything else": 1,
}


def table(heading: str) -> dict[str, str]:
    """Return name and verdict of each row under a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `?([\w ]+?)`? \| (sent|applied here|ignored)\b", section, re.MULTILINE)
    return dict(rows)


def verdict(before, after) -> str:
    """Return what a field changed: the body, the rest of the call, or nothing."""
    bodies = [{**call.payload(), "prompt_cache_key": ""} for call in (before, after)]
    if bodies[0] != bodies[1] or before.conversation.of != after.conversation.of:
        return "sent"
    differs = (before.stop, before.timeout, before.streaming) != (after.stop, after.timeout, after.streaming)
    return "applied here" if differs else "ignored"


def test_the_table_of_fields_matches_the_code():
    rows = table("Fields of ChatRequest")
    base = {"messages": [user()], "tools": [LOOK, SEARCH]}

    def build(fields: dict):
        asked_for = ChatRequest(**{**base, **fields})
        return call_for(asked_for, model=requested_model(asked_for, {}, "gpt-5.5"))

    assert rows.keys() == ChatRequest.model_fields.keys()
    assert {name: verdict(build({}), build({name: EXAMPLES[name]})) for name in rows} == rows


def test_the_table_of_keyword_arguments_matches_the_code():
    rows = table("Keyword arguments of complete()")

    def build(**kwargs):
        model = requested_model(asked(), kwargs, "gpt-5.5")
        return call_for(asked(tools=[LOOK]), **{**kwargs, "model": model})

    assert rows.keys() == {name for names in OPTIONS.values() for name in names} | {"anything else"}
    assert {name: verdict(build(), build(**{name: EXAMPLES[name]})) for name in rows} == rows
