"""Replies as agents see them."""

import msgspec
import pytest

from optimizer_client.reply import Reply, reply_from
from optimizer_wire import messages
from optimizer_wire.errors import CODES, InternalError
from optimizer_wire.messages import VERSION, ErrorInfo


def reply(result, source="backend"):
    """A reply with a result."""
    return Reply(id="a", result=result, source=source)


def choice(**message):
    """A result with one choice."""
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (choice(content="Hi"), "Hi"),
        (choice(content=None, tool_calls=[{"id": "1"}]), ""),
        (choice(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image"}]), "ab"),
        ({"choices": []}, ""),
        ({"data": []}, ""),
    ],
)
def test_the_text_is_that_of_the_first_choice(result, text):
    """`text` and `str()` are the first choice's text, and empty if there is none."""
    assert text == reply(result).text == str(reply(result))


def test_tool_calls_are_passed_on_as_they_are():
    """`tool_calls` are the first choice's, or none."""
    assert reply(choice(tool_calls=[{"id": "1"}])).tool_calls == [{"id": "1"}]
    assert reply(choice(content="Hi")).tool_calls == []


def test_embeddings_are_in_the_order_of_the_input():
    """Vectors are sorted by their index, whatever the order in the answer."""
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]

    assert reply({"data": data}).embeddings == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("source", "shared"), [("backend", False), ("direct", False), ("cache", True), ("collapsed", True)]
)
def test_shared_tells_whether_somebody_else_made_the_call(source, shared):
    """An answer from the cache or from another's call is shared."""
    assert reply({}, source).shared is shared


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_that_travels_is_raised_as_its_class(code):
    """A reply with an error raises the exception of its code, with its sentence, its request and its patience."""
    wire = messages.Reply(VERSION, "a", ok=False, error=ErrorInfo(code, "Because.", retry_after_s=2.0))

    with pytest.raises(CODES[code]) as caught:
        reply_from(wire)

    assert (caught.value.message, caught.value.request_id, caught.value.retry_after_s) == ("Because.", "a", 2.0)


def test_an_error_of_a_newer_version_is_an_internal_error():
    """A code that this client does not know is raised as `InternalError`."""
    wire = messages.Reply(VERSION, "a", ok=False, error=ErrorInfo("from_the_future", "Because."))

    with pytest.raises(InternalError, match="Because"):
        reply_from(wire)


def test_a_reply_without_result_and_error_is_a_fault():
    """A reply that holds nothing is an `InternalError`, not an empty answer."""
    with pytest.raises(InternalError):
        reply_from(messages.Reply(VERSION, "a", ok=True))


def test_a_result_arrives_as_it_was_sent():
    """All that the backend sent is in `result`, unknown fields too."""
    sent = choice(content="Hi") | {"x_groq": {"id": "1"}}
    wire = messages.Reply(VERSION, "a", ok=True, source="cache", result=msgspec.Raw(msgspec.msgpack.encode(sent)))

    arrived = reply_from(wire)

    assert sent == arrived.result
    assert arrived.source == "cache"
