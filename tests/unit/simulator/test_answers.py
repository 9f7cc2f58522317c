"""An answer is a function of its request, and usage is counted from both."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_ops.simulator import answers, streams
from optimizer_ops.simulator.question import BadRequest, echo_of, read_chat, read_embed


def chat(text="hi", protocol="openai", **more):
    """The question in a chat request with one user message."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return read_chat(json.dumps(body).encode(), protocol)


@given(st.text())
def test_the_answer_names_its_question(text):
    """Whoever knows the question can tell its answer."""
    answer = answers.answer_to(chat(text), 32)

    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert answer.text.startswith(f"echo:{digest}")
    assert echo_of(text) == digest


@given(st.integers(6, 500))
def test_an_answer_is_as_long_as_wanted(tokens):
    """Filler makes up the wanted length, at four characters a token."""
    answer = answers.answer_to(chat(), tokens)

    assert answer.completion_tokens == tokens
    assert not answer.cut


def test_max_tokens_cuts_the_answer():
    """A small maximum ends the answer with the reason length, in either protocol's words."""
    answer = answers.answer_to(chat(max_tokens=3), 32)

    assert (len(answer.text), answer.completion_tokens) == (12, 3)
    assert answers.finish_reason(answer) == "length"
    assert answers.stop_reason(answer) == "max_tokens"


def test_the_last_user_message_decides():
    """Earlier messages change the usage, not the echo; text parts are put together."""
    parts = [{"type": "text", "text": "wor"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "ld"}]
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None},
    ]

    question = read_chat(json.dumps({"model": "m", "messages": messages}).encode(), "openai")

    assert (question.echo, question.prompt_tokens) == (echo_of("world"), 4)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model":"m"}',
        b'{"model":"m","messages":[]}',
        b'{"model":"m","messages":"x"}',
        b'{"model":"m","messages":[1]}',
        b'{"messages":[{"role":"user","content":"x"}]}',
        b'{"model":1,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":0}',
    ],
)
def test_bodies_that_cannot_be_answered_are_refused(body):
    """A malformed body is a BadRequest, whatever is wrong with it."""
    with pytest.raises(BadRequest):
        read_chat(body, "openai")


def test_anthropic_requires_max_tokens():
    """The Anthropic protocol has no default length."""
    with pytest.raises(BadRequest, match="max_tokens"):
        chat(protocol="anthropic")


@pytest.mark.parametrize(
    ("protocol", "tools", "choice", "expected"),
    [
        ("openai", [{"type": "function", "function": {"name": "f"}}], "required", "f"),
        ("openai", [{"type": "function", "function": {"name": "f"}}], "auto", None),
        ("openai", [], "required", None),
        (
            "openai",
            [{"type": "function", "function": {"name": "f"}}],
            {"type": "function", "function": {"name": "g"}},
            "g",
        ),
        ("anthropic", [{"name": "f"}], {"type": "any"}, "f"),
        ("anthropic", [{"name": "f"}], {"type": "tool", "name": "g"}, "g"),
        ("anthropic", [{"name": "f"}], {"type": "auto"}, None),
    ],
)
def test_a_tool_is_called_when_the_request_insists(protocol, tools, choice, expected):
    """`required`, `any` and a named tool make a tool call; `auto` does not."""
    question = chat(protocol=protocol, tools=tools, tool_choice=choice, max_tokens=99)

    assert answers.answer_to(question, 32).tool == expected


@given(st.text(max_size=50), st.integers(1, 64))
def test_embeddings_are_unit_vectors_of_their_text(text, size):
    """The same text has the same vector of length one."""
    body = json.dumps({"model": "m", "input": [text, text + "x"]}).encode()

    first, second = (item["embedding"] for item in answers.embeddings(read_embed(body), size)["data"])

    assert len(first) == size
    assert sum(value * value for value in first) == pytest.approx(1)
    assert size == 1 or first != second
    assert first == answers.embeddings(read_embed(body), size)["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("given_input", "inputs", "tokens"),
    [("abcde", 1, 2), (["a", "b"], 2, 2), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)],
)
def test_embedding_inputs_come_in_four_forms(given_input, inputs, tokens):
    """A text, texts, tokens and lists of tokens are all understood."""
    question = read_embed(json.dumps({"model": "m", "input": given_input}).encode())

    assert (len(question.inputs), question.prompt_tokens) == (inputs, tokens)


@given(st.integers(1, 80))
def test_a_stream_carries_the_same_text(tokens):
    """The pieces of a streamed answer are the answer."""
    question = chat(stream=True, stream_options={"include_usage": True})
    answer = answers.answer_to(question, tokens)

    events = streams.openai_events(question, answer, "x", 0, "none")

    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert text == answer.text
    assert chunks[-1]["usage"]["completion_tokens"] == answer.completion_tokens
    assert events[-1] == b"data: [DONE]\n\n"
