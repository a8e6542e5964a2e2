"""JSON is decoded unless its values would need far more memory than its text."""

import json
import time

import pytest

from amplifier_module_provider_openai_chatgpt.transport.json_values import (
    ALWAYS_DECODED,
    MAX_VALUES,
    TooManyValuesError,
    decode,
)

MANY = MAX_VALUES + 2


@pytest.mark.parametrize(
    "document",
    [
        b"[" + b"{}," * MANY + b"{}]",
        b'{"a": [' + b'"x",' * MANY + b'""]}',
        b'["\\\\",' + b"{}," * MANY + b"{}]",
        b'["\\"",' + b"{}," * MANY + b"{}]",
        b'["' + b"{}," * MANY * 2 + b'",' + b"{}," * MANY + b"{}]",
    ],
)
def test_too_many_values_are_refused(document):
    with pytest.raises(TooManyValuesError):
        decode(document)


@pytest.mark.parametrize(
    "value",
    [
        "{}," * MANY,
        '\\"{},[' * MANY,
        ["a,b,c" * MANY, "\\"],
        {"text": json.dumps([{}] * MANY)},
        [{}] * (MAX_VALUES // 3),
    ],
)
def test_text_may_hold_any_number_of_commas_and_brackets(value):
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize("commas", [0, 1, 300])
def test_deep_nesting_is_refused_by_the_decoder(commas):
    with pytest.raises(ValueError, match="recursion"):
        decode(b"[" * MANY + b"," * commas + b" " * ALWAYS_DECODED)


def test_what_is_not_json_is_a_value_error():
    with pytest.raises(ValueError, match="expected"):
        decode(b"x" * 2 * ALWAYS_DECODED)


@pytest.mark.parametrize("end", [b'"', b"\\", b'\\"', b""])
def test_a_string_that_never_ends_is_searched_in_linear_time(end):
    began = time.process_time()
    with pytest.raises(ValueError):
        decode(b"[" + b"1," * 400_000 + b'"' + b'\\"' * 500_000 + end)
    assert time.process_time() - began < 2
