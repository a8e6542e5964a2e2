"""A refusal names fields of the body by its parameter, else in its message."""

import pytest

from amplifier_module_provider_openai_chatgpt.errors.fields import named_fields
from amplifier_module_provider_openai_chatgpt.errors.refusal import Refusal

FIELDS = {"tools", "tool_choice", "prompt_cache_key"}
BY_PARAM = {
    "tools": ["tools"],
    "tools[3]": ["tools"],
    "tools[0].type": ["tools"],
    "additional_tools": ["tools"],
    "input[0]": ["tools"],
    "input[0].type": ["tools"],
    "input[0].tools": ["tools"],
    "input[0].tools[12].type": ["tools"],
    "tool_choice": ["tool_choice"],
    "tool_choice.name": ["tool_choice"],
    "prompt_cache_key": ["prompt_cache_key"],
    "tools[0].parameters": [],
    "tools[0].name": [],
    "input[0].content": [],
    "input[1].type": [],
    "input[0].tools[0].parameters.properties.tools": [],
    "tool_choices": [],
    "prompt_cache_key_2": [],
    "my.prompt_cache_key": [],
    "": [],
}
BY_WORDS = {
    "Unsupported parameter: tools": ["tools"],
    "Unknown parameter: 'tools'.": ["tools"],
    "Invalid value: 'additional_tools'.": ["tools"],
    "Unsupported parameter: input[0].tools": ["tools"],
    "body.tools.0.type: not permitted": ["tools"],
    "Unsupported: prompt_cache_key, tool_choice": ["prompt_cache_key", "tool_choice"],
    "body.prompt_cache_key: extra fields not permitted": ["prompt_cache_key"],
    "This model does not call tools.": [],
    "input[0].content is too long": [],
    "input[0] has no content": ["tools"],
    "prompt_cache_keys": [],
    "": [],
}


@pytest.mark.parametrize("param", BY_PARAM)
def test_fields_by_parameter(param):
    assert named_fields(Refusal(status=400, param=param), FIELDS) == BY_PARAM[param]


@pytest.mark.parametrize("message", BY_WORDS)
def test_fields_in_a_message(message):
    assert named_fields(Refusal(status=400, message=message), FIELDS) == BY_WORDS[message]


def test_a_parameter_takes_precedence_over_the_message():
    refusal = Refusal(status=400, param="tool_choice", message="'tools' and 'tool_choice' do not match.")
    assert named_fields(refusal, FIELDS) == ["tool_choice"]


def test_only_the_given_fields_are_found():
    assert named_fields(Refusal(param="tools"), {"tool_choice"}) == []
    assert named_fields(Refusal(message="tools, tool_choice"), ()) == []


def test_words_do_not_count_where_a_parameter_names_something_else():
    refusal = Refusal(status=400, param="tools[3].parameters", message="Invalid 'tools[3]': tool_choice")
    assert named_fields(refusal, FIELDS) == []
