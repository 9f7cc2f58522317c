"""The Anthropic family: OpenAI bodies into Messages, and messages into chat completions."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.families import FAMILIES
from optimizer_backends.families.anthropic_request import takes_sampling
from optimizer_backends.family import Untranslatable
from optimizer_config.model import Backend
from optimizer_wire.messages import Usage

FAMILY = FAMILIES["anthropic"]
BACKEND = Backend("anthropic", "anthropic", "https://api.anthropic.com", ("m",))
OLD, NEW = "claude-haiku-4-5", "claude-haiku-5-5"
USER = {"role": "user", "content": "hi"}
TEXT = {"type": "text", "text": "hi"}


def body_of(model=NEW, messages=(USER,), **params):
    """The Messages body for a chat body."""
    request = FAMILY.request(BACKEND, "hush", "chat", model, {"messages": list(messages), **params})
    return json.loads(request.body)


def turns_of(*messages):
    """The turns of the Messages body for these messages."""
    return body_of(messages=messages)["messages"]


# --- requests


@pytest.mark.parametrize("base", ["https://h", "https://h/", "https://h/v1", "https://h/v1/"])
def test_request(base):
    """The address whether or not it ends in /v1, the key, and the version."""
    backend = Backend("a", "anthropic", base, ("m",), headers={"anthropic-beta": "x"})
    request = FAMILY.request(backend, "hush", "chat", "m", {"messages": [USER]})

    assert request.url == "https://h/v1/messages"
    assert request.headers["x-api-key"] == "hush"
    assert (request.headers["anthropic-version"], request.headers["anthropic-beta"]) == ("2023-06-01", "x")
    assert "authorization" not in request.headers


def test_the_smallest_body():
    """A maximum of tokens is required; more for models whose thinking counts."""
    turn = {"role": "user", "content": [TEXT]}

    assert body_of() == {"model": NEW, "max_tokens": 16384, "messages": [turn]}
    assert body_of(OLD) == {"model": OLD, "max_tokens": 4096, "messages": [turn]}


def test_maximum_of_tokens():
    """The newer name goes over the older one."""
    assert body_of(max_tokens=5)["max_tokens"] == 5
    assert body_of(max_tokens=5, max_completion_tokens=7)["max_tokens"] == 7


def test_system_messages_come_first():
    """System and developer messages become the system text, wherever they stand."""
    cached = {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}
    body = body_of(
        messages=[
            {"role": "system", "content": "A"},
            USER,
            {"role": "developer", "content": [cached, {"type": "text", "text": ""}]},
        ]
    )

    assert body["system"] == [{"type": "text", "text": "A"}, cached]
    assert body["messages"] == [{"role": "user", "content": [TEXT]}]


def test_tool_calls_and_their_results():
    """Calls become tool_use, and all results that follow stand in one user turn, with what the user adds."""
    call = {"id": "call.1:x", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    other = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}
    turns = turns_of(
        USER,
        {"role": "assistant", "content": "let me see", "tool_calls": [call, other]},
        {"role": "tool", "tool_call_id": "call.1:x", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "user", "content": "go on"},
    )

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[1]["content"] == [
        {"type": "text", "text": "let me see"},
        {"type": "tool_use", "id": "call_1_x", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
    ]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1_x", "content": "1"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"type": "text", "text": "go on"},
    ]


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"x"'])
def test_arguments_that_are_no_object(arguments):
    """A model may have written anything; Anthropic wants an object."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    block = turns_of(USER, {"role": "assistant", "tool_calls": [call]})[1]["content"][0]

    assert list(block["input"]) == ["arguments"]


def test_legacy_functions():
    """The older `functions` and `function_call` are the same thing."""
    body = body_of(
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )

    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    assert body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"] == "f"


def test_content_parts():
    """Text, images by address and as data, files; native blocks as they are; empty text left out."""
    native = {"type": "search_result", "source": "s", "title": "t", "content": []}
    parts = [
        {"type": "text", "text": ""},
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AAAA", "cache_control": {"type": "ephemeral"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "b.pdf"}},
        {"type": "file", "file": {"file_id": "file_1"}},
        native,
    ]

    pdf = {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}
    png = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert turns_of({"role": "user", "content": parts})[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        {"type": "image", "source": png, "cache_control": {"type": "ephemeral"}},
        {"type": "document", "source": pdf},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        native,
    ]


