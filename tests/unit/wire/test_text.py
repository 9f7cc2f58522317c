"""The text in a request: found in every form that a body may have, and in nothing else."""

import pytest
from hypothesis import given, settings
from tests.support import strategies

from optimizer_wire.text import prompt_chars, prompt_text


@pytest.mark.parametrize(
    ("params", "text", "chars"),
    [
        ({"messages": [{"role": "user", "content": "hej"}]}, "hej", 3),
        (
            {
                "messages": [
                    {"role": "system", "content": "be"},
                    {"role": "user", "content": "a"},
                    {"role": "user", "content": "b"},
                ]
            },
            "a\nb",
            4,
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]}]},
            "a\nb",
            3,
        ),
        ({"messages": [{"role": "user", "content": None}, 5, None, {"content": "x"}]}, "", 1),
        ({"input": "words"}, "words", 5),
        ({"input": ["one", "two"]}, "one\ntwo", 7),
        ({"input": [1, 2, 3]}, "", 0),
        ({}, "", 0),
    ],
)
def test_text(params, text, chars):
    """The prompt is what users wrote; its size counts all roles."""
    assert prompt_text(params) == text
    assert prompt_chars(params) == chars


@settings(max_examples=100, deadline=None)
@given(strategies.json_values, strategies.json_values)
def test_any_json(one, other):
    """Whatever JSON stands where messages are expected, there is a text and a size."""
    for params in ({"messages": one}, {"messages": [{"role": "user", "content": one}, other]}, {"input": one}):
        assert isinstance(prompt_text(params), str)
        assert prompt_chars(params) >= 0
