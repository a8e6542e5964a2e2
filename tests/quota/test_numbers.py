"""Numbers and times that a server sends."""

import math

import pytest

from amplifier_module_provider_openai_chatgpt.quota.numbers import after, moment, number


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (1, 1.0),
        ("2.5", 2.5),
        ("x", None),
        (True, None),
        (None, None),
        ("nan", None),
        (math.inf, None),
        ([], None),
    ],
)
def test_a_number_may_be_text_and_is_finite(sent, read):
    assert number(sent) == read


@pytest.mark.parametrize(
    ("sent", "read"),
    [(1790000000, 1790000000.0), ("1790000000", 1790000000.0), (0, None), (-5, None), (1e15, None)],
)
def test_a_time_is_a_plausible_number_of_seconds(sent, read):
    assert moment(sent) == read


@pytest.mark.parametrize(
    ("sent", "read"), [(30, 1030.0), ("0", 1000.0), (-1, None), (1e15, None), ("soon", None)]
)
def test_a_delay_is_added_to_the_present(sent, read):
    assert after(sent, 1000.0) == read