def test_tools():
    """Functions become tools with an input schema; server tools pass as they are."""
    server = {"type": "web_search_20250305", "name": "web_search"}
    function = {"name": "f", "description": "d", "strict": True, "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}, {"type": "function", "function": {"name": "g"}}, server]

    empty = {"type": "object", "properties": {}}
    assert body_of(tools=tools)["tools"] == [
        {"name": "f", "input_schema": empty, "description": "d", "strict": True},
        {"name": "g", "input_schema": empty},
        server,
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("none", None, {"type": "none"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
        ({"type": "tool", "name": "f"}, None, {"type": "tool", "name": "f"}),
        ("anything", None, None),
    ],
)
def test_tool_choice(choice, parallel, expected):
    """Which tool must be used, and whether several at once."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = body_of(tools=tools, tool_choice=choice, parallel_tool_calls=parallel)

    assert body.get("tool_choice") == expected
    assert "parallel_tool_calls" not in body


def test_no_tools_no_choice():
    """A choice without tools would be refused."""
    assert "tool_choice" not in body_of(tool_choice="auto", parallel_tool_calls=False, tools=[])


@pytest.mark.parametrize(("stop", "expected"), [("END", ["END"]), (["a", "b"], ["a", "b"]), (None, None), ([], None)])
def test_stop(stop, expected):
    """One or several texts that end the answer."""
    body = body_of(stop=stop)

    assert (body.get("stop_sequences"), "stop" in body) == (expected, False)


def test_answer_formats():
    """A schema is Anthropic's output format; `json_object` has no counterpart and becomes an instruction."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    body = body_of(response_format=form, output_config={"effort": "low"})
    loose = body_of(response_format={"type": "json_object"}, messages=[{"role": "system", "content": "S"}, USER])

    expected = {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert body["output_config"] == expected
    assert "JSON object" in loose["system"][1]["text"]
    assert "output_config" not in loose
    assert "system" not in body_of(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-3-haiku", True),
        ("claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-6", True),
        ("claude-opus-4-7", False),
        ("claude-opus-4-10", False),
        ("claude-haiku-5-5", False),
        ("claude-fable-5", False),
        ("claude-next", False),
        ("deepseek-flash", True),
        ("anthropic.claude-sonnet-5-5-v1:0", False),
    ],
)
def test_sampling_parameters(model, takes):
    """Claude 4.7 and later refuse temperature and its kin, so they are left out there."""
    body = body_of(model, temperature=1.5, top_k=5)

    assert takes_sampling(model) is takes
    assert (body.get("temperature"), body.get("top_k")) == ((1, 5) if takes else (None, None))


def test_temperature_and_top_p():
    """Claude 4 refuses both at once; the temperature wins. Others take both."""
    both = {"temperature": 0.2, "top_p": 0.9}

    assert "top_p" not in body_of(OLD, **both)
    assert body_of(OLD, top_p=0.9)["top_p"] == 0.9
    assert body_of("claude-3-haiku", **both)["top_p"] == 0.9


def test_hints_without_a_counterpart_are_left_out():
    """What Anthropic would refuse and what does not change the kind of answer."""
    hints = {"seed": 1, "logprobs": True, "presence_penalty": 1, "store": False, "stream": True, "n": 1}

    assert body_of(**hints, service_tier="flex", metadata={"a": "b"}) == body_of()


def test_who_asks():
    """`user` is Anthropic's user id; a native one goes over it."""
    assert body_of(user="u")["metadata"] == {"user_id": "u"}
    assert body_of(user="u", metadata={"user_id": "v", "x": "y"})["metadata"] == {"user_id": "v"}
    assert body_of(service_tier="auto")["service_tier"] == "auto"


@pytest.mark.parametrize(
    ("params", "outcome"),
    [
        ({"messages": [USER], "n": 2}, "unknown_model"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "unknown_model"),
        ({}, "invalid"),
        ({"messages": []}, "invalid"),
        ({"messages": "hi"}, "invalid"),
        ({"messages": ["hi"]}, "invalid"),
        ({"messages": [{"content": "hi"}]}, "invalid"),
        ({"messages": [{"role": "user", "content": [7]}]}, "invalid"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "invalid"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:x,y"}]}]}, "invalid"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "invalid"),
    ],
)
def test_what_cannot_be_said(params, outcome):
    """Another backend may take several choices and audio; what is no chat body nobody takes."""
    with pytest.raises(Untranslatable) as caught:
        FAMILY.request(BACKEND, None, "chat", NEW, params)

    assert caught.value.outcome == outcome


def test_no_embeddings():
    """Another backend may have them."""
    with pytest.raises(Untranslatable, match="no embeddings"):
        FAMILY.request(BACKEND, None, "embed", NEW, {"input": "x"})


# --- valid chat bodies never break the translation

WORDS = st.text(max_size=12)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.just({"type": "image_url", "image_url": {"url": "https://h/x.png"}}),
    st.just({"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lG"}}),
)
CONTENT = WORDS | st.lists(PARTS, max_size=3)
CALLS = st.lists(
    st.builds(
        lambda identity, name, arguments: {
            "id": identity,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        },
        WORDS, WORDS, WORDS | st.just('{"a": [1]}'),
    ),
    max_size=2,
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user"]), CONTENT),
    st.builds(
        lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls},
        CONTENT | st.none(), CALLS,
    ),
    st.builds(lambda identity, content: {"role": "tool", "tool_call_id": identity, "content": content}, WORDS, CONTENT),
)  # fmt: skip
UNKNOWN = st.dictionaries(st.from_regex(r"x_[a-z]{1,6}", fullmatch=True), st.integers() | WORDS, max_size=3)
FUNCTIONS = st.lists(st.builds(lambda name: {"type": "function", "function": {"name": name}}, WORDS), max_size=2)


