"""The OpenAI family: what goes out untouched and what comes back as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.families import FAMILIES
from optimizer_backends.family import Untranslatable
from optimizer_config.model import Backend
from optimizer_wire.messages import Usage

FAMILY = FAMILIES["openai"]
BACKEND = Backend("b", "openai", "https://h/v1", ("m",), headers={"x-title": "fleet"})
USER = [{"role": "user", "content": "hi"}]


def answer(**over):
    """A response with this chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice]} | over
    return FAMILY.response(200, (("x-a", "1"),), json.dumps(body).encode())


# --- requests


@pytest.mark.parametrize(("op", "path"), [("chat", "/chat/completions"), ("embed", "/embeddings")])
def test_request(op, path):
    """The address, the key as Bearer, and the configured headers."""
    request = FAMILY.request(BACKEND, "hush", op, "gpt", {"messages": USER})

    assert request.url == f"https://h/v1{path}"
    assert request.headers["authorization"] == "Bearer hush"
    assert (request.headers["content-type"], request.headers["x-title"]) == ("application/json", "fleet")
    assert json.loads(request.body) == {"model": "gpt", "messages": USER}


def test_a_request_without_key():
    """A local server needs none; an empty Bearer would be a mistake."""
    assert "authorization" not in FAMILY.request(BACKEND, None, "chat", "m", {}).headers


def test_a_request_hides_what_it_carries():
    """Neither key nor prompt is shown."""
    request = FAMILY.request(BACKEND, "hush", "chat", "m", {"messages": [{"content": "secret"}]})

    assert all("hush" not in text and "secret" not in text for text in (repr(request), str(request.__rich_repr__())))


def test_streaming_is_taken_out():
    """A call is never streamed, and the model is the route's, whatever the parameters say."""
    params = {"stream": True, "stream_options": {"include_usage": True}, "model": "other", "top_k": 3}

    assert json.loads(FAMILY.request(BACKEND, None, "chat", "m", params).body) == {"model": "m", "top_k": 3}


KEYS = st.text(max_size=8).filter(lambda key: key not in {"model", "stream", "stream_options"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_every_parameter_survives(params):
    """Known or not, a parameter arrives as it was written."""
    assert json.loads(FAMILY.request(BACKEND, None, "chat", "m", params).body) == {**params, "model": "m"}


def test_what_json_cannot_say():
    """A parameter that is no JSON is an invalid request, not a crash."""
    with pytest.raises(Untranslatable) as caught:
        FAMILY.request(BACKEND, None, "chat", "m", {"x": object()})

    assert caught.value.outcome == "invalid"


# --- answers


def test_answer():
    """The body passes through as it is, unknown fields included."""
    result = answer(system_fingerprint="fp", x_groq={"id": "q"})

    assert (result.outcome, result.model, result.finish_reason, result.complete) == ("answered", "m-1", "stop", True)
    assert result.body["x_groq"] == {"id": "q"}
    assert result.headers == (("x-a", "1"),)
    assert result.usage is None


def choice(reason, **message):
    """A choice that ended so."""
    return {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("choices", "complete"),
    [
        ([choice("stop", content="x")], True),
        ([choice("tool_calls", content=None, tool_calls=CALL)], True),
        ([choice("stop", refusal="no")], True),
        ([choice("stop", content="x"), choice("stop", content="y")], True),
        ([choice("stop", content="x"), choice("length", content="y")], False),
        ([choice("length", content="x")], False),
        ([choice("content_filter", content="x")], False),
        ([choice(None, content="x")], False),
        ([choice(["stop"], content="x")], False),
        ([choice("stop", content="")], False),
        ([choice("stop", content=None)], False),
    ],
)
def test_completeness(choices, complete):
    """Only an answer that ended by itself and says something may be cached; the others are answers all the same."""
    result = answer(choices=choices)

    assert (result.outcome, result.complete) == ("answered", complete)


def test_embeddings():
    """A list of embeddings is an answer."""
    body = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "model": "e", "usage": {"prompt_tokens": 3}}
    result = FAMILY.response(200, (), json.dumps(body).encode())

    assert (result.outcome, result.complete, result.finish_reason, result.model) == ("answered", True, None, "e")
    assert result.usage == Usage(input_tokens=3, raw={"prompt_tokens": 3})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "something that is not a JSON object"),
        (b"<html>", "something that is not a JSON object"),
        (b"[1]", "something that is not a JSON object"),
        (b'{"choices": [', "something that is not a JSON object"),
        (b"[" * 100_000, "something that is not a JSON object"),
        (b"{}", "neither choices nor embeddings"),
        (b'{"choices": []}', "neither choices nor embeddings"),
        (b'{"data": []}', "neither choices nor embeddings"),
        (b'{"choices": [{"text": "x"}]}', "a choice without a message"),
        (b'{"choices": "x"}', "a choice without a message"),
    ],
)
def test_answers_that_are_none(body, told):
    """A success without an answer is a passing fault of the backend, and says what was there."""
    result = FAMILY.response(200, (), body)

    assert (result.outcome, result.body) == ("transient", None)
    assert told in result.message


def test_blank_lines_before_an_answer():
    """DeepSeek keeps a waiting connection alive with blank lines."""
    assert FAMILY.response(200, (), b'\n\n\n{"choices": [{"message": {"content": "x"}}]}').outcome == "answered"


# --- usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, Usage(5, 7)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 30, "accepted_prediction_tokens": 0},
            },
            Usage(100, 50, 80, 10, 30),
        ),
        # DeepSeek
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
            Usage(9, 1, 4),
        ),
        # xAI, recorded: reasoning is in the total but not in the completion
        (
            {
                "prompt_tokens": 1889,
                "completion_tokens": 52,
                "total_tokens": 2102,
                "completion_tokens_details": {"reasoning_tokens": 161},
            },
            Usage(1889, 213, reasoning_tokens=161),
        ),
        # Gemini's compatible endpoint: thoughts are in the total only
        ({"prompt_tokens": 9, "completion_tokens": 10, "total_tokens": 530}, Usage(9, 521, reasoning_tokens=511)),
        # Groq: times beside the tokens
        ({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5, "queue_time": 0.1}, Usage(2, 3)),
        # nonsense
        ({"prompt_tokens": None, "completion_tokens": "7", "total_tokens": -1, "prompt_tokens_details": 3}, Usage()),
    ],
)
def test_usage(raw, usage):
    """Input includes cached tokens, output includes reasoning, whoever leaves them out; the raw object is kept."""
    told = answer(usage=raw).usage

    expected = [getattr(usage, field) for field in usage.__struct_fields__ if field != "raw"]
    assert [getattr(told, field) for field in told.__struct_fields__ if field != "raw"] == expected
    assert told.raw == raw


@pytest.mark.parametrize("raw", [None, {}, [], "12"])
def test_no_usage(raw):
    """What was not told is unknown, not nothing."""
    assert answer(usage=raw).usage is None