@given(
    st.sampled_from([OLD, NEW, "claude-3-haiku"]),
    st.lists(MESSAGES, min_size=1, max_size=6),
    UNKNOWN,
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2) | st.none(),
            "stop": st.none() | WORDS | st.lists(WORDS, max_size=4),
            "tools": FUNCTIONS | st.none(),
            "tool_choice": st.sampled_from(["auto", "none", "required", None]),
            "parallel_tool_calls": st.booleans(),
            "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}, None]),
            "max_tokens": st.integers(1, 9) | st.none(),
            "user": WORDS,
        },
    ),
)
def test_valid_chats_are_translated(model, messages, unknown, params):
    """Any valid chat becomes a body that Anthropic's rules allow, with unknown parameters untouched."""
    before = json.dumps([messages, params])
    body = body_of(model, messages, **params, **unknown)

    assert json.dumps([messages, params]) == before
    assert {name: body[name] for name in unknown} == unknown
    roles = [turn["role"] for turn in body["messages"]]
    assert all(role != following for role, following in itertools.pairwise(roles))
    for turn in body["messages"]:
        assert turn["content"]
        assert all(block.get("text", "-") for block in turn["content"])
    assert body["max_tokens"] >= 1
    assert 0 <= body.get("temperature", 0) <= 1


# --- answers


def answer(*content, status=200, headers=(), **over):
    """What the family makes of a message with this content."""
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn"}
    return FAMILY.response(status, tuple(headers), json.dumps({**body, "content": list(content), **over}).encode())


def test_answer():
    """Text blocks become the content, with the time of the response's own clock."""
    result = answer(TEXT, {"type": "text", "text": "!"}, headers=[("date", "Wed, 21 Oct 2026 07:28:00 GMT")])

    assert result.body == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1792567680,
        "model": "claude-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert (result.outcome, result.complete, result.model, result.finish_reason) == (
        "answered",
        True,
        "claude-x",
        "stop",
    )


def test_tool_use():
    """Tool use becomes tool calls with arguments as JSON text; thoughts are kept apart."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, "ø"]}}
    result = answer({"type": "thinking", "thinking": "hm", "signature": "s"}, use, stop_reason="tool_use")
    message = result.body["choices"][0]["message"]

    assert message["content"] is None
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["id"] == "toolu_1"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":[1,"ø"]}'}
    assert (result.finish_reason, result.complete) == ("tool_calls", True)


@pytest.mark.parametrize(
    ("stop", "reason", "complete"),
    [
        ("end_turn", "stop", True),
        ("stop_sequence", "stop", True),
        ("max_tokens", "length", False),
        ("model_context_window_exceeded", "length", False),
        ("refusal", "content_filter", False),
        ("pause_turn", "pause_turn", False),
        (None, None, False),
        (["end_turn"], None, False),
    ],
)
def test_finish_reasons(stop, reason, complete):
    """Each reason in OpenAI's words; an unknown one is passed on and never cached."""
    result = answer(TEXT, stop_reason=stop)

    assert (result.finish_reason, result.complete) == (reason, complete)


def test_refusal():
    """A refusal is an answer with its explanation, and not cached."""
    result = answer(stop_reason="refusal", stop_details={"type": "refusal", "explanation": "no"})

    assert result.body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "no"}
    assert not result.complete


def test_nothing_is_not_complete():
    """An answer that says nothing must not be cached."""
    assert not answer().complete


def test_usage():
    """Anthropic's input leaves out what the cache gave and took: both are added."""
    raw = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 4},
        "service_tier": "standard",
    }
    result = answer(TEXT, usage=raw)

    assert result.usage == Usage(240, 7, 200, 30, 4, raw)
    assert result.body["usage"] == {
        "prompt_tokens": 240,
        "completion_tokens": 7,
        "total_tokens": 247,
        "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    assert answer(TEXT).usage is None
    assert answer(TEXT, usage={"input_tokens": None}).usage.total_tokens == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content": "x"}', b'{"type": "error"}'])
def test_answers_that_are_none(body):
    """A success without content is a passing fault."""
    assert FAMILY.response(200, (), body).outcome == "transient"
